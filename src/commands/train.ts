// `espalier train`: from scratch or fine-tuning. A checkpoint and the state to go on from are written after every
// epoch.
import { basename } from 'node:path'
import { type Command, Option } from 'commander'
import { buildModel, inputOf } from '../../models/registry.ts'
import { EspalierError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { accuracyOf } from '../train/evaluate.ts'
import type { Model } from '../nn/model.ts'
import { close, init } from '../gpu/device.ts'
import { type CheckpointInfo, modelOf, saveCheckpoint } from '../checkpoint/checkpoint.ts'
import { withPacked } from '../checkpoint/packed.ts'
import { takeOver } from '../checkpoint/take-over.ts'
import { curveSVG, sparkline } from '../report/learning-curve.ts'
import { lockFile } from '../files/lock.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { type TrainingHistory, encodeState, type EpochTest, stateFileOf } from '../train/state.ts'
import { initialize } from '../nn/init.ts'
import { fit } from '../train/fit.ts'
import { disposeTree } from '../core/tree.ts'
import { type CommandSpec, type Reporter, wholeNumber } from './command.ts'
import type { Progress } from './progress.ts'
import { addPatternFlags, sparsityStep } from './train-pattern.ts'
import { sparsity } from '../train/sparsity.ts'
import { addArch, addPreprocessing, large, numberWithin, percent } from './model.ts'
import { type TrainingSetup, prepare, type TrainOptions } from './train-setup.ts'

/** The command `espalier train <architecture or model> --data <data>`. */
export const train: CommandSpec<TrainOptions> = {
  name: 'train',
  summary: 'trains from scratch (an architecture) or fine-tunes (a file); a checkpoint after every epoch, '
    + '--resume goes on to the same numbers',
  example: 'espalier train resnet20 --data folder:train --test folder:val --epochs 30 --flip 0.5 --pad-crop 4',
  declare,
  async run(options, reporter) {
    const setup = await prepare(options, reporter)
    const lock = lockFile(setup.out)
    const interrupt = watchInterrupt()
    try {
      const gpu = await init({ adapter: options.adapter, threads: options.threads })
      const outcome = await runTraining(setup, options, reporter, interrupt.check)
      const { history, msPerImage, last } = outcome
      const { cost: { params, macs }, test, info: { architecture } } = setup
      const { epoch: epochs, losses, steps, tests } = history
      const json = {
        model: setup.out,
        architecture,
        ...last,
        ...last && { images: test!.length },
        epochs,
        losses,
        steps,
        tests,
        trained: setup.data.length,
        params,
        macs,
        msPerImage,
        imagesPerSecond: msPerImage ? 1000 / msPerImage : 0,
        curve: setup.curve,
        seed: options.seed ?? 0,
        adapter: gpu.adapter.name,
        version: packageVersion(),
      }
      return {
        json,
        text: [
          `loss ${sparkline(history.losses)} ${history.losses.at(-1)?.toFixed(4) ?? ''}`,
          ...last ? [`top-1 on ${setup.test!.length} test images: ${percent(last.top1)}`] : [],
          `${setup.out} (${large(setup.cost.params)} parameters), learning curve in ${setup.curve}`,
        ].join('\n'),
      }
    } catch (error) {
      if (error instanceof Interrupted) reporter.say(`train: ${error.message}`)
      throw error
    } finally {
      interrupt.release()
      lock.release()
      await close()
      interrupt.passOn()
    }
  },
}

function declare(command: Command) {
  const share = numberWithin(0, 1)
  addPreprocessing(
    addArch(
      command.argument(
        '<model>',
        'an architecture (name or JSON) to train from scratch, or a .safetensors file to fine-tune',
      ),
    ),
  )
    .requiredOption('--data <data>', 'training images, as for eval')
    .option('--test <data>', 'images to test on after every epoch')
    .option(
      '--out <file>',
      'the checkpoint; beside it its .state.safetensors and its learning curve .svg (default: '
        + '<architecture>.safetensors)',
    )
    .option('--resume', 'go on where the run that wrote --out stopped, with the same recipe')
    .option('--overwrite', 'start anew although --out, its state or its curve is there')
    .option(
      '--image <n>',
      'side of the images the network takes from now on; position tables of a file are resampled (vit, swin, pvt)',
      wholeNumber(1, 4096),
    )
    .option('--classes <n>', 'number of classes (default: what the data show)', wholeNumber(1, 2 ** 20))
    .option('--epochs <n>', 'times through the data', wholeNumber(1, 100_000), 10)
    .option('--batch <n>', 'images per step', wholeNumber(1, 65536), 64)
    .option('--rate <x>', 'peak learning rate of AdamW; it falls along a cosine', numberWithin(0, 100), 1e-3)
    .option(
      '--warmup <epochs>',
      'epochs of linear warm-up (default: a tenth for transformers, else none)',
      numberWithin(0, 100_000),
    )
    .option('--decay <x>', 'weight decay of matrices and kernels', numberWithin(0, 100), 0.05)
    .option('--clip <x>', 'greatest norm of the gradient', numberWithin(1e-6, 1e30), 1)
    .addOption(
      new Option(
        '--start <scheme>',
        'how weights start (default: normal for transformers, kaiming for CNNs; mimetic: vit on few images)',
      )
        .choices(['normal', 'fan-in', 'kaiming', 'mimetic']),
    )
    .option('--smoothing <x>', 'label smoothing', numberWithin(0, 0.999), 0)
    .option(
      '--ema <x>',
      'keep a moving average of the weights with this factor, e.g. 0.999, and save and test that',
      numberWithin(0, 0.999999),
    )
    .option('--drop-path <x>', 'stochastic depth of the last block (vit, swin)', numberWithin(0, 0.99))
    .option('--pad-crop <n>', 'pad by n pixels and cut a random window (CIFAR: 4)', wholeNumber(0, 1024))
    .option('--resized-crop <low,high>', 'random rectangle of this share of the area, resized, e.g. 0.08,1')
    .option('--flip <p>', 'probability of mirroring left to right', share)
    .option('--rand-augment <ops,magnitude>', 'RandAugment, e.g. 2,9')
    .option('--erase <p>', 'probability of random erasing', share)
    .option('--mixup <a>', 'mixup, parameter of its Beta distribution, e.g. 0.8', numberWithin(0, 100))
    .option('--cutmix <a>', 'cutmix, parameter of its Beta distribution, e.g. 1', numberWithin(0, 100))
  addPatternFlags(command)
}

async function runTraining(
  setup: TrainingSetup,
  options: TrainOptions,
  reporter: Reporter,
  check: (epoch: number) => void,
) {
  const { data, test, info, augment, classes, stored, out, recipe } = setup
  const { epochs, batch, rate, decay, clip, smoothing, ema, seed = 0 } = options
  if (options.resume && !stored) reporter.say(`train: nothing to resume beside ${quoted(out)}, starting anew`)
  const model = await startingModel(setup, seed, reporter)
  const sparse = setup.sparsity ? await sparsity(model, [1, ...setup.input], setup.sparsity) : null
  // What is tested and saved: the network as it is, or with its weights packed.
  const withSaved = async (trained: Model, use: (saved: Model, about: CheckpointInfo) => Promise<void>) => {
    if (!sparse) return use(trained, info)
    const packed = await sparse.pack(trained), step = sparsityStep(setup.sparsity!, await sparse.density(), seed)
    const about = { ...info, sparsity: { steps: [...info.sparsity?.steps ?? [], step] } }
    await use(packed, about).finally(() => {
      disposeTree(packed)
    })
  }
  const tests: EpochTest[] = stored ? [...stored.history.tests] : []
  let progress: Progress | null = null, shown = -1, seen = 0
  const begin = performance.now()
  let testing = 0
  const title = `${info.architecture.type} on ${data.length} images of ${basename(data.name.split(',')[0])}`
  // Written after the state, from which the next run writes both anew: a kill in between costs nothing.
  const writeResults = async (saved: Model, about: CheckpointInfo, losses: readonly number[]) => {
    await saveCheckpoint(out, saved, about)
    writeOutput(setup.curve, curve(title, losses, tests))
  }
  const onStep = (images: number, loss: number, epoch: number) => {
    if (epoch !== shown) progress = reporter.progress(`epoch ${epoch + 1}/${epochs}`, data.length)
    shown = epoch
    progress!.update(images, `loss ${loss.toFixed(4)}`)
    seen = (epoch - (stored?.history.epoch ?? 0)) * data.length + images
    check(epoch)
  }
  const state = await fit(model, data, {
    epochs,
    batch,
    rate,
    warmup: setup.warmup,
    decay,
    clip,
    smoothing,
    seed,
    augment,
    classes,
    average: ema,
    hooks: sparse ? [sparse.hook] : [],
    onStep,
    onNote: (note) => {
      reporter.say(`train: ${note}`)
    },
    resume: stored
      ? {
        epoch: stored.history.epoch,
        load: async (fresh) => {
          stored.restore(model, fresh)
          fresh.losses.push(...stored.history.losses)
          fresh.steps.push(...stored.history.steps)
          await withSaved(fresh.average ?? model, (saved, about) => writeResults(saved, about, fresh.losses))
        },
      }
      : undefined,
    async onEpoch(now) {
      progress?.stop()
      const start = performance.now(), { epoch, losses, steps } = now
      await withSaved(now.average ?? model, async (saved, about) => {
        if (test) {
          const { top1, top5, loss } = await accuracyOf(saved, test, {
            batch,
            onProgress: () => {
              check(epoch)
            },
          })
          tests.push({ top1, top5, loss })
        }
        writeOutput(stateFileOf(out), await encodeState(model, now, { epoch, losses, steps, tests, recipe }))
        await writeResults(saved, about, losses)
      })
      testing += performance.now() - start
      reporter.say(
        `epoch ${epoch}/${epochs}  loss ${losses.at(-1)!.toFixed(4)}${
          test ? `  top-1 ${percent(tests.at(-1)!.top1)}` : ''
        }  ${sparkline(losses)}`,
      )
    },
  }).finally(() => {
    progress?.stop()
  })
  const history: TrainingHistory = { epoch: state.epoch, losses: state.losses, steps: state.steps, tests, recipe }
  return { history, last: tests.at(-1), msPerImage: seen ? (performance.now() - begin - testing) / seen : 0 }
}

/**
 * A fresh model, or the file's; where classes or images differ, weights of equal shape are taken over and position
 * tables resampled.
 */
async function startingModel(
  { start, scheme, info: { architecture }, classes, stored }: TrainingSetup,
  seed: number,
  reporter: Reporter,
): Promise<Model> {
  const sameImages = start && inputOf(start.architecture).join() === inputOf(architecture).join()
  if (start && sameImages && start.classCount === classes) return modelOf({ ...start, architecture })
  const model = withPacked(initialize(buildModel(architecture), seed, scheme), start)
  if (!start) return model
  const { fresh, resampled } = await takeOver(start, model)
  if (stored) return model
  if (resampled.length) {
    const tables = resampled.map(({ path, from, to }) => `${path} (${from} x ${from} to ${to} x ${to})`)
    const more = tables.length > 3 ? ` and ${tables.length - 3} more` : ''
    reporter.say(
      `train: images of ${inputOf(architecture)[1]} instead of ${inputOf(start.architecture)[1]}, so these are `
        + `resampled: ${tables.slice(0, 3).join(', ')}${more}`,
    )
  }
  if (fresh.length) {
    reporter.say(`train: ${classes} classes instead of ${start.classCount}, so these start anew: ${fresh.join(', ')}`)
  }
  return model
}

function curve(title: string, losses: readonly number[], tests: readonly EpochTest[]): string {
  const blue = '#1f6fb4', orange = '#d1661b'
  return curveSVG(title, [{ name: 'training', values: losses, colour: blue }, {
    name: 'test',
    values: tests.map(({ loss }) => loss),
    colour: orange,
  }], [{ name: 'test top-1', values: tests.map(({ top1 }) => top1), colour: orange }])
}

/** Ctrl-C during training. */
class Interrupted extends EspalierError {}

/** The first Ctrl-C ends the run between two steps, with everything in place; a second one ends the process at once. */
function watchInterrupt() {
  let stopped = false
  const stop = () => {
    stopped = true
  }
  process.once('SIGINT', stop)
  return {
    check(epoch: number) {
      const from = epoch ? `the end of epoch ${epoch}` : 'the start'
      if (stopped) {
        throw new Interrupted(`interrupted in epoch ${epoch + 1}; the same command with --resume goes on from ${from}`)
      }
    },
    release() {
      process.off('SIGINT', stop)
    },
    /** Ends by the signal itself, so that a shell's loop stops as well. */
    passOn() {
      if (stopped) process.kill(process.pid, 'SIGINT')
    },
  }
}
