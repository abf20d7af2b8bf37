// `espalier explain`: why a network sees what it sees. Heatmaps on a contact sheet, the best classes, where relevance
// is lost on its way, and the units that matter.
import { basename, join } from 'node:path'
import { type Command, Option } from 'commander'
import { type Flow, summarize } from '../attribution/conservation.ts'
import { attributionMethodNames, attributionMethodOf } from '../attribution/methods.ts'
import type { AttributionMethod } from '../attribution/relevance.ts'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { close, init } from '../gpu/device.ts'
import { modelOf, type ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { nodeFiles } from '../files/files.ts'
import { type Row, sheet } from '../report/heatmap.ts'
import { makeFolder, openOutput, writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { parent, readClasses } from '../data/sources.ts'
import { claimOutputs, derived, filesRead } from './claims.ts'
import { classOf, networkClasses } from './classes.ts'
import { explainMasks, maskPng, readMasks } from './class-masks.ts'
import { type Answer, type CommandSpec, wholeNumber } from './command.ts'
import { openImages } from './explain-images.ts'
import { Explainer, type Found, namelessClass, type Totals, usualComposite } from './explainer.ts'
import { addGraph, explainGraph, type GraphFlags } from './head-graph.ts'
import { openCheckpoint, preparedFor, preparedJson, preparedText } from './open.ts'
import { addArch, addPreprocessing, percent, table } from './model.ts'

interface ExplainOptions extends GraphFlags {
  class?: string[]
  composite?: string[]
  conservation?: boolean
  units?: boolean
  mask?: string
  precision?: string
}

const sheetLimit = 40

/** The command `espalier explain <model> --image <file> ...`. */
export const explain: CommandSpec<ExplainOptions> = {
  name: 'explain',
  summary: 'relevance heatmaps beside the images, the best classes, relevance lost by layer, the units that matter',
  example: 'espalier explain deit_tiny.safetensors --image cat.jpg --class tabby --out why.png',
  declare(command: Command) {
    addPreprocessing(
      addArch(command.argument('<model>', 'a .safetensors file'))
        .option('--image <file...>', 'pictures to explain (this or --data is required)')
        .option('--data <data>', 'a data set to explain, as in eval (this or --image is required)')
        .option('--class <id or name...>', 'classes to explain; default the best one of each image')
        .option(
          '--composite <name...>',
          `ways to attribute, side by side: ${attributionMethodNames.join(', ')}; `
            + 'default epsilon-gamma-box for CNNs, else attn-lrp-gamma',
        )
        .option('--out <png or folder>', 'a contact sheet, or a folder for one per image; of --graph an .svg or .html')
        .option('--overwrite', 'replace pictures that are there')
        .option('--batch <n>', 'images at once', wholeNumber(1, 4096), 8)
        .addOption(new Option('--precision <name>').hideHelp())
        .option('--conservation', 'where relevance is created or lost, and by which op')
        .option('--units', 'relevance of heads, neurons and channels, averaged over the images')
        .option(
          '--mask <run.json>',
          'with --units, without images: what classes lean on by the masks of prune --method xpruner --report run.html',
        ),
    )
    addGraph(command)
  },
  async run(options, reporter) {
    const {
      args,
      arch,
      image,
      data,
      class: wanted,
      composite,
      out,
      overwrite = false,
      batch,
      conservation = false,
      units = false,
      json = false,
      ...flags
    } = options
    if (options.precision !== undefined) {
      throw new InputError(
        `explain --precision ${plain(options.precision)}: rules of relevance divide by activations and are always at `
          + "high precision; leave it out, 'eval' takes it",
      )
    }
    const checked = await openCheckpoint(args[0], { arch }, reporter)
    if (options.graph || options.set !== undefined) return explainGraph(checked, options, reporter)
    if (options.mask !== undefined) return explainByMasks(checked, options.mask, options)
    const asked = preparedFor(checked, flags, data ?? { pictures: true }), { preprocessing } = asked
    const { source, count, names: titles, read, normalised } = await openImages(
      image,
      data,
      preprocessing,
      batch,
      checked,
      reporter,
    )
    const prepared = { ...asked, normalised }
    const own = networkClasses(checked)
    const beside = checked.classes ? null : await namesBeside(image?.[0], data, checked.classCount)
    const known = beside ? { count: checked.classCount, names: beside } : own
    const names = known.names ? [...known.names] : null
    const classes = wanted?.flatMap((text) => /^[\d,\s]+$/.test(text) ? text.split(',') : [text])
      .map((text) => classOf(text, known))
    const methods = attributionMethodsOf(composite ?? [usualComposite(checked)], preprocessing)
    const asSheet = out !== undefined && /\.png$/i.test(out)
    if (asSheet && count > sheetLimit) {
      throw new InputError(
        `--out ${plain(out)}: ${count} images are too many for one sheet, expected at most ${sheetLimit}; `
          + 'give a folder, which gets a file per image',
      )
    }
    if (out !== undefined) {
      const written = asSheet || out === ''
        ? [{ flag: '--out', path: out }]
        : titles.map((title, i) => derived('--out', pictureFile(out, i, title, count), 'the picture of an image'))
      claimOutputs(written, filesRead({ model: args[0], ...read }), overwrite)
      if (!asSheet) makeFolder(out)
    }
    const sheetFile = asSheet ? openOutput(out) : null // found wanting now rather than after the work
    const progress = reporter.progress('explaining', count)
    try {
      const gpu = await init({ adapter: options.adapter, threads: options.threads })
      const explainer = new Explainer({
        model: modelOf(checked),
        classes: checked.classCount,
        names,
        methods,
        preprocessing,
        flows: conservation || json,
        units,
      })
      const sheetRows: Row[] = [], files: string[] = []
      let done = 0
      for await (const part of source()) {
        const rows = await explainer.explain(part, classes)
        if (sheetFile) sheetRows.push(...rows)
        else if (out !== undefined) {
          for (const [i, row] of rows.entries()) {
            files.push(pictureFile(out, done + i, part.names[i], count))
            writeOutput(files.at(-1)!, sheet([row], basename(args[0])).png())
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
      const explanations = totals.map((each) => ({
        composite: each.method,
        input: each.input,
        layers: summarize(each.flows, -1),
        ...units && { units: Object.fromEntries([...each.units].map(([path, values]) => [path, [...values]])) },
      }))
      return {
        json: {
          model: args[0],
          ...preparedJson(prepared),
          notes: checked.notes,
          images: explainer.found,
          explanations,
          files,
          deviceBytes: gpu.pool.memory.peak,
          adapter: gpu.adapter.name,
          version: packageVersion(),
        },
        text: `${preparedText(prepared, checked)}\n\n${
          textOf(explainer.found, totals, files, { conservation, units })
        }`,
      }
    } finally {
      sheetFile?.abandon()
      progress.stop()
      await close()
    }
  },
}

/** `--units --mask`: what the masks of a run say, without a device. */
function explainByMasks(checked: ParsedCheckpoint, mask: string, options: ExplainOptions & { args: string[] }): Answer {
  const { image, data, out, units = false, overwrite = false } = options
  if (!units || image !== undefined || data !== undefined) {
    throw new InputError(`--mask ${plain(mask)}: expected --units beside it, and neither --image nor --data`)
  }
  const masks = readMasks(mask, checked)
  if (out !== undefined) {
    if (!/\.png$/i.test(out)) {
      throw new InputError(`--out ${plain(out)}: masks are drawn as a PNG file; give a name that ends in .png`)
    }
    claimOutputs([{ flag: '--out', path: out }], [...filesRead({ model: options.args[0] }), {
      flag: '--mask',
      path: mask,
    }], overwrite)
    writeOutput(out, maskPng(masks, basename(options.args[0])))
  }
  const { found, text } = explainMasks(masks, checked, options.class)
  const files = out === undefined ? [] : [out]
  return {
    json: { model: options.args[0], mask, classes: found, files, version: packageVersion() },
    text: [text, ...files.map((file) => plain(file))].join('\n\n'),
  }
}

/** `07-cat.png`: the place of an image and its name. */
const pictureFile = (folder: string, at: number, name: string, count: number): string => {
  const number = String(at + 1).padStart(String(count).length, '0')
  return join(folder, `${number}-${basename(name).replace(/\.(png|jpe?g)$/i, '').replace(/\.[^.]*$/, '')}.png`)
}

/** `classes.json` in the folder of the first image or of the data, or in the folder above. */
async function namesBeside(
  image: string | undefined,
  data: string | undefined,
  count: number,
): Promise<string[] | null> {
  const path = image ?? data!.replace(/^\w+:/, '').replace(/#[\d-]*$/, '').split(',')[0]
  for (const folder of [parent(path), parent(parent(path))]) {
    const found = await readClasses(folder, nodeFiles)
    if (found?.names.length === count) return found.names
  }
  return null
}

function attributionMethodsOf(names: string[], preprocessing: Preprocessing): Map<string, AttributionMethod> {
  const list = names.flatMap((name) => name.includes('pxp:') ? [name] : name.split(',').map((each) => each.trim()))
  return new Map(list.map((name) => [name, attributionMethodOf(name, preprocessing)]))
}

function textOf(
  found: readonly Found[],
  totals: readonly Totals[],
  files: readonly string[],
  asked: { conservation: boolean, units: boolean },
): string {
  const lines = found.slice(0, 20).flatMap(({ file, best, explained }) => [
    plain(file),
    ...best.map(({ name, probability, class: at }) =>
      `  ${percent(probability, 1).padStart(7)}  ${plain(name, 100)}${name === namelessClass(at) ? '' : ` (${at})`}`
    ),
    ...explained.map(({ composite, name, logit, input }) =>
      `  ${composite} for ${plain(name, 100)}: logit ${logit.toFixed(3)}, sum of relevance at the input ${
        input.toFixed(3)
      }`
    ),
    '',
  ])
  if (found.length > 20) lines.push(`... and ${found.length - 20} more images`, '')
  for (const { method, input, flows, units } of totals) {
    if (asked.conservation) lines.push(...conservationText(method, input, flows), '')
    if (!asked.units) continue
    lines.push(`${method}: relevance of units (mean of absolute values over images), the strongest of each gate`)
    lines.push(
      table(
        ['gate', 'units', 'strongest, as unit: relevance'],
        [...units].map(([path, values]) => {
          const order = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 5).filter((unit) =>
            values[unit] > 0
          )
          return [
            path,
            String(values.length),
            order.map((unit) => `${unit}: ${values[unit].toPrecision(2)}`).join('   ') || 'none gets any',
          ]
        }),
      ),
      '',
    )
  }
  if (files.length) {
    lines.push(
      files.length > 3
        ? `${files.length} pictures, ${plain(files[0])} to ${plain(files.at(-1)!)}`
        : files.map((file) => plain(file)).join('\n'),
    )
  }
  return lines.join('\n').trimEnd()
}

/**
 * Where relevance 1 at the logits ended up, with the layers that took most of it, and every layer that relevance
 * passed. What a softmax does not hand on is a column of its own, so that each sum of the list is the sum of its
 * column.
 */
function conservationText(method: string, input: number, flows: readonly Flow[]): string[] {
  if (!flows.length) return [`${method}: has no relevance to account for`]
  const rows = summarize(flows, -1).map((flow) => {
    const isSoftmax = flow.op === 'attention'
    return { ...flow, softmax: isSoftmax ? flow.rest : 0, elsewhere: isSoftmax ? 0 : flow.rest }
  })
  const number = (value: number) => value.toFixed(4).replace(/^-(?=0\.0*$)/, '')
  const ending = (where: string, field: 'absorbed' | 'softmax' | 'elsewhere') => {
    const most = [...rows].sort((a, b) => Math.abs(b[field]) - Math.abs(a[field])).slice(0, 3).filter((row) =>
      Math.abs(row[field]) >= 5e-4
    )
    const total = number(rows.reduce((sum, row) => sum + row[field], 0))
    const names = most.map((row) => `${row.layer}${field === 'softmax' ? '' : ` ${row.op}`} (${row[field].toFixed(3)})`)
    return `  ${total.padStart(8)}  ${where}${names.length ? `, most at ${names.join(', ')}` : ''}`
  }
  const attends = rows.some(({ op }) => op === 'attention')
  return [
    `${method}: relevance ${number(flows.at(-1)!.entering)} at the logits ends up, mean per image,`,
    `  ${number(input).padStart(8)}  at the input`,
    ending('in biases and constants', 'absorbed'),
    ...attends ? [ending('in the softmax of attention', 'softmax')] : [],
    ending('elsewhere', 'elsewhere'),
    '',
    table(
      ['layer', 'op', 'entering', 'to its inputs', 'biases, constants', ...attends ? ['softmax'] : [], 'elsewhere'],
      rows.map(({ layer, op, entering, leaving, absorbed, softmax, elsewhere }) => [
        layer,
        op,
        ...[entering, leaving, absorbed, ...attends ? [softmax] : [], elsewhere].map(number),
      ]),
    ),
  ]
}
