// Calls one kind of work again and again and prints, as JSON, what the process held after each part:
// node --expose-gc leak-program.mjs <adapter> <kind> <calls>.
import { close, init } from '../../src/gpu/device.ts'
import { footprint, workload } from './workload.ts'

const [adapter, kind, calls] = process.argv.slice(2)
await init({ adapter, fixedVariants: true })
const round = (await workload(8))[kind]
const parts = 10, samples = []
for (let turn = 0; turn < Number(calls); turn++) {
  await round(turn)
  if ((turn + 1) % Math.ceil(Number(calls) / parts) === 0) samples.push({ calls: turn + 1, ...await footprint() })
}
await close()
console.log(JSON.stringify(samples))
