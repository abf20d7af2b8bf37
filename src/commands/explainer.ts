// What `espalier explain` does with a batch of images: classes, relevance, rows of a sheet, and sums over all batches.
import { basename } from 'node:path'
import { type Flow, Ledger } from '../attribution/conservation.ts'
import { firstNonFiniteRelevance } from '../attribution/diagnose.ts'
import { isShareOfLogit } from '../attribution/methods.ts'
import { type AttributionMethod, oneHot } from '../attribution/relevance.ts'
import { NumericError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'
import { firstNonFinite } from '../core/diagnose.ts'
import type { Model } from '../nn/model.ts'
import { heatmapOf, pictureOf, type Row, scaleOnSheet } from '../report/heatmap.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { foldBatchNorm } from '../nn/fold.ts'
import { gatesOf } from '../nn/gates.ts'
import { tensor, type Tensor } from '../core/tensor.ts'
import { inference } from '../core/transform.ts'
import { disposeTree } from '../core/tree.ts'
import { percent } from './model.ts'

/**
 * The composite to explain a network with where none is named: dense first layers have no use for the pixels' bounds.
 */
export const usualComposite = ({ architecture: { type } }: { architecture: { type: string } }): string =>
  /vgg|resnet/.test(type) ? 'epsilon-gamma-box' : 'attn-lrp-gamma'

/** Images of one batch: [count, ...shape] normalised, with their names. */
export interface Images {
  values: Float32Array
  shape: [number, number, number, number]
  names: string[]
}

/** One attribution method over all images and classes: means of relevance at the input, by layer and by unit. */
export interface Totals {
  method: string
  input: number
  flows: Flow[]
  units: Map<string, Float64Array>
}

/** What was found out about one image. */
export interface Found {
  file: string
  best: { class: number, name: string, probability: number }[]
  /** `input` is the sum of relevance at the pixels; `scale` what full colour stands for in its picture. */
  explained: { class: number, name: string, logit: number, composite: string, input: number, scale: number }[]
}

/** What the explainer works with; `flows` and `units` say what is asked for beside the heatmaps. */
export interface ExplainerOptions {
  model: Model
  classes: number
  names: string[] | null
  methods: ReadonlyMap<string, AttributionMethod>
  preprocessing: Preprocessing
  flows: boolean
  units: boolean
}

/** What a class is called whose name nobody knows. */
export const namelessClass = (at: number): string => `class ${at}`

/** The first of a class's names, which ImageNet parts by commas. */
const brief = (name: string) => name.split(',')[0]

const total = (values: Float32Array) => values.reduce((a, b) => a + b, 0)

/** Runs batches of images and keeps sums, never tensors. */
export class Explainer {
  readonly found: Found[] = []
  private readonly sums = new Map<string, Totals>()
  private readonly options: ExplainerOptions
  private folded: Model | null = null

  constructor(options: ExplainerOptions) {
    this.options = options
  }

  /** Explains one batch for the classes wanted, or each image's best one: the rows of a sheet, and more sums. */
  async explain({ values, shape, names }: Images, wanted: readonly number[] | undefined): Promise<Row[]> {
    const { model, preprocessing } = this.options
    this.folded ??= foldBatchNorm(model, shape)
    const [, channels, height, width] = shape, area = channels * height * width
    const images = tensor(values, shape)
    const logits = await this.logits(images, names)
    const found = names.map((name, i): Found => ({
      file: name,
      explained: [],
      best: bestOf(logits[i], 5).map(({ at, probability }) => ({ class: at, name: this.nameOf(at), probability })),
    }))
    const rows = found.map(({ file, best }, i) => ({
      name: basename(file).replace(/\.(png|jpe?g)$/i, ''),
      picture: pictureOf(values.subarray(i * area, (i + 1) * area), channels, height, width, preprocessing),
      best: best.map(({ name, probability }) =>
        `${percent(probability, 1).padStart(percent(best[0].probability, 1).length)}  ${brief(name)}`
      ),
      panels: [] as Row['panels'][number][],
    }))
    for (let slot = 0; slot < (wanted?.length ?? 1); slot++) {
      const classes = logits.map((row) => wanted?.[slot] ?? bestOf(row, 1)[0].at)
      for (const [composite, method] of this.options.methods) {
        const relevance = await this.attribute(images, classes, composite, method, names)
        rows.forEach((row, i) => {
          const at = classes[i], logit = logits[i][at], name = this.nameOf(at)
          // A share of a negative logit has the opposite sign; in pictures red always speaks for the class.
          const sign = isShareOfLogit(composite) && logit < 0 ? -1 : 1
          const part = relevance.subarray(i * area, (i + 1) * area).map((value) => sign * value), input = total(part)
          const note = `logit ${logit.toFixed(2)}, sum ${input.toPrecision(2)}`
          const heatmap = heatmapOf(part, channels, height, width)
          row.panels.push({ heading: composite, subheading: brief(name), note, heatmap })
          found[i].explained.push({ class: at, name, logit, composite, input, scale: scaleOnSheet(heatmap) })
        })
      }
    }
    images.dispose()
    this.found.push(...found)
    return rows
  }

  private async logits(images: Tensor, names: readonly string[]): Promise<Float32Array[]> {
    const { classes } = this.options
    const logits = inference(() => this.folded!.call(images))
    const values = await logits.data() as Float32Array
    logits.dispose()
    const bad = values.findIndex((value) => !Number.isFinite(value))
    if (bad >= 0) {
      const where = await firstNonFinite(this.options.model, () => this.options.model.call(images))
      throw new NumericError(
        `${quoted(names[Math.floor(bad / classes)])}: the logit of class ${bad % classes} is ${
          values[bad]
        }; the weights or the image are damaged: ${where ?? 'run again, every value is finite'}`,
      )
    }
    return names.map((_, i) => values.subarray(i * classes, (i + 1) * classes))
  }

  private async attribute(
    images: Tensor,
    classes: number[],
    name: string,
    method: AttributionMethod,
    files: readonly string[],
  ): Promise<Float32Array> {
    const ledger = this.options.flows ? new Ledger() : undefined
    const targets = oneHot(classes, this.options.classes)
    const reading = method(this.folded!, images, targets, {
      ledger,
      gates: this.options.units && name !== 'attention-rollout',
      absolute: true,
    })
    try {
      const relevance = await reading.input.data() as Float32Array
      const flows = await ledger?.flows() ?? []
      const bad = relevance.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) {
        const where = await firstNonFiniteRelevance(this.folded!, images, targets, method)
        throw new NumericError(
          `${quoted(files[Math.floor(bad * files.length / relevance.length)])}: relevance by ${name} is ${
            relevance[bad]
          }: ${where ?? 'run again, every value is finite'}`,
        )
      }
      const before = this.sums.get(name)
      const units = before?.units ?? new Map<string, Float64Array>()
      for (const [path, site] of reading.sites) {
        const read = await site.data(), size = read.length / classes.length
        const sum = units.get(path) ?? new Float64Array(size)
        read.forEach((value, i) => {
          sum[i % size] += value
        })
        units.set(path, sum)
      }
      this.sums.set(name, {
        method: name,
        units,
        input: (before?.input ?? 0) + total(relevance),
        flows: before ? flows.map((flow, i) => combined(flow, (field) => flow[field] + before.flows[i][field])) : flows,
      })
      return relevance
    } finally {
      disposeTree([reading.logits, reading.input, [...reading.sites.values()], targets])
    }
  }

  /** Sums divided by the number of explanations; gates in the order of the model. */
  averages(): Totals[] {
    const gates = gatesOf(this.options.model).map(([path]) => path)
    return [...this.sums.values()].map(({ method, input, flows, units }) => {
      const count = this.found.flatMap(({ explained }) =>
        explained
      ).filter(({ composite }) => composite === method).length
      return {
        method,
        input: input / count,
        flows: flows.map((flow) => combined(flow, (field) => flow[field] / count)),
        units: new Map(gates.flatMap((path) =>
          units.has(path) ? [[path, units.get(path)!.map((value) => value / count)] as const] : []
        )),
      }
    })
  }

  private nameOf(at: number): string {
    return this.options.names?.[at] ?? namelessClass(at)
  }
}

function combined(flow: Flow, value: (field: 'entering' | 'leaving' | 'absorbed' | 'rest') => number): Flow {
  return {
    ...flow,
    entering: value('entering'),
    leaving: value('leaving'),
    absorbed: value('absorbed'),
    rest: value('rest'),
  }
}

function bestOf(logits: Float32Array, count: number): { at: number, probability: number }[] {
  const largest = Math.max(...logits), sum = logits.reduce((all, value) => all + Math.exp(value - largest), 0)
  return [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, count)
    .map((at) => ({ at, probability: Math.exp(logits[at] - largest) / sum }))
}
