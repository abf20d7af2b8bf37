/** What became of a stage that learnt, for text, JSON and reports. */
export interface StageRecord {
  name: string
  epochs: number
  images: number
  /** Mean loss of each epoch, penalties included. */
  losses: number[]
  /** Other values by epoch: rates of layers, accuracies, a multiplier. */
  curves: Record<string, number[]>
  /** What curves named after a unit are; the curve of that name, if any, is of the whole network (default `rate`). */
  layers?: string
}
