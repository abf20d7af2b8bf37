// Small networks with one gate and one flaw behind it: what `units` must find, and say by name.
import { add, BatchNorm, concat, Conv2d, cos, exp, full, Gate, gather, LayerNorm, leaves, Linear, max, mean, mul, neg,
  pad, pow, relu, reshape, roll, sigmoid, slice, softmax, softplus, sum, type Tensor, tensor } from '../../src/index.ts'

/** The parts a planted network may use; those it does not use stay idle. x [B, 6] -> hidden [B, 8] -> [B, 3]. */
export class Planted {
  static readonly leaves = { order: { trained: false } } as const
  first = new Linear(6, 8)
  gate = new Gate([-1])
  last = new Linear(8, 3)
  other = new Linear(6, 8)
  reader = new Linear(8, 3)
  narrow = new Linear(4, 3)
  six = new Linear(6, 6)
  rows = new Gate([-2])
  wide = new Linear(16, 3)
  norm = new LayerNorm(8)
  filters = new Conv2d(6, 8, 1)
  channels = new Gate([-3])
  batchNorm = new BatchNorm(8)
  readsFilters = new Conv2d(8, 3, 1)
  offset = full([8], 0.5)
  order = tensor(Uint32Array.of(1, 0, 3, 2, 5, 4, 7, 6))
  readonly body: (m: Planted, x: Tensor) => Tensor

  constructor(body: (m: Planted, x: Tensor) => Tensor) {
    this.body = body
  }

  call(x: Tensor): Tensor {
    return this.body(this, x)
  }
}

/** The planted network with the same weights in every run. */
export function plant(body: Planted['body'], next: () => number): Planted {
  const model = new Planted(body)
  for (const [path, leaf] of leaves(model)) {
    const spread = /norm\.variance$|Norm\.variance$/.test(path) ? 0.5 : 2
    if (leaf.dtype === 'f32' && path !== 'offset') {
      leaf.write(Float32Array.from({ length: leaf.size }, () => spread * (next() - (spread === 2 ? 0.5 : -0.5))))
    }
  }
  return model
}

const hidden = (m: Planted, x: Tensor) => relu(m.first.call(x))
const gated = (m: Planted, x: Tensor) => m.gate.call(hidden(m, x))
const image = (x: Tensor) => reshape(x, { shape: [x.shape[0], 6, 1, 1] })
const filtered = (m: Planted, x: Tensor) => m.channels.call(relu(m.filters.call(image(x))))
const flat = (y: Tensor) => mean(y, { axes: [2, 3] })

/** What keeps zeros: a slice equals a mask. */
export const exact: Record<string, Planted['body']> = {
  'nothing but a linear layer': (m, x) => m.last.call(gated(m, x)),
  'relu, pow and a factor': (m, x) => m.last.call(mul(pow(relu(gated(m, x)), { exponent: 3 }), m.offset)),
  'a product with something unmasked': (m, x) => m.last.call(mul(gated(m, x), m.other.call(x))),
  'a sum over the axis': (m, x) =>
    mul(
      sum(gated(m, x), { axes: [-1], keep: true }),
      m.narrow.call(slice(x, { starts: [0, 0], stops: [x.shape[0], 4] })),
    ),
  'a border of zeros': (m, x) =>
    flat(m.readsFilters.call(pad(filtered(m, x), { before: [0, 0, 1, 1], after: [0, 0, 1, 1] }))),
  'other entries behind it on the same axis': (m, x) =>
    m.wide.call(concat(gated(m, x), relu(m.other.call(x)), { axis: -1 })),
}

/** What does not: the network, and what the reason must say. */
export const inexact: Record<string, { body: Planted['body'], reason: RegExp }> = {
  'a bias after the gate': {
    body: (m, x) => m.last.call(add(gated(m, x), m.offset)),
    reason: /^add of 'offset' adds something that is not zero there; linear of 'last\.weight' then sums over it$/,
  },
  'softplus': {
    body: (m, x) => m.last.call(softplus(gated(m, x))),
    reason: /^softplus after 'first\.weight' turns a zero into something else; linear of 'last/,
  },
  'exp': { body: (m, x) => m.last.call(exp(gated(m, x))), reason: /^exp after 'first\.weight' turns a zero/ },
  'sigmoid, and what follows it': {
    body: (m, x) => m.last.call(mul(sigmoid(gated(m, x)), m.offset)),
    reason: /^sigmoid after 'first\.weight' turns a zero/,
  },
  'cos': { body: (m, x) => m.last.call(cos(gated(m, x))), reason: /^cos after/ },
  'a power of zero': { body: (m, x) => m.last.call(pow(gated(m, x), { exponent: 0 })), reason: /^pow after/ },
  'layer norm along the axis': {
    body: (m, x) => m.last.call(m.norm.call(gated(m, x))),
    reason: /^layer-norm of 'norm\.gain': the op mixes/,
  },
  'softmax along the axis': {
    body: (m, x) => m.last.call(softmax(gated(m, x))),
    reason: /^softmax after 'first\.weight': /,
  },
  'the mean over the axis': {
    body: (m, x) => m.narrow.call(mul(mean(gated(m, x), { axes: [-1], keep: true }), full([x.shape[0], 4], 1))),
    reason: /^mean after 'first\.weight': mean over this axis/,
  },
  'the largest along the axis': {
    body: (m, x) =>
      m.narrow.call(
        mul(max(neg(m.gate.call(softplus(m.first.call(x)))), { axes: [-1], keep: true }), full([x.shape[0], 4], 1)),
      ),
    reason: /^max after 'first\.weight': max over this axis/,
  },
  'batch norm after the gate': {
    body: (m, x) => flat(m.readsFilters.call(m.batchNorm.call(filtered(m, x)))),
    reason: /^batch-norm of 'batchNorm\.gain' turns a zero into something else; conv2d of 'readsFilters/,
  },
  'a border that is not zero': {
    body: (m, x) =>
      flat(m.readsFilters.call(pad(filtered(m, x), { before: [0, 0, 1, 1], after: [0, 0, 1, 1], value: 1 }))),
    reason: /^pad after 'filters\.weight' turns a zero/,
  },
  'a second reader that is not masked': {
    body: (m, x) => {
      const h = hidden(m, x)
      return add(m.last.call(m.gate.call(h)), m.reader.call(h))
    },
    reason: /^linear of 'reader\.weight' reads it before the gate$/,
  },
  'a sum with something not masked': {
    body: (m, x) => m.last.call(add(gated(m, x), m.other.call(x))),
    reason: /^add after 'other\.weight' adds something that is not zero there/,
  },
  'tokens that are not masked beside it': {
    body: (m, x) => {
      const rows = (y: Tensor) => reshape(y, { shape: [y.shape[0], 1, y.shape[1]] })
      return sum(m.last.call(concat(rows(gated(m, x)), rows(m.other.call(x)), { axis: 1 })), { axes: [1] })
    },
    reason: /^concat after 'other\.weight' puts something beside it/,
  },
}

/** What cannot be cut at all. */
export const unprunable: Record<string, { body: Planted['body'], reason: RegExp }> = {
  'the axis is the output': { body: (m, x) => gated(m, x), reason: /^the axis reaches the output of the network$/ },
  'the axis is the input': {
    body: (m, x) => m.other.call(m.gate.call(x)),
    reason: /^the axis reaches the input of the network$/,
  },
  'a reshape splits it': {
    body: (m, x) => m.narrow.call(sum(reshape(gated(m, x), { shape: [x.shape[0], 2, 4] }), { axes: [1] })),
    reason: /^the axis of gate is a product of several axes$/,
  },
  'two reshapes split it differently': {
    body: (m, x) => {
      const to = (y: Tensor, ...shape: number[]) => reshape(y, { shape: [x.shape[0], ...shape] })
      return sum(to(to(m.rows.call(to(m.six.call(x), 3, 2)), 6), 2, 3), { axes: [1] })
    },
    reason: /^reshape turns \[6\] into \[2,3\], which are split otherwise/,
  },
  'fixed places are taken out of it': {
    body: (m, x) => m.narrow.call(slice(gated(m, x), { starts: [0, 0], stops: [x.shape[0], 4] })),
    reason: /^slice picks places of this axis by number/,
  },
  'its places are turned': {
    body: (m, x) => m.last.call(roll(gated(m, x), { shifts: [3], axes: [-1] })),
    reason: /^roll picks places of this axis by number/,
  },
  'an index picks from it': {
    body: (m, x) => m.last.call(gather(gated(m, x), m.order, { axis: 1 })),
    reason: /^gather: an index that only the device knows/,
  },
  'it is read twice as one axis': {
    body: (m, x) => {
      const h = hidden(m, x)
      return m.wide.call(m.gate.call(concat(h, h, { axis: -1 })))
    },
    reason: /^several indices of gate are one and the same$/,
  },
}
