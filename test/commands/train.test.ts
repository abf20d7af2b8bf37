import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildModel } from '../../models/index.ts'
import { train } from '../../src/commands/train.ts'
import { InputError } from '../../src/base/errors.ts'
import type { Model } from '../../src/nn/model.ts'
import { close, gpu, init } from '../../src/gpu/device.ts'
import { tuning } from '../../src/gpu/tune.ts'
import { encodeState, parseState, stateFileOf } from '../../src/train/state.ts'
import { initialize } from '../../src/nn/init.ts'
import { fit, type TrainingState } from '../../src/train/fit.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { parseCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { bundleForNode } from '../support/cli.ts'
import { describeDevice } from '../support/device.ts'
import { openDigits } from '../support/digits.ts'
import { digits, run, scratch } from '../support/model.ts'

// Every run opens a device and compiles its kernels: seconds on a quiet machine, much more on a crowded one.
const slow = 240_000
const dir = scratch()
const recipe = [
  '{"type":"mlp","hidden":[32]}',
  '--data',
  digits(0, 799),
  '--test',
  digits(1800, 1999),
  '--batch',
  '32',
  '--rate',
  '0.003',
  '--seed',
  '5',
]
interface Trained {
  steps: number[]
  losses: number[]
  top1: number
  tests: { top1: number }[]
}
const trained = async (...more: string[]) => (await run(train, [...recipe, ...more])).json as Trained

describe('train', () => {
  test('a perceptron learns digits; the same seed gives the same losses; a curve is drawn', async () => {
    const first = await trained('--epochs', '3', '--out', join(dir, 'a.safetensors'))
    const second = await trained('--epochs', '3', '--out', join(dir, 'b.safetensors'))
    expect(first.top1).toBeGreaterThan(0.8)
    expect(first.steps).toHaveLength(3 * 25)
    expect(second.steps).toEqual(first.steps)
    expect(second.tests).toEqual(first.tests)
    expect(readFileSync(join(dir, 'a.safetensors')).equals(readFileSync(join(dir, 'b.safetensors')))).toBe(true)
    expect(readFileSync(join(dir, 'a.svg'), 'utf8')).toMatch(/^<svg .*test top-1.*<\/svg>\n$/s)
  }, slow)

  test.each(['SIGINT', 'SIGKILL'] as const)(
    '%s leaves everything in place; --resume comes to the same numbers',
    async (deadly) => {
      const whole = await trained('--epochs', '4', '--out', join(dir, `whole-${deadly}.safetensors`))
      const folder = join(dir, deadly), out = join(folder, 'net.safetensors')
      mkdirSync(folder)
      const cli = await bundleForNode('src/cli.ts', 'cli')
      const child = spawn(process.execPath, [cli, 'train', ...recipe, '--epochs', '4', '--out', out], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      let stderr = ''
      const ended = await new Promise<{ signal: string | null, code: number | null }>((resolve) => {
        child.stderr.on('data', (chunk: Buffer) => {
          stderr += chunk
          if (/epoch 1\/4 {2}loss/.test(stderr)) child.kill(deadly)
        })
        child.on('close', (code, signal) => {
          resolve({ code, signal })
        })
      })
      expect(ended, stderr).toEqual({ code: null, signal: deadly })
      if (deadly === 'SIGINT') expect(stderr).toMatch(/interrupted in epoch \d; the same command with --resume goes on/)
      expect(readdirSync(folder).filter((name) => !name.startsWith('.')).sort()).toEqual([
        'net.safetensors',
        'net.state.safetensors',
        'net.svg',
      ])
      const resumed = await trained('--epochs', '4', '--out', out, '--resume')
      expect(resumed.steps).toEqual(whole.steps)
      expect(resumed.losses).toEqual(whole.losses)
      expect(resumed.tests).toEqual(whole.tests)
      await expect(trained('--epochs', '7', '--out', out, '--resume')).rejects.toThrow(
        /had epochs 4, expected the same, found 7/,
      )
    },
    slow,
  )

  test('killed between its state and its checkpoint, it writes the checkpoint that the state holds', async () => {
    const out = join(dir, 'between.safetensors'), drawing = join(dir, 'between.svg')
    const args = ['{"type":"mlp","hidden":[8]}', '--data', digits(0, 99), '--ema', '0.9', '--out', out]
    await run(train, [...args, '--epochs', '1', '--seed', '2'])
    const early = readFileSync(out)
    await run(train, [...args, '--epochs', '3', '--overwrite'])
    const files = () => [out, drawing, stateFileOf(out)].map((file) => readFileSync(file))
    const whole = files()
    expect(whole[0].equals(early)).toBe(false)
    const leave: (() => void)[] = [
      () => [out, drawing].forEach((file) => rmSync(file)), // in the first epoch
      () => writeFileSync(out, early), // in a later one
      () => rmSync(drawing),
    ]
    for (const left of leave) {
      left()
      await run(train, [...args, '--epochs', '3', '--resume'])
      expect(files().map((file, i) => file.equals(whole[i]))).toEqual([true, true, true])
    }
  }, slow)

  test(
    'on floats, which are taken as they are, it stores no mean and deviation; on bytes those of the data',
    async () => {
      const file = join(dir, 'values.safetensors'), out = join(dir, 'own.safetensors')
      const values = Array.from({ length: 8 * 12 }, (_, i) => 3 + Math.sin(i))
      const stored = async (images: Float32Array | Uint8Array, ...more: string[]) => {
        const tensors = {
          images: { shape: [8, 3, 2, 2], data: images },
          labels: { shape: [8], data: new Uint8Array(8) },
        }
        tensors.labels.data.fill(1, 4)
        writeFileSync(file, encodeSafetensors(Object.entries(tensors), {}))
        const args = ['{"type":"mlp","hidden":[4]}', '--data', `tensors:${file}`, '--epochs', '1', '--out', out]
        await run(train, [...args, '--overwrite', ...more])
        const { mean, std } = (await parseCheckpoint(readFileSync(out), out)).preprocessing
        return { mean, std }
      }
      expect(await stored(Float32Array.from(values))).toEqual({ mean: [0], std: [1] })
      const said = ['--mean', '0.1,0.2,0.3', '--std', '0.4,0.5,0.6']
      expect(await stored(Float32Array.from(values), ...said)).toEqual({ mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] })
      const bytes = await stored(Uint8Array.from(values, (value) => 50 * value))
      expect(bytes.mean).toHaveLength(3)
      expect(bytes.mean.every((each) => Math.abs(each - 150 / 255) < 0.1)).toBe(true)
    },
    slow,
  )

  test('fine-tuning takes over what fits and starts a new head', async () => {
    const said: string[] = []
    const start = join(dir, 'start.safetensors'), out = join(dir, 'tuned.safetensors')
    await run(train, ['{"type":"mlp","hidden":[16]}', '--data', digits(0, 199), '--epochs', '1', '--out', start])
    const { json } = await run(train, [
      start,
      '--data',
      digits(0, 99),
      '--epochs',
      '1',
      '--classes',
      '12',
      '--out',
      out,
    ], said)
    expect(json).toMatchObject({ architecture: { classes: 12 }, params: 784 * 16 + 16 + 16 * 12 + 12 })
    expect(said.join()).toContain('12 classes instead of 10, so these start anew: layers.1.weight, layers.1.bias')
  })
})

describe('train refuses', () => {
  const out = join(dir, 'refused.safetensors')
  test.each<[string[], RegExp]>([
    [['perceiver', '--data', digits(0, 9)], /unknown architecture "perceiver"/],
    [['mlp', '--data', 'digits'], /data "digits": expected/],
    [['mlp', '--data', digits(0, 9), '--test', digits(0, 5000)], /reaches beyond/],
    [['{"type":"mlp","classes":3}', '--data', digits(0, 9)], /label \d, expected 0 to 2; give --classes/],
    [['{"type":"mlp","inputs":100}', '--data', digits(0, 9)], /do not fit the model/],
    [['mlp', '--data', digits(0, 9), '--drop-path', '0.1'], /mlp has no option "dropPath"/],
    [['mlp', '--data', digits(0, 9), '--rand-augment', '2'], /--rand-augment 2: expected two numbers/],
    [['mlp', '--data', digits(0, 9), '--resized-crop', '0.5,0.1'], /resizedCrop high/],
    [['none.safetensors', '--data', digits(0, 9)], /none\.safetensors: there is no such file/],
  ])('%j', async (args, sentence) => {
    const outcome = await run(train, [...args, '--out', out]).catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(InputError)
    expect((outcome as Error).message).toMatch(sentence)
    expect(existsSync(out)).toBe(false)
  })

  test('to go on with other images: of the same name, of another slice, or tested on others', async () => {
    // Two files and slices of them with the same labels in the same order.
    const zeros = (count: number, value: number) =>
      Buffer.alloc(3073 * count, value).map((byte, i) => i % 3073 ? byte : (i / 3073) % 2)
    const file = join(dir, 'own.bin')
    const out = join(dir, 'digest.safetensors')
    const other = join(dir, 'other.bin')
    writeFileSync(file, Buffer.concat([zeros(4, 10), zeros(4, 90)]))
    writeFileSync(other, zeros(4, 50))
    const args = (slice: string, epochs: string, tests = `${file}#4-7`) => [
      '{"type":"mlp","hidden":[4],"inputs":3072,"classes":2}',
      '--data',
      `cifar10:${file}#${slice}`,
      '--test',
      `cifar10:${tests}`,
      '--mean',
      '0.5',
      '--std',
      '0.5',
      '--batch',
      '4',
      '--epochs',
      epochs,
      '--out',
      out,
    ]
    await run(train, args('0-3', '1'))
    const before = readFileSync(out)
    const again = (...more: Parameters<typeof args>) => run(train, [...args(...more), '--resume'])
    await expect(again('4-7', '1')).rejects.toThrow(/had other images as --data .*own\.bin#4-7/)
    await expect(again('0-3', '1', other)).rejects.toThrow(/had other images as --test/)
    await expect(again('0-3', '1')).resolves.toBeDefined()
    writeFileSync(file, Buffer.concat([zeros(4, 10), zeros(4, 91)]))
    await expect(again('0-3', '1')).rejects.toThrow(/had other images as --data/)
    expect(readFileSync(out).equals(before)).toBe(true)
  })

  test('nothing to go on from: the run begins, and says so', async () => {
    const said: string[] = [], other = join(dir, 'mistyped.safetensors')
    await run(train, ['mlp', '--data', digits(0, 9), '--epochs', '1', '--out', other, '--resume'], said)
    expect(said.join('\n')).toMatch(/nothing to resume beside .*mistyped\.safetensors.*, starting anew/)
    said.length = 0
    await run(train, ['mlp', '--data', digits(0, 9), '--epochs', '1', '--out', other, '--resume'], said)
    expect(said.join('\n')).not.toMatch(/nothing to resume/)
  })

  test('to replace a checkpoint, to go on without a state, and with a damaged one', async () => {
    writeFileSync(out, 'precious')
    await expect(run(train, ['mlp', '--data', digits(0, 9), '--out', out])).rejects.toThrow(
      /there is a checkpoint already/,
    )
    await expect(run(train, ['mlp', '--data', digits(0, 9), '--out', out, '--resume'])).rejects.toThrow(
      /refused\.state\.safetensors: --resume needs it/,
    )
    for (
      const damage of [
        '',
        '{',
        '{"format":1}',
        '{"format":1,"epoch":2,"losses":[1],"steps":[],"tests":[],"recipe":{}}',
        'null',
        '7',
      ]
    ) {
      writeFileSync(
        stateFileOf(out),
        encodeSafetensors([['control', { shape: [5], data: new Float32Array(5) }]], {
          metadata: { 'espalier-training': damage },
        }),
      )
      await expect(run(train, ['mlp', '--data', digits(0, 9), '--out', out, '--resume'])).rejects.toThrow(
        /expected the metadata of a training run/,
      )
    }
    expect(readFileSync(out, 'utf8')).toBe('precious')
  })
})

describeDevice('training state', () => {
  test('a network with batch norm, dropout, average and mixed images goes on bit for bit', async () => {
    const data = await openDigits(0, 39)
    const fresh = (): Model =>
      initialize(
        buildModel({
          type: 'vgg',
          plan: [4, 'pool'],
          channels: 1,
          classes: 10,
          batchNorm: true,
          side: 2,
          hidden: [8],
          dropout: 0.3,
        }),
        3,
        'kaiming',
      )
    const options = {
      epochs: 2,
      batch: 20,
      rate: 0.01,
      warmup: 1,
      clip: 1,
      average: 0.9,
      classes: 10,
      seed: 4,
      augment: { padCrop: 2, mixup: 0.8, cutmix: 1, erase: 0.5 },
    }
    let saved = new Uint8Array()
    const first = fresh()
    const whole = await fit(first, data, {
      ...options,
      async onEpoch(state) {
        if (state.epoch === 1) {
          saved = await encodeState(first, state, {
            epoch: 1,
            losses: state.losses,
            steps: state.steps,
            tests: [],
            recipe: {},
          }) as Uint8Array<ArrayBuffer>
        }
      },
    })
    const stored = parseState(saved, 'x.state.safetensors'), second = fresh()
    const rest = await fit(second, data, {
      ...options,
      resume: {
        epoch: stored.history.epoch,
        load: (state) => {
          stored.restore(second, state)
        },
      },
    })
    expect(rest.steps).toEqual(whole.steps.slice(2))
    const bits = async (model: Model, state: TrainingState) =>
      Buffer.from(await encodeState(model, state, { epoch: 2, losses: [0, 0], steps: [], tests: [], recipe: {} }))
        .toString('base64')
    expect(await bits(second, rest)).toBe(await bits(first, whole))
    expect(() => {
      parseState(saved, 'x').restore(buildModel({ type: 'mlp' }), whole)
    }).toThrow(InputError)
    disposeTree([first, second, whole.average, rest.average])
  }, slow)
})

test('with and without the tuner a run gives the same numbers', async () => {
  const runs: (readonly number[])[] = []
  for (const fixedVariants of [true, false]) {
    await init({ adapter: 'cpu', fixedVariants })
    const data = await openDigits(0, 39),
      model = initialize(buildModel({ type: 'mlp' }), 3, 'kaiming')
    // the last batch of an epoch has 8
    const { steps } = await fit(model, data, { epochs: 3, batch: 16, classes: 10, seed: 4 })
    expect(Object.keys(tuning(gpu())).length > 0).toBe(!fixedVariants)
    runs.push(steps)
    await close()
  }
  expect(runs[1]).toEqual(runs[0])
  expect(runs[0]).toHaveLength(9)
}, slow)
