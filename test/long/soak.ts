// Mixed work for as long as one likes, sampling what the process holds. Build nothing; from the repository:
//   npm run soak                    (an hour on the embedded device)
// ESPALIER_SOAK_MINUTES (60), ESPALIER_SOAK_ADAPTER (cpu), ESPALIER_SOAK_DUTY (1: share of the time spent working),
// ESPALIER_SOAK_OUT (.espalier/soak.jsonl). One JSON line a minute with megabytes after forced collection; the last
// line is the verdict, and the exit code is 1 where heap, device memory or what the process holds outside the heap grew
// in the second half by more than a megabyte an hour and a hundredth of it. `rss` is told and not judged: it counts
// pages of files and pages that V8 has emptied and keeps, and moves by tens of megabytes with neither.
import { appendFileSync, writeFileSync } from 'node:fs'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { slope } from '../support/line.ts'
import { type Footprint, footprint, workload } from '../support/workload.ts'

const setting = (name: string, otherwise: string) => process.env[`ESPALIER_SOAK_${name}`] ?? otherwise
const minutes = Number(setting('MINUTES', '60')), duty = Number(setting('DUTY', '1'))
const out = setting('OUT', '.espalier/soak.jsonl')
const every = Math.min(60, minutes * 60 / 20)

await init({ adapter: setting('ADAPTER', 'cpu') })
const rounds = Object.entries(await workload(16))
const start = performance.now(), seconds = () => (performance.now() - start) / 1000
const samples: ({ seconds: number, turns: number } & Footprint)[] = []
const note = (line: object) => {
  appendFileSync(out, `${JSON.stringify(line)}\n`)
}
writeFileSync(out, '')
note({ adapter: gpu().adapter.name, node: process.version, minutes, duty, work: rounds.map(([name]) => name) })

let due = 0
for (let turn = 0; seconds() < minutes * 60; turn++) {
  const [, round] = rounds[turn % rounds.length]
  const before = performance.now()
  await round(Math.floor(turn / rounds.length))
  if (seconds() >= due) {
    due = seconds() + every
    samples.push({ seconds: Math.round(seconds()), turns: turn + 1, ...await footprint() })
    note(samples.at(-1)!)
  }
  const worked = performance.now() - before
  await new Promise((done) => setTimeout(done, worked * (1 / duty - 1)))
}

const late = samples.slice(samples.length >> 1)
const judged = ['heap', 'outside', 'live', 'allocated'] as const
const hourly = (what: typeof judged[number] | 'rss') =>
  3600 * slope(late.map((each) => each.seconds), late.map((each) => each[what]))
const figures = judged.map((what) => {
  const level = late.reduce((sum, each) => sum + each[what], 0) / late.length, grows = hourly(what)
  return { what, level, perHour: grows, grows: grows * Math.min(1, minutes / 60) > 1 + level / 100 }
})
const failed = figures.some(({ grows }) => grows)
note({ verdict: failed ? 'grows' : 'flat', turns: samples.at(-1)?.turns, figures, rssPerHour: hourly('rss') })
await close()
process.exitCode = failed ? 1 : 0
