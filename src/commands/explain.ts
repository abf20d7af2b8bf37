// `espalier explain`: why a network sees what it sees. Heatmaps on a contact sheet, the best classes, where relevance is lost on
// its way, and the units that matter.
import { mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Command } from 'commander'
import { type Flow, Ledger, summarize } from '../attribution/conservation.ts'
import { criterionNames, criterionOf, isShareOfLogit } from '../attribution/criteria.ts'
import { type Criterion, oneHot } from '../attribution/relevance.ts'
import { InputError, NumericError } from '../errors.ts'
import type { Model } from '../evaluation.ts'
import { close, init } from '../gpu/device.ts'
import { modelOf, parseCheckpoint } from '../io/checkpoint.ts'
import { loadImage, openDataset, parseDataSpec } from '../io/datasets.ts'
import { nodeFiles } from '../io/files.ts'
import { heatmapOf, pictureOf, type Row, sheet } from '../io/heatmap.ts'
import { openOutput, writeOutput } from '../io/output.ts'
import { packageVersion } from '../io/package.ts'
import type { Preprocessing } from '../io/preprocess.ts'
import { parent, readClasses } from '../io/sources.ts'
import { foldBatchNorm } from '../nn/fold.ts'
import { tensor } from '../tensor.ts'
import { lean } from '../transform.ts'
import { disposeTree } from '../tree.ts'
import { type CommandSpec, wholeNumber } from './command.ts'
import { addArch, addPreprocessing, type ArchOptions, percent, preprocessingWith, type PreprocessingOptions, table } from './model.ts'

interface ExplainOptions extends ArchOptions, PreprocessingOptions {
  image?: string[]
  data?: string
  class?: string[]
  composite?: string[]
  out?: string
  batch: number
  conservation?: boolean
  units?: boolean
}

/** Images of one batch: [count, ...shape] normalised, with their names. */
interface Images { values: Float32Array, shape: [number, number, number, number], names: string[] }

/** One class and criterion over all images: sums over images of relevance at the input, by layer and by unit. */
interface Totals { criterion: string, input: number, flows: Flow[], units: Map<string, Float64Array> }

const sheetLimit = 40

/** The command `espalier explain <model> --image <file> ...`. */
export const explain: CommandSpec<ExplainOptions> = {
  name: 'explain',
  summary: 'relevance heatmaps beside the images, the best classes, relevance lost by layer, the units that matter',
  declare(command: Command) {
    addPreprocessing(addArch(command.argument('<model>', 'a .safetensors file'))
      .option('--image <file...>', 'pictures to explain')
      .option('--data <data>', 'a data set to explain, as in eval')
      .option('--class <id or name...>', 'classes to explain; default the best one of each image')
      .option('--composite <name...>', `ways to attribute, side by side: ${criterionNames.join(', ')}; default attn-lrp for transformers, epsilon-gamma-box for CNNs`)
      .option('--out <png or folder>', 'a contact sheet, or a folder for one per image')
      .option('--batch <n>', 'images at once', wholeNumber(1, 4096), 8)
      .option('--conservation', 'where relevance is created or lost, and by which op')
      .option('--units', 'relevance of heads, neurons and channels, averaged over the images'))
  },
  async run({ args, arch, image, data, class: wanted, composite, out, batch, conservation, units, json, adapter, threads, ...flags }, talk) {
    const checked = await parseCheckpoint(await nodeFiles.read(args[0]), args[0], { arch })
    const preprocessing = preprocessingWith(checked.preprocessing, flags)
    const { source, count } = await openImages(image, data, preprocessing, batch, checked.classCount)
    const names = checked.classes ?? await namesBeside(image?.[0], data, checked.classCount)
    const classes = wanted?.flatMap((text) => /^[\d,\s]+$/.test(text) ? text.split(',') : [text]).map((text) => classOf(text, names, checked.classCount))
    const criteria = criteriaOf(composite ?? [/vit|deit|swin/.test(checked.architecture.type) ? 'attn-lrp' : 'epsilon-gamma-box'], preprocessing)
    const asSheet = out !== undefined && /\.png$/i.test(out)
    if (asSheet && count > sheetLimit) throw new InputError(`--out ${out}: ${count} images are too many for one sheet, expected at most ${sheetLimit}; give a folder, which gets a file per image`)
    if (out !== undefined && !asSheet) mkdirSync(out, { recursive: true })
    const sheetFile = asSheet ? openOutput(out) : null               // found wanting now rather than after the work
    const gpu = await init({ adapter, threads })
    const progress = talk.progress('explaining', count)
    try {
      const loaded = modelOf(checked)
      const explainer = new Explainer(loaded, checked.classCount, names, criteria, { flows: conservation === true || json === true, units: units === true })
      const sheetRows: Row[] = [], files: string[] = []
      let done = 0
      for await (const part of source()) {
        const rows = await explainer.explain(part, classes, preprocessing)
        if (asSheet) sheetRows.push(...rows)
        else if (out !== undefined) {
          for (const [i, row] of rows.entries()) {
            files.push(join(out, `${String(done + i + 1).padStart(String(count).length, '0')}-${basename(row.name).replace(/\.[^.]*$/, '')}.png`))
            writeOutput(files.at(-1)!, sheet([row], args[0]).png())
          }
        }
        done += rows.length
        progress.update(done)
      }
      if (sheetFile) {
        sheetFile.write(sheet(sheetRows, basename(args[0])).png())
        sheetFile.commit()
        files.push(sheetFile.path)
      }
      const totals = explainer.averages()
      return {
        json: { model: args[0], images: explainer.found, explanations: totals.map((total) => jsonOf(total, units === true)), files, adapter: gpu.adapter.name, version: packageVersion() },
        text: textOf(explainer, totals, files, { conservation: conservation === true, units: units === true }),
      }
    } finally {
      sheetFile?.abandon()
      progress.stop()
      await close()
    }
  },
}

/** Runs batches of images and keeps sums, never tensors. */
class Explainer {
  readonly found: { file: string, best: { class: number, name: string, probability: number }[], explained: { class: number, name: string, logit: number, composite: string, input: number }[] }[] = []
  private readonly sums = new Map<string, Totals>()
  private readonly model: Model
  private readonly count: number
  private readonly names: string[] | null
  private readonly criteria: Map<string, Criterion>
  private readonly asked: { flows: boolean, units: boolean }
  private folded: Model | null = null

  constructor(model: Model, count: number, names: string[] | null, criteria: Map<string, Criterion>, asked: { flows: boolean, units: boolean }) {
    this.model = model
    this.count = count
    this.names = names
    this.criteria = criteria
    this.asked = asked
  }

  /** Explains one batch: the rows of a sheet, and more sums. */
  async explain({ values, shape, names }: Images, wanted: number[] | undefined, preprocessing: Preprocessing): Promise<Row[]> {
    const model = this.folded ??= foldBatchNorm(this.model, shape)
    const [batch, channels, height, width] = shape, area = channels * height * width
    const images = tensor(values, shape)
    const logits = await this.logits(model, images, names)
    const rows = names.map((name, i) => {
      const best = bestOf(logits[i], 5).map(({ at, probability }) => ({ class: at, name: this.nameOf(at), probability }))
      this.found.push({ file: name, best, explained: [] })
      return { name: basename(name), picture: pictureOf(values.subarray(i * area, (i + 1) * area), channels, height, width, preprocessing),
        best: best.map((each) => `${percent(each.probability, 1)} ${each.name}`), panels: [] as Row['panels'][number][] }
    })
    const slots = wanted?.length ?? 1
    for (let slot = 0; slot < slots; slot++) {
      const classes = logits.map((row) => wanted?.[slot] ?? bestOf(row, 1)[0].at)
      for (const [name, criterion] of this.criteria) {
        const relevance = await this.attribute(model, images, classes, name, criterion, names)
        rows.forEach((row, i) => {
          const logit = logits[i][classes[i]]
          // A share of a negative logit has the opposite sign; in pictures red always speaks for the class.
          const sign = isShareOfLogit(name) && logit < 0 ? -1 : 1
          const part = relevance.subarray(i * area, (i + 1) * area).map((value) => sign * value), input = part.reduce((a, b) => a + b, 0)
          row.panels.push({ heading: name, subheading: this.nameOf(classes[i]), note: `logit ${logit.toFixed(2)}, sum ${input.toPrecision(2)}`, heatmap: heatmapOf(part, channels, height, width) })
          this.found[this.found.length - batch + i].explained.push({ class: classes[i], name: this.nameOf(classes[i]), logit, composite: name, input })
        })
      }
    }
    images.dispose()
    return rows
  }

  private async logits(model: Model, images: ReturnType<typeof tensor>, names: string[]): Promise<Float32Array[]> {
    const logits = lean(() => model.call(images))
    const values = await logits.data() as Float32Array
    logits.dispose()
    return names.map((name, i) => {
      const row = values.subarray(i * this.count, (i + 1) * this.count)
      const bad = row.findIndex((value) => !Number.isFinite(value))
      if (bad >= 0) throw new NumericError(`${name}: the logit of class ${bad} is ${row[bad]}; the weights or the image are damaged`)
      return row
    })
  }

  private async attribute(model: Model, images: ReturnType<typeof tensor>, classes: number[], name: string, criterion: Criterion, files: string[]): Promise<Float32Array> {
    const ledger = this.asked.flows ? new Ledger() : undefined
    const targets = oneHot(classes, this.count)
    const rollout = name === 'attention-rollout'
    const reading = criterion(model, images, targets, { ledger, gates: this.asked.units && !rollout, absolute: true })
    try {
      const relevance = await reading.input.data() as Float32Array
      const bad = relevance.findIndex((value) => !Number.isFinite(value))
      const flows = await ledger?.flows() ?? []
      if (bad >= 0) {
        const broken = flows.findLast(({ leaving, absorbed }) => !Number.isFinite(leaving + absorbed))
        throw new NumericError(`${files[Math.floor(bad * files.length / relevance.length)]}: relevance by ${name} is ${relevance[bad]}${broken ? `, first at ${broken.op} in ${broken.layer}` : '; --conservation tells where'}`)
      }
      const sums = this.sums.get(name) ?? { criterion: name, input: 0, flows: [], units: new Map<string, Float64Array>() }
      this.sums.set(name, sums)
      sums.input += relevance.reduce((a, b) => a + b, 0)
      flows.forEach((flow, i) => {
        const before = sums.flows[i] as Flow | undefined
        sums.flows[i] = before ? { ...flow, entering: before.entering + flow.entering, leaving: before.leaving + flow.leaving, absorbed: before.absorbed + flow.absorbed, rest: before.rest + flow.rest } : flow
      })
      for (const [path, site] of reading.sites) {
        const read = await site.data(), size = read.length / classes.length
        const total = sums.units.get(path) ?? new Float64Array(size)
        read.forEach((value, i) => { total[i % size] += value })
        sums.units.set(path, total)
      }
      return relevance
    } finally {
      disposeTree([reading.logits, reading.input, [...reading.sites.values()], targets])
    }
  }

  /** Sums divided by the number of explanations. */
  averages(): Totals[] {
    return [...this.sums.values()].map(({ criterion, input, flows, units }) => {
      const count = this.found.reduce((sum, { explained }) => sum + explained.filter(({ composite }) => composite === criterion).length, 0)
      return {
        criterion, input: input / count,
        // the walk met the last layer first
        units: new Map([...units].reverse().map(([path, values]) => [path, values.map((value) => value / count)])),
        flows: flows.map((flow) => ({ ...flow, entering: flow.entering / count, leaving: flow.leaving / count, absorbed: flow.absorbed / count, rest: flow.rest / count })),
      }
    })
  }

  private nameOf(at: number): string {
    return this.names?.[at] ?? `class ${at}`
  }
}

function bestOf(logits: Float32Array, count: number): { at: number, probability: number }[] {
  const largest = Math.max(...logits), sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0)
  return [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, count).map((at) => ({ at, probability: Math.exp(logits[at] - largest) / sum }))
}

/** Pictures one batch after the other, from files or a data set. */
async function openImages(image: string[] | undefined, data: string | undefined, preprocessing: Preprocessing, batch: number, classes: number): Promise<{ count: number, source: () => AsyncGenerator<Images> }> {
  if (image === undefined && data === undefined) throw new InputError('explain: expected --image <file> or --data <data>, found neither')
  if (image !== undefined && data !== undefined) throw new InputError('explain: expected --image or --data, found both; leave one out')
  if (data !== undefined) {
    const set = await openDataset(data, { preprocessing, classes })
    const first = parseDataSpec(data).slice?.[0] ?? 0, name = data.replace(/#[\d-]*$/, '')
    return { count: set.length, source: async function* () {
      for await (const { images, shape, indices } of set.batches({ size: batch })) yield { values: images, shape, names: [...indices].map((i) => `${name} ${first + i}`) }
    } }
  }
  const files = image!
  for (const file of files) if (!await nodeFiles.exists(file)) throw new InputError(`--image ${file}: no such file`)
  return { count: files.length, source: async function* () {
    for (let start = 0; start < files.length; start += batch) {
      const names = files.slice(start, start + batch)
      const loaded = await Promise.all(names.map((name) => loadImage(name, preprocessing)))
      const [{ pixels: { channels, height, width } }] = loaded
      const odd = loaded.findIndex(({ pixels }) => pixels.height !== height || pixels.width !== width)
      if (odd >= 0) throw new InputError(`--image ${names[odd]}: ${loaded[odd].pixels.width} x ${loaded[odd].pixels.height} pixels beside ${width} x ${height}; give --resize and --crop, or --batch 1`)
      const values = new Float32Array(names.length * channels * height * width)
      loaded.forEach(({ input }, i) => { values.set(input, i * input.length) })
      yield { values, shape: [names.length, channels, height, width], names }
    }
  } }
}

/** `classes.json` in the folder of the first image or of the data, or in the folder above. */
async function namesBeside(image: string | undefined, data: string | undefined, count: number): Promise<string[] | null> {
  const path = image ?? data!.replace(/^\w+:/, '').replace(/#[\d-]*$/, '').split(',')[0]
  for (const folder of [parent(path), parent(parent(path))]) {
    const found = await readClasses(folder, nodeFiles)
    if (found?.names.length === count) return found.names
  }
  return null
}

/** A class by number, by name, or by one of the names that commas part. @throws InputError with names that are near. */
function classOf(text: string, names: string[] | null, count: number): number {
  const wanted = text.trim().toLowerCase()
  if (/^\d+$/.test(wanted)) {
    if (Number(wanted) < count) return Number(wanted)
    throw new InputError(`--class ${text}: expected a number from 0 to ${count - 1}`)
  }
  const words = (name: string) => [name, ...name.split(',')].map((part) => part.trim().toLowerCase())
  const hit = names?.findIndex((name) => words(name).includes(wanted)) ?? -1
  if (hit >= 0) return hit
  const near = names?.filter((name) => name.toLowerCase().includes(wanted)).slice(0, 5) ?? []
  throw new InputError(`--class ${text}: ${names ? `no class of that name${near.length ? `, near it: ${near.join('; ')}` : ''}` : 'the names of the classes are not known here'}; give its number, 0 to ${count - 1}`)
}

function criteriaOf(names: string[], preprocessing: Preprocessing): Map<string, Criterion> {
  const list = names.flatMap((name) => name.includes('pxp:') ? [name] : name.split(',').map((each) => each.trim()))
  return new Map(list.map((name) => [name, criterionOf(name, preprocessing)]))
}

function jsonOf({ criterion, input, flows, units }: Totals, withUnits: boolean): object {
  return { composite: criterion, input, layers: summarize(flows, -1), ...withUnits && { units: Object.fromEntries([...units].map(([path, values]) => [path, [...values]])) } }
}

function textOf({ found }: Explainer, totals: Totals[], files: string[], asked: { conservation: boolean, units: boolean }): string {
  const lines = found.slice(0, 20).flatMap(({ file, best, explained }) => [
    file, ...best.map(({ name, probability, class: at }) => `  ${percent(probability, 1).padStart(7)}  ${name} (${at})`),
    ...explained.map(({ composite, name, logit, input }) => `  ${composite} for ${name}: logit ${logit.toFixed(3)}, sum of relevance at the input ${input.toFixed(3)}`), ''])
  if (found.length > 20) lines.push(`... and ${found.length - 20} more images`, '')
  for (const { criterion, input, flows, units } of totals) {
    if (asked.conservation) lines.push(...conservationText(criterion, input, flows), '')
    if (asked.units) lines.push(`${criterion}: relevance of units (mean of absolute values over images), the strongest of each gate`, table(['gate', 'units', 'strongest'], [...units].map(([path, values]) => {
      const order = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 5)
      return [path, String(values.length), order.map((unit) => `${unit} (${values[unit].toPrecision(3)})`).join(', ')]
    })), '')
  }
  if (files.length) lines.push(files.length > 3 ? `${files.length} pictures, ${files[0]} to ${files.at(-1)}` : files.join('\n'))
  return lines.join('\n').trimEnd()
}

function conservationText(criterion: string, input: number, flows: Flow[]): string[] {
  if (!flows.length) return [`${criterion}: has no relevance to account for`]
  const number = (value: number) => value.toFixed(5)
  const absorbed = flows.reduce((sum, flow) => sum + flow.absorbed, 0), rest = flows.reduce((sum, flow) => sum + flow.rest, 0)
  const rows = summarize(flows, 5e-6).map((flow) => [flow.layer, flow.op === 'attention' ? 'attention (its softmax)' : flow.op, number(flow.entering), number(flow.leaving), number(flow.absorbed), number(flow.rest)])
  return [`${criterion}: relevance ${number(flows.at(-1)!.entering)} at the logits = ${number(input)} at the input + ${number(absorbed)} in biases and constants + ${number(rest)} elsewhere, mean per image`,
    table(['layer', 'op', 'entering', 'to its inputs', 'biases, constants', 'elsewhere'], rows)]
}
