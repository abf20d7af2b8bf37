// An op defined outside the package says what it is, and relevance, cost, folding and units see it as such: here a
// sparse linear layer, whose weight holds the kept entries and whose index holds their columns, beside the masked layer
// it stands for.
import { expect, test } from 'vitest'
import { add, batchNorm, disposeTree, epsilonPlus, foldBatchNorm, gather, gelu, Identity, InputError, maskedLinear, mul,
  on, op, opNames, relu, reshape, rules, scatterAdd, scope, structure, sum, type Tensor, tensor,
  type Composite } from '../../src/index.ts'
import { attribute, oneHot } from '../../src/attribution/relevance.ts'
import { costOf } from '../../src/nn/macs.ts'
import type { Model } from '../../src/nn/model.ts'
import { watchCalls } from '../../src/core/op.ts'
import { record } from '../../src/core/tape.ts'
import { random, relativeError } from '../reference/nd.ts'
import { describeDevice } from '../support/device.ts'

const sparseLinear = op<[Tensor, Tensor, Tensor, Tensor | null], object>({
  name: 'own-sparse-linear',
  roles: ['dense'],
  weight: 1,
  bias: 3,
  axes: 'b ., o ., o ., o -> b o',
  dtypes: ['f32', 'f32', 'u32', 'f32'],
  zero: ['breaks', 'breaks', 'breaks', 'breaks'],
  run(x, values, columns, bias) {
    const y = sum(mul(gather(x, columns, { axis: 1 }), values), { axes: [-1] })
    return bias ? add(y, bias) : y
  },
  vjp({ args: [x, values, columns], needs }, dy) {
    const each = dy.view([...dy.shape, 1])
    return [
      needs[0] ? scatterAdd(mul(each, values), columns, { axis: 1, size: x.shape[1] }) : null,
      needs[1] ? sum(mul(each, gather(x, columns, { axis: 1 })), { axes: [0] }) : null,
      null,
      needs[3] ? sum(dy, { axes: [0] }) : null,
    ]
  },
  macs: ([, values], out) => out.shape[0] * values.size,
})

const ownActivation = op({
  name: 'own-activation',
  roles: ['activation'],
  axes: '... -> ...',
  run: (x: Tensor) => add(relu(x), gelu(x)),
  vjp: () => [null],
})

const inputs = 12, outputs = 10, kept = 3
const columnOf = (row: number, i: number) => (row + 4 * i) % inputs
const f32 = (seed: number, shape: number[]) => Float32Array.from(random(seed, shape).data)

class Statistics {
  gain = tensor(f32(3, [outputs]))
  shift = tensor(f32(4, [outputs]))
  mean = tensor(f32(5, [outputs]))
  variance = tensor(f32(6, [outputs]).map((value) => value * value + 0.5))
  call(x: Tensor): Tensor {
    return batchNorm(x, this.gain, this.shift, this.mean, this.variance)
  }
}

const rows = (x: Tensor) => reshape(x, { shape: [-1, inputs] })

/** A layer after a flattened image, and a batch norm where asked for. */
class Sparse {
  layer: { values: Tensor, bias: Tensor }
  index: Tensor
  norm: { call(x: Tensor): Tensor } | null
  constructor(norm: boolean) {
    const columns = Uint32Array.from({ length: outputs * kept }, (_, i) => columnOf(Math.floor(i / kept), i % kept))
    this.layer = { values: tensor(f32(1, [outputs, kept]), [outputs, kept]), bias: tensor(f32(2, [outputs])) }
    this.index = tensor(columns, [outputs, kept])
    this.norm = norm ? new Statistics() : null
  }
  call(x: Tensor): Tensor {
    const y = sparseLinear(rows(x), this.layer.values, this.index, this.layer.bias)
    return this.norm?.call(y) ?? y
  }
}

/** The masked layer that the sparse one stands for. */
class Masked {
  layer: { weight: Tensor, bias: Tensor }
  pattern: Tensor
  norm: { call(x: Tensor): Tensor } | null
  constructor(norm: boolean) {
    const values = f32(1, [outputs, kept])
    const dense = new Float32Array(outputs * inputs)
    const mask = dense.slice()
    values.forEach((value, i) => {
      const row = Math.floor(i / kept), at = row * inputs + columnOf(row, i % kept)
      dense[at] = value
      mask[at] = 1
    })
    this.layer = { weight: tensor(dense, [outputs, inputs]), bias: tensor(f32(2, [outputs])) }
    this.pattern = tensor(mask, [outputs, inputs])
    this.norm = norm ? new Statistics() : null
  }
  call(x: Tensor): Tensor {
    const y = maskedLinear(rows(x), this.layer.weight, this.pattern, this.layer.bias)
    return this.norm?.call(y) ?? y
  }
}

async function relevance(model: Model, images: Tensor, composite: Composite): Promise<Float32Array> {
  const targets = oneHot([1, 7], outputs)
  const reading = attribute(model, images, targets, { seed: 'unit', composite, read: 'relevance' })
  const values = await reading.input.data() as Float32Array
  disposeTree([reading.input, reading.logits, targets])
  return values
}

describeDevice('an op of one’s own', () => {
  const { epsilon, flat, gamma, wSquare, zPlus } = rules
  test('takes the rules of its role, by weight sign and at the first layer too', async () => {
    const sparse = new Sparse(false), masked = new Masked(false)
    const images = tensor(f32(7, [2, 1, 3, 4]), [2, 1, 3, 4])
    const composites: [string, Composite][] = [
      ['epsilon-plus', epsilonPlus],
      ['z-plus', [on({ role: 'dense' }, zPlus())]],
      ['gamma', [on({ role: 'dense' }, gamma())]],
      ['w-square', [on({ role: 'dense' }, { first: true }, wSquare())]],
      ['flat', [on('*', { first: true }, flat())]],
    ]
    for (const [name, composite] of composites) {
      const [got, want] = [await relevance(sparse, images, composite), await relevance(masked, images, composite)]
      expect(want.some((value) => Math.abs(value) > 1e-3), name).toBe(true)
      expect(relativeError(got, want), name).toBeLessThan(1e-4) // one logit is near 0
    }
    disposeTree([sparse, masked, images])
  })

  test('its multiply-adds are those it states', () => {
    const sparse = new Sparse(false), masked = new Masked(false)
    expect(costOf(sparse, [1, 3, 4]).macs).toBe(outputs * kept)
    expect(costOf(masked, [1, 3, 4]).macs).toBe(outputs * inputs)
    disposeTree([sparse, masked])
  })

  test('a batch norm behind it is folded', async () => {
    const images = tensor(f32(7, [2, 1, 3, 4]), [2, 1, 3, 4])
    for (const model of [new Sparse(true), new Masked(true)]) {
      const folded = foldBatchNorm(model, images.shape)
      const [before, after] = [scope(() => model.call(images)), scope(() => folded.call(images))]
      expect(folded.norm).toBeInstanceOf(Identity)
      expect(relativeError(await after.data(), await before.data())).toBeLessThan(1e-5)
      disposeTree([model, folded, before, after])
    }
    images.dispose()
  })

  test('an activation without a closed form conserves relevance by division', async () => {
    const images = tensor(f32(8, [2, 1, 2, 5]), [2, 1, 2, 5])
    const model: Model = { call: (x) => ownActivation(reshape(x, { shape: [2, 10] })) }
    const values = await relevance(model, images, structure())
    expect([values[1], values[17]].map((value) => Math.round(value * 1e4) / 1e4)).toEqual([1, 1])
    images.dispose()
  })

  test('a composite may name it once it is defined; what it says of itself is checked', () => {
    expect(opNames()).toContain('own-sparse-linear')
    expect(on('own-sparse-linear', epsilon()).ops).toEqual(['own-sparse-linear'])
    expect(() => on('own-later', epsilon())).toThrow(InputError)
    const define = (extra: object) => () =>
      op({ name: 'own-odd', axes: '... -> ...', run: (x: Tensor) => x, vjp: (): null[] => [null], ...extra })
    expect(define({ roles: ['pool'] })).toThrow(/own-odd: no role 'pool'; expected convolution, dense/)
    expect(define({ roles: ['dense'] })).toThrow(/own-odd: a dense op must say which argument is its weight/)
    expect(sparseLinear.op.addends([])).toEqual([3])
    expect(define({ name: 'ownOdd' })).toThrow(/op 'ownOdd': expected a name in kebab-case/)
    expect(define({ name: 'own-sparse-linear' })).toThrow(/op 'own-sparse-linear': there is one already/)
    expect(define({ name: 'linear' })).toThrow(/op 'linear': there is one already/)
  })

  test('of a call made of other calls, tapes and watchers see one', () => {
    const x = tensor(f32(9, [2, inputs]), [2, inputs]), model = new Sparse(false)
    const names: string[] = []
    const { calls } = record(() => model.call(x), [], true)
    watchCalls((op) => names.push(op.name), () => {
      model.call(x).dispose()
    })
    expect(calls.map(({ op }) => op.name)).toEqual(['reshape', 'own-sparse-linear'])
    expect(names).toEqual(['reshape', 'own-sparse-linear'])
    disposeTree([x, model, calls.map(({ out }) => out)])
  })
})
