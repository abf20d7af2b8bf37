// `npm run test:hostile [-- --seed 1 --count 1600 --only pictures --first 300]`: hostile inputs through the command
// line, each in a process of its own; ends with the table and with 1 where anything was wrong.
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hostileCases } from './cases.ts'
import { startHub } from './hub.ts'
import { makeMaterial } from './material.ts'
import { runCase } from './run-case.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1650' },
    only: { type: 'string' },
    first: { type: 'string', default: '0' },
    slow: { type: 'string', default: '1' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'hostile-material-'))
const material = await makeMaterial(folder)
const { server, endpoint } = await startHub(material)
const all = [...hostileCases(material, endpoint, Number(values.seed), Number(values.count))].slice(Number(values.first))
  .filter(({ kind }) => !values.only || kind === values.only)
const rows = new Map<string, { tried: number, right: number, slowest: number }>()
let wrong = 0, done = 0
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
    if (++done % 100 === 0) process.stderr.write(`${done} of ${all.length}\n`)
  }
}))
server.close()
rmSync(folder, { recursive: true, force: true })
console.log(`\nseed ${values.seed}\n| kind | tried | right | wrong | slowest, s |\n| --- | ---: | ---: | ---: | ---: |`)
for (const [kind, { tried, right, slowest }] of rows) {
  console.log(`| ${kind} | ${tried} | ${right} | ${tried - right} | ${slowest.toFixed(1)} |`)
}
console.log(`| all | ${all.length} | ${all.length - wrong} | ${wrong} | |`)
process.exit(wrong ? 1 : 0)
