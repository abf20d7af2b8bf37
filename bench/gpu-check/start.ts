// The program: `npm run gpu-check -- [--out <folder>] [--adapter <name>] [--minutes <n>] [--parts <names>] [--small]`.
import { EspalierError } from '../../src/base/errors.ts'
import { plain } from '../../src/base/quote.ts'
import { gpuCheck, optionsOf } from './main.ts'

try {
  const bad = await gpuCheck(optionsOf(process.argv.slice(2)), (line) => {
    console.log(line)
  })
  process.exitCode = bad ? 1 : 0
} catch (error) {
  console.error(`gpu-check: ${plain((error as Error).message, 500)}`)
  process.exitCode = error instanceof EspalierError ? error.exitCode : 1
}
