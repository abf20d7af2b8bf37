// `espalier eval`: how good a checkpoint is on labelled images, and how long one takes.
import { plain } from '../base/quote.ts'
import { modelOf } from '../checkpoint/checkpoint.ts'
import { packageVersion } from '../files/package.ts'
import { evaluate } from '../train/evaluate.ts'
import { timeText } from '../report/format.ts'
import { close, init } from '../gpu/device.ts'
import type { Precision } from '../gpu/precision.ts'
import { costOf } from '../nn/macs.ts'
import { nodeHint } from './node-hint.ts'
import { addPrecision, type CommandSpec, wholeNumber } from './command.ts'
import { openCheckpoint, openLabelled, preparedFor, preparedJson, preparedText } from './open.ts'
import { addArch, addPreprocessing, type ArchOptions, large, percent, type PreprocessingOptions } from './model.ts'

interface EvalOptions extends ArchOptions, PreprocessingOptions {
  data: string
  batch: number
  predictions?: boolean
  precision?: Precision
}

/** The command `espalier eval <model> --data <data>`. */
export const evalCommand: CommandSpec<EvalOptions> = {
  name: 'eval',
  summary: 'top-1, top-5, loss and time per image of a checkpoint on labelled images',
  example: 'espalier eval deit_tiny.safetensors --data folder:val#0-999 --batch 8',
  declare(command) {
    addPrecision(addPreprocessing(
      addArch(command.argument('<model>', 'a .safetensors file'))
        .requiredOption(
          '--data <data>',
          'images with labels: cifar10:, idx:, images:, folder: or tensors:, each with an optional #first-last',
        )
        .option('--batch <n>', 'images at once', wholeNumber(1, 4096), 16)
        .option('--predictions', 'with --json: also the predicted class of each image'),
    ))
  },
  async run({ args, arch, data, batch, predictions, precision, adapter, threads, seed = 0, ...flags }, reporter) {
    // Everything that can be wrong with the files is found before a device is opened.
    const checked = await openCheckpoint(args[0], { arch }, reporter)
    const wanted = preparedFor(checked, flags, data)
    const set = await openLabelled(data, checked, wanted.preprocessing, reporter)
    const prepared = { ...wanted, normalised: set.normalised }
    const { params, macs, keptMacs } = costOf(checked.shape, await set.inputShape())
    const gpu = await init({ adapter, threads, precision })
    try {
      const progress = reporter.progress('evaluating', set.length)
      const found = await evaluate(modelOf(checked), set, {
        batch,
        onProgress: (done) => {
          progress.update(done)
        },
      }).finally(() => {
        progress.stop()
      })
      const { top1, top5, loss, images, msPerImage, msPerImageMad, imagesPerSecond } = found
      const { name } = gpu.adapter
      const hint = nodeHint(gpu.adapter.architecture)
      return {
        json: {
          model: args[0],
          data,
          top1,
          top5,
          loss,
          images,
          params,
          macs,
          keptMacs,
          bytes: checked.bytes,
          msPerImage,
          msPerImageMad,
          imagesPerSecond,
          batch,
          precision: precision ?? 'default',
          seed,
          ...preparedJson(prepared),
          notes: [...checked.notes, ...set.notes ?? [], ...hint ? [hint] : []],
          adapter: name,
          version: packageVersion(),
          ...predictions && { predictions: [...found.predictions] },
        },
        text: [
          `${plain(args[0])} on ${plain(data)} (${images} images, ${name}):`,
          `  top-1 ${percent(top1)}   top-5 ${percent(top5)}   loss ${loss.toFixed(5)}`,
          `  ${preparedText(prepared, checked)}`,
          `  ${large(params)} parameters, ${large(macs)} multiply-adds${
            keptMacs < macs ? ` (${large(keptMacs)} of them done)` : ''
          }, ${large(checked.bytes)}B`,
          `  ${timeText(found)} ms per image (median ± its spread, batch ${batch}${
            precision === undefined ? '' : `, precision ${precision}`
          }), ${imagesPerSecond.toFixed(1)} images/s`,
          ...hint ? [`  ${hint}`] : [],
        ].join('\n'),
      }
    } finally {
      await close()
    }
  },
}
