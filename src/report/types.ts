// What a report is made of: plain data that `prune`, `sweep` and `demo` fill in, and may leave parts of out.
import type { StageRecord } from '../pruning/learning/record.ts'
import type { MaskReport } from './class-masks.ts'
import type { Comparison } from './comparison.ts'
import type { HeadGraphReport } from './head-graph.ts'

/** A model's figures, by the names of the JSON results. Fractions are 0..1, times milliseconds. */
export interface Figures {
  top1?: number
  top5?: number
  loss?: number
  /** How many images the accuracy is of. */
  images?: number
  params: number
  /** Multiply-adds of one image. */
  macs: number
  /** Size of its file. */
  bytes?: number
  msPerImage?: number
  /** Median absolute deviation of the times from their median. */
  msPerImageMad?: number
  imagesPerSecond?: number
  /** Time as a share of the dense network's, measured in turns; between what it lies with 95 % confidence. */
  timeShare?: number
  timeShareLow?: number
  timeShareHigh?: number
}

/** What is left of one unit. */
export interface KeptUnit {
  name: string
  size: number
  kept: number
}

/** One rate of a curve: the mean over seeds, with the ends of its error band where there are several. */
export interface CurvePoint {
  rate: number
  top1: number
  low?: number
  high?: number
  seeds: number
  macs: number
  params: number
  msPerImage?: number
  /** Time as a share of the dense network's, in turns with it. */
  timeShare?: number
}

/** Accuracy of one method against the pruning rate. */
export interface Curve {
  name: string
  /** What its times were measured on; points of other adapters have none here. */
  adapter?: string
  /** A_PR: the mean accuracy over the rates. */
  area: number
  /** Its standard error over seeds. */
  areaError?: number
  /** The area by the trapezoid rule, as PxP's public code has it. */
  trapezoid?: number
  /** Top-PR: the largest rate that keeps 95 % of the dense accuracy. */
  topRate: number
  points: CurvePoint[]
}

/** One image explained before and after pruning, as PNG files. */
export interface Heatmaps {
  name: string
  before: Uint8Array
  after: Uint8Array
}

/** Everything a report shows. */
export interface Report {
  title: string
  model: string
  /** The images that scores were taken on. */
  data: string
  /** The images that accuracy was measured on. */
  test?: string
  method?: string
  rate?: number
  /** The exact command, to be run again. */
  command: string
  seed: number
  adapter: string
  version: string
  before: Figures
  after?: Figures
  /** In the order of the network. */
  units: KeptUnit[]
  curves?: Curve[]
  /** Methods side by side at one budget. */
  comparison?: Comparison
  /** What learnt, stage by stage. */
  stages?: readonly StageRecord[]
  /** Masks of classes that a method learnt. */
  masks?: MaskReport
  /** How alike heads are, and how that ranks them. */
  graph?: HeadGraphReport
  heatmaps?: Heatmaps[]
  notes?: string[]
}
