// A program of its own for `npm run gpu-check`, bundled by src/build/gpu-check.mjs: op checks on an adapter, as one
// JSON object on stdout. Arguments: the golden file, then InitOptions as JSON, then the most checks to run.
import { readFileSync } from 'node:fs'
import { runOpChecks } from './op-run.ts'

const [, , golden, options = '{}', most] = process.argv
const found = await runOpChecks(JSON.parse(options), readFileSync(golden), most ? Number(most) : undefined)
process.stdout.write(`${JSON.stringify(found)}\n`)
