import { expect, test } from 'vitest'
import { compile } from '../../src/core/compile.ts'
import { DTypeError, InputError, ShapeError } from '../../src/base/errors.ts'
import { full } from '../../src/core/fill.ts'
import { dropout, dropPath, randomState } from '../../src/ops/dropout.ts'
import { sum } from '../../src/ops/reduce.ts'
import { word } from '../../src/base/random.ts'
import { tensor } from '../../src/core/tensor.ts'
import { valueAndGrad, vjp } from '../../src/core/transform.ts'
import { checkRaces, toTensor } from '../support/check-op.ts'
import { describeDevice } from '../support/device.ts'
import { nd, random, relativeError } from '../reference/nd.ts'
import { reference } from '../reference/references.ts'

const seed = 2 ** 40 + 12345

/** The mask that the host draws for draw number `stream`. */
const maskOf = (shape: number[], stream: number, rate: number) =>
  nd(
    shape,
    Float64Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      (_, i) => (word(seed, stream, i) >= Math.round(rate * 2 ** 32) ? 1 : 0),
    ),
  )

describeDevice('dropout', () => {
  test.each([[[1]], [[7]], [[3, 33]], [[4, 8, 65]]])(
    'agrees with the host in every draw, forward and backward: [%s]',
    async (shape) => {
      const state = randomState(seed)
      const x = random(31, shape)
      const dy = random(32, shape)
      for (const [stream, rate] of [0.1, 0.5, 0, 0.9].entries()) {
        const { outputs: [y], back } = vjp((v) => dropout(v, state, { rate }), toTensor(x))
        const mask = maskOf(shape, stream, rate)
        expect(relativeError(await y.data(), reference('dropout', [x, mask], { rate }).data)).toBeLessThanOrEqual(1e-6)
        expect(relativeError(await back(toTensor(dy))[0]!.data(), reference('dropout', [dy, mask], { rate }).data))
          .toBeLessThanOrEqual(1e-6)
      }
    },
  )

  test.each([[[5]], [[6, 4]], [[9, 3, 5]]])('drop-path drops samples, as the host draws them: [%s]', async (shape) => {
    const state = randomState(seed)
    const x = random(33, shape)
    const dy = random(34, shape)
    const rate = 0.4
    for (const stream of [0, 1]) {
      const { outputs: [y], back } = vjp((v) => dropPath(v, state, { rate }), toTensor(x))
      const mask = maskOf([shape[0]], stream, rate)
      expect(relativeError(await y.data(), reference('dropPath', [x, mask], { rate }).data)).toBeLessThanOrEqual(1e-6)
      expect(relativeError(await back(toTensor(dy))[0]!.data(), reference('dropPath', [dy, mask], { rate }).data))
        .toBeLessThanOrEqual(1e-6)
    }
  })

  test('keeps the share it should, and the mean', async () => {
    const n = 1 << 18, y = await dropout(full([n], 1), randomState(7), { rate: 0.3 }).data()
    const kept = y.filter((value) => value > 0).length / n
    expect(Math.abs(kept - 0.7)).toBeLessThan(5 * Math.sqrt(0.3 * 0.7 / n)) // five standard deviations
  })

  test('a dropped infinity is 0', async () => {
    const y = await dropout(full([4096], Infinity), randomState(7), { rate: 0.5 }).data()
    expect(new Set(y)).toEqual(new Set([0, Infinity]))
  })

  test('two replays of a captured step draw different masks, eager and captured the same ones', async () => {
    const model = { weight: full([64], 1) }
    const run = async (wrap: <F extends (x: ReturnType<typeof full>) => unknown>(f: F) => F) => {
      const state = randomState(seed)
      const step = wrap((x) =>
        valueAndGrad(({ weight }: typeof model) => sum(dropout(weight, state, { rate: 0.5 })))(model)[1].weight ?? x
      )
      const masks: string[] = []
      for (let i = 0; i < 3; i++) masks.push((await (step(full([1], 0)) as typeof model.weight).data()).join())
      return masks
    }
    const eager = await run((f) => f), captured = await run((f) => compile(f as never) as unknown as typeof f)
    expect(new Set(captured).size).toBe(3)
    expect(captured).toEqual(eager)
  })

  test('the stream counts past 32 bits', async () => {
    const state = tensor(Uint32Array.of(1, 0, 0xffffffff, 4))
    dropout(full([4], 1), state, { rate: 0.5 })
    expect([...await state.data()]).toEqual([1, 0, 0, 5])
  })

  test('what does not fit is refused', () => {
    const x = full([4], 1), state = randomState(1)
    expect(() => dropout(x, state, { rate: 1 })).toThrow(InputError)
    expect(() => dropPath(x, state, { rate: -0.1 })).toThrow(InputError)
    expect(() => randomState(-1)).toThrow(InputError)
    expect(() => dropout(x, x, { rate: 0.5 })).toThrow(DTypeError)
    expect(() => dropout(x, tensor(Uint32Array.of(1)), { rate: 0.5 })).toThrow(ShapeError)
    expect(() => dropPath(full([], 1), state, { rate: 0.5 })).toThrow(ShapeError)
  })

  test('no races', () => {
    checkRaces(() => {
      dropout(full([9], 1), randomState(1), { rate: 0.5 })
      dropPath(full([5, 2], 1), randomState(1), { rate: 0.5 })
    })
  })
})
