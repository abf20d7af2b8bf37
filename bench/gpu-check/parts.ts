// What a quarter of an hour with a GPU is spent on, the most valuable first: does everything compute right, what are
// the roofs, how close do our kernels come, do sparse ones pay, how fast are networks. Each part is a process of its
// own, so that a driver that hangs or dies takes one part with it.

/** One part. */
export interface Part {
  name: string
  /** What it tells, for people. */
  what: string
  /** Most seconds it may take; less where less is left of all. */
  seconds: number
}

/** All parts in their order. */
export const parts: readonly Part[] = [
  { name: 'device', what: 'adapter, features, limits', seconds: 30 },
  { name: 'ops', what: 'every op against references, forward and backward, browser profile', seconds: 75 },
  { name: 'kernels-vit', what: 'layers of ViT-T/S/B, roofline, tuner choices, both profiles', seconds: 75 },
  { name: 'patterns-forward', what: 'sparse layers by density, forward', seconds: 60 },
  { name: 'deit-tiny', what: 'DeiT-Tiny forward, training step, sliced, sparse', seconds: 50 },
  { name: 'deit-base', what: 'DeiT-Base forward, sliced, sparse', seconds: 60 },
  { name: 'patterns-backward', what: 'sparse layers by density, both gradients', seconds: 50 },
  { name: 'kernels-resnet50', what: 'layers of ResNet-50, both profiles', seconds: 60 },
  { name: 'deit-small', what: 'DeiT-Small forward, sliced, sparse', seconds: 40 },
  { name: 'ops-native', what: 'every op again, native profile', seconds: 60 },
  {
    name: 'peers',
    what: 'products and attention beside TensorFlow.js, jax-js and ONNX Runtime, where installed',
    seconds: 60,
  },
  { name: 'variants', what: 'products by every row of the table of variants', seconds: 60 },
]

/** How all of it is run. */
export interface GpuCheckOptions {
  out: string
  adapter?: string
  minutes: number
  /** Small sizes and few rounds: to rehearse on a software driver. */
  small: boolean
  /** Names of parts; default all. */
  only?: readonly string[]
  threads?: number
}

/** What a part was told, as JSON in its process's arguments. */
export interface PartTask {
  name: string
  adapter?: string
  small: boolean
  threads?: number
  /** Seconds after which it begins nothing new. */
  seconds: number
}

/** How a part ended. */
export interface PartResult {
  name: string
  what: string
  /** 'done', 'failed' (its process ended with an error), 'late' (it was ended), 'left out' (no time was left). */
  state: 'done' | 'failed' | 'late' | 'left out'
  seconds: number
  /** What it found: a BenchReport, or an object of its own. */
  result: unknown
  /** The end of what it said, where it did not end well. */
  said?: string
}
