// `espalier export`: a checkpoint as an ONNX file.
import { InvalidArgumentError } from 'commander'
import { inputOf } from '../../models/registry.ts'
import { NumericError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { modelOf } from '../checkpoint/checkpoint.ts'
import { checkExport } from '../checkpoint/onnx/check.ts'
import { exportOnnx } from '../checkpoint/onnx-file.ts'
import { openOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { close, init } from '../gpu/device.ts'
import { costOf } from '../nn/macs.ts'
import type { Model } from '../nn/model.ts'
import { claimOutputs, filesRead } from './claims.ts'
import { type CommandSpec, wholeNumber } from './command.ts'
import { addArch, type ArchOptions, large } from './model.ts'
import { onnxRuntime } from './onnx-runtime.ts'
import { openCheckpoint } from './open.ts'

interface ExportOptions extends ArchOptions {
  out: string
  batch: 'dynamic' | number
  check?: boolean
  overwrite?: boolean
}

/** Logits may differ so much, over the largest: sums in another order. */
const TOLERANCE = 1e-4

const wholeBatch = wholeNumber(1, 4096)

function batchOf(text: string): 'dynamic' | number {
  if (text === 'dynamic') return text
  try {
    return wholeBatch(text)
  } catch {
    throw new InvalidArgumentError('Expected dynamic, or a whole number from 1 to 4096.')
  }
}

/** The command `espalier export <model> --out <net.onnx>`. */
export const exportCommand: CommandSpec<ExportOptions> = {
  name: 'export',
  summary: 'a checkpoint, pruned or not, as an ONNX file for other runtimes',
  example: 'espalier export small.safetensors --out small.onnx',
  declare(command) {
    addArch(command.argument('<model>', 'a .safetensors file'))
      .requiredOption('--out <file>', 'the ONNX file')
      .option('--batch <dynamic|n>', 'images at once: any number, or just so many', batchOf, 'dynamic')
      .option(
        '--check',
        'run the file on random images: its nodes by our own ops, and by onnxruntime-node if that is installed',
      )
      .option('--overwrite', 'replace --out if it is there')
  },
  async run({ args, arch, out, batch, check = false, overwrite = false, adapter, threads }, reporter) {
    claimOutputs([{ flag: '--out', path: out }], filesRead({ model: args[0] }), overwrite)
    const checked = await openCheckpoint(args[0], { arch }, reporter), input = inputOf(checked.architecture)
    const { params, macs } = costOf(checked.shape, input)
    const output = openOutput(out)
    let gpu = false
    try {
      // Weights are read back and next to nothing is computed: a GPU is not worth its start.
      await init({ adapter: adapter ?? 'cpu', threads })
      gpu = true
      const info = { ...checked, naming: 'espalier' }
      const model = modelOf(checked), { bytes, nodes, dense, half } = await exportOnnx(model, input, { batch, info })
      const compared = check ? await comparison(bytes, model, input, batch) : null
      output.write(bytes)
      output.commit()
      const images = batch === 'dynamic'
        ? 'any number of images at once'
        : `${batch} ${batch === 1 ? 'image' : 'images'} at once`
      return {
        json: {
          model: args[0],
          out,
          opset: 17,
          ir: 8,
          input,
          batch,
          nodes,
          params,
          macs,
          bytes: bytes.length,
          dense,
          half,
          ...compared && { check: compared },
          version: packageVersion(),
        },
        text: [
          `${plain(out)}: ONNX opset 17, ${nodes} nodes, ${large(params)} parameters, ${large(bytes.length)}B`,
          `  input 'images' [${batch === 'dynamic' ? 'batch' : batch}, ${
            input.join(', ')
          }], ${images}; output 'logits'; `
          + 'preprocessing and class names are in its metadata',
          ...half ? ['  weights in half precision, as which they are exact; computed in single'] : [],
          ...compared
            ? [
              `  checked on random images: its nodes run by our ops differ by ${
                compared.nodes.toExponential(1)
              } of the largest `
              + `logit, ${
                compared.runtime === undefined
                  ? 'onnxruntime-node is not installed here'
                  : `${compared.by} by ${compared.runtime.toExponential(1)}`
              }`,
            ]
            : [],
          ...dense.length
            ? [`  ${dense.length} weights are packed in a sparsity pattern; the file holds them dense, zeros included`]
            : [],
        ].join('\n'),
      }
    } finally {
      output.abandon()
      if (gpu) await close()
    }
  },
}

/** Runs the file by its nodes. @throws NumericError where it does not compute what the network does. */
async function comparison(bytes: Uint8Array, model: Model, input: readonly number[], batch: 'dynamic' | number) {
  const runtime = await onnxRuntime(bytes), found = await checkExport(bytes, model, input, batch, runtime?.run)
  const worst = Math.max(found.nodes, found.runtime ?? 0)
  if (worst <= TOLERANCE) return { ...found, ...runtime && { by: runtime.name } }
  throw new NumericError(
    `--check: the file's logits differ by ${worst.toExponential(1)} of the largest, expected at most ${TOLERANCE}; `
      + 'nothing was written, please report this network',
  )
}
