// The layers of ViT-Tiny, Small and Base and of ResNet-50 at several batch sizes, each checked at sampled entries in
// doubles. Without peers the kernels alone are timed; beside peers everything is, with its read-back.
import { fillUniform } from '../../src/base/random.ts'
import { sizeOf } from '../../src/base/shape.ts'
import { tensor, type Tensor } from '../../src/core/tensor.ts'
import { scope } from '../../src/core/transform.ts'
import { disposeTree } from '../../src/core/tree.ts'
import { deviceTime } from '../../src/gpu/timing.ts'
import { conv2d } from '../../src/ops/conv2d/conv2d.ts'
import { linear } from '../../src/ops/matmul/linear.ts'
import type { BenchCase, CaseMaker, Subject } from '../harness.ts'
import type { Peer, Work } from '../peers.ts'
import { pickedAt, sampled } from '../sample.ts'
import { type ConvolutionShape, type LinearShape, resnet50Layers, vitLayers } from '../shapes.ts'

/** Bytes of the largest tensor of a case, by which a machine says whether it has room. */
export interface SizedMaker extends CaseMaker {
  largest: number
}

/** The cases of these batch sizes. */
export function networkCases(peers: readonly Peer[], batches: readonly number[]): SizedMaker[] {
  return batches.flatMap((batch) => [
    ...vitLayers(batch).map((layer) => ({
      name: `${layer.name} b${batch}`,
      largest: 4 * layer.rows * Math.max(layer.inner, layer.outer),
      make: () => linearCase(layer, batch, peers),
    })),
    ...resnet50Layers().map((layer) => ({
      name: `${layer.name} b${batch}`,
      largest: 4 * batch * Math.max(layer.inner * layer.side ** 2, layer.outer * outSide(layer) ** 2),
      make: () => convolutionCase(layer, batch, peers),
    })),
  ])
}

const outSide = ({ side, kernel, stride, padding }: ConvolutionShape) =>
  Math.floor((side + 2 * padding - kernel) / stride) + 1

const values = (shape: readonly number[], name: string) => fillUniform(new Float32Array(sizeOf(shape)), 1, name, -1)

async function linearCase({ name, rows, inner, outer }: LinearShape, batch: number, peers: readonly Peer[]) {
  const x = values([rows, inner], 'x')
  const w = values([outer, inner], 'w')
  const places = sampled(rows * outer)
  const expected = places.map((at) => {
    const row = Math.floor(at / outer) * inner, column = at % outer * inner
    let sum = 0
    for (let i = 0; i < inner; i++) sum += x[row + i] * w[column + i]
    return sum
  })
  const tensors = [tensor(x, [rows, inner]), tensor(w, [outer, inner])]
  const b = peers.length ? transposed(w, outer, inner) : w
  return layerCase({
    name: `${name} b${batch}`,
    shape: `${rows}x${inner}x${outer}`,
    flops: 2 * rows * inner * outer,
    bytes: 4 * (x.length + w.length + rows * outer),
    expected,
    places,
    tensors,
    run: () => linear(tensors[0], tensors[1], null),
    peers,
    work: { kind: 'matmul', M: rows, K: inner, N: outer, a: x, b },
  })
}

async function convolutionCase(layer: ConvolutionShape, batch: number, peers: readonly Peer[]) {
  const { name, inner, outer, side, kernel, stride, padding } = layer, out = outSide(layer)
  const shape = [batch, inner, side, side], weights = [outer, inner, kernel, kernel], result = [batch, outer, out, out]
  const x = values(shape, 'x')
  const w = values(weights, 'w')
  const places = sampled(sizeOf(result))
  const expected = places.map((at) => {
    const column = at % out, row = Math.floor(at / out) % out
    const o = Math.floor(at / out ** 2) % outer, n = Math.floor(at / (out ** 2 * outer))
    let sum = 0
    for (let c = 0; c < inner; c++) {
      for (let u = 0; u < kernel; u++) {
        const i = row * stride - padding + u
        if (i < 0 || i >= side) continue
        for (let v = 0; v < kernel; v++) {
          const j = column * stride - padding + v
          if (j < 0 || j >= side) continue
          sum += x[((n * inner + c) * side + i) * side + j] * w[((o * inner + c) * kernel + u) * kernel + v]
        }
      }
    }
    return sum
  })
  const tensors = [tensor(x, shape), tensor(w, weights)]
  return layerCase({
    name: `${name} b${batch}`,
    shape: `x=${shape.join('x')} w=${weights.join('x')} s${stride}`,
    flops: 2 * sizeOf(result) * inner * kernel ** 2,
    bytes: 4 * (x.length + w.length + sizeOf(result)),
    expected,
    places,
    tensors,
    run: () => conv2d(tensors[0], tensors[1], null, { stride, padding }),
    peers,
    work: { kind: 'conv2d', shape, weights, out: result, stride, padding, x, w },
  })
}

interface Layer {
  name: string
  shape: string
  flops: number
  bytes: number
  expected: readonly number[]
  places: readonly number[]
  tensors: Tensor[]
  run: () => Tensor
  peers: readonly Peer[]
  work: Work
}

async function layerCase(
  { name, shape, flops, bytes, expected, places, tensors, run, peers, work }: Layer,
): Promise<BenchCase> {
  const pick = pickedAt(places)
  const launch = () => {
    scope(() => {
      run()
    })
  }
  const subjects: Subject[] = [{
    impl: 'espalier',
    async run() {
      const out = scope(run), data = await out.data()
      out.dispose()
      return data
    },
    inOrder: pick,
    launch,
    device: () => deviceTime(launch),
    dispose: () => {
      disposeTree(tensors)
    },
  }]
  for (const peer of peers) subjects.push(...await peerSubject(peer, work, pick))
  return { suite: 'kernels', name, shape, flops, bytes, expected, subjects, clock: peers.length ? 'wall' : 'device' }
}

/** A peer as a subject, nothing where it has no such op; `pick` takes the entries that are checked. */
export async function peerSubject(
  peer: Peer,
  work: Work,
  pick: (values: ArrayLike<number>) => ArrayLike<number> = (values) => values,
): Promise<Subject[]> {
  const prepared = await peer.prepare(work)
  if (!prepared) return []
  const { run, inOrder = (found: ArrayLike<number>) => found, free } = prepared
  return [{
    impl: peer.name,
    run,
    inOrder: (found) => pick(inOrder(found)),
    note: peer.note,
    offDevice: peer.device === 'cores',
    dispose: free,
  }]
}

function transposed(w: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(w.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = w[i * columns + j]
  return out
}
