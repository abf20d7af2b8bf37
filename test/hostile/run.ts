// `npm run test:hostile [-- --seed 1 --count 1600 --only pictures --first 300]`: hostile inputs through the command
// line, each in a process of its own; ends with the table, which is also in `--out` (.espalier/hostile.md), and with 1
// where anything was wrong. `--slow 4` stretches the clock of 20 s on a crowded machine.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { hostileCases } from './cases.ts'
import { startHub } from './hub.ts'
import { makeMaterial } from './material.ts'
import { runCase } from './run-case.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1800' },
    only: { type: 'string' },
    first: { type: 'string', default: '0' },
    slow: { type: 'string', default: '1' },
    out: { type: 'string', default: '.espalier/hostile.md' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'hostile-material-'))
const material = await makeMaterial(folder)
const { server, endpoint } = await startHub(material)
const all = [...hostileCases(material, endpoint, Number(values.seed), Number(values.count))].slice(Number(values.first))
  .filter(({ kind }) => !values.only || kind === values.only)
const rows = new Map<string, { tried: number, right: number, slowest: number }>()
let wrong = 0, done = 0
const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim()

/** The table so far, kept as a file too: a run takes an hour on a crowded machine. */
function table(): string {
  const line = (kind: string, tried: number, right: number, slowest: string) =>
    `| ${kind} | ${tried} | ${right} | ${tried - right} | ${slowest} |`
  const text = [
    `Seed ${values.seed}, ${done} of ${all.length} inputs, commit ${commit || 'unknown'}, ${
      new Date().toISOString().slice(0, 10)
    }, ${availableParallelism()} x ${cpus()[0]?.model.trim()}, Node ${process.versions.node}`,
    '',
    '| kind | inputs | right | wrong | slowest, s |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...[...rows].map(([kind, { tried, right, slowest }]) => line(kind, tried, right, slowest.toFixed(1))),
    line('all', done, done - wrong, ''),
    '',
  ].join('\n')
  mkdirSync(dirname(values.out), { recursive: true })
  writeFileSync(values.out, text)
  return text
}

const queue = all.values()
await Promise.all(Array.from({ length: availableParallelism() }, async () => {
  for (const each of queue) {
    const { faults, seconds } = await runCase(material.cli, each, Number(values.slow))
    const row = rows.get(each.kind) ?? { tried: 0, right: 0, slowest: 0 }
    rows.set(each.kind, row)
    row.tried++
    row.slowest = Math.max(row.slowest, seconds)
    if (faults.length) wrong++
    else row.right++
    for (const fault of faults) {
      console.log(
        `WRONG ${each.kind} ${each.name}: ${fault.replace(/\n/g, ' | ')}\n      ${
          each.args.map((arg) => JSON.stringify(arg).slice(0, 120)).join(' ')
        }`,
      )
    }
    if (++done % 50 === 0) {
      table()
      process.stderr.write(`${done} of ${all.length}\n`)
    }
  }
}))
server.close()
rmSync(folder, { recursive: true, force: true })
console.log(`\n${table()}`)
process.exit(wrong ? 1 : 0)
