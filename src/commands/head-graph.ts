// The graph of heads that GOHSP ranks by, to look at: `explain --graph`, and the part of it in reports of `prune`.
import { basename } from 'node:path'
import type { Command } from 'commander'
import { inputOf } from '../../models/registry.ts'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { modelOf, type ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { withoutDevice } from '../core/tensor.ts'
import { disposeTree } from '../core/tree.ts'
import { writeOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { close, init } from '../gpu/device.ts'
import { headCorrelations } from '../pruning/graph/correlation.ts'
import { graphOptions, headGraphs, type HeadGraphs, headScores } from '../pruning/graph/head-rank.ts'
import { graphSettingsOf } from '../pruning/methods/graph.ts'
import type { Plan } from '../pruning/plan/slice.ts'
import { units } from '../pruning/units/units.ts'
import { graphFile, type GraphLayer, graphPage, type HeadGraphReport, orderOf } from '../report/head-graph.ts'
import { claimOutputs, filesRead } from './claims.ts'
import type { Answer, Reporter } from './command.ts'
import { openImages } from './explain-images.ts'
import type { ArchOptions, PreprocessingOptions } from './model.ts'
import { table } from './model.ts'
import { preparedFor, preparedJson, preparedText } from './open.ts'
import { addSetting } from './settings.ts'

/** Flags that `explain` has with and without a graph. */
export interface GraphFlags extends ArchOptions, PreprocessingOptions {
  image?: string[]
  data?: string
  out?: string
  overwrite?: boolean
  batch: number
  graph?: boolean
  /** Options of the graph. */
  set?: Record<string, string>
}

/** What else `explain` does, and not together with a graph. */
const others = ['class', 'composite', 'conservation', 'units', 'mask'] as const

/** Adds the flags of the graph, with an example of its own. */
export function addGraph(command: Command): void {
  command
    .option('--graph', 'instead of heatmaps: how alike the heads of each layer are, and how that ranks them (GOHSP)')
    .option('--set <name=value>', `with --graph: ${Object.keys(graphOptions).join(', ')}, as in prune`, addSetting)
    .addHelpText(
      'after',
      '\nThe graph of heads, an .svg or .html file:\n'
        + '  espalier explain deit_tiny.safetensors --data folder:train --graph --set damping=0.85 --out heads.html',
    )
}

/** `explain --graph`. @throws InputError. */
export async function explainGraph(
  checked: ParsedCheckpoint,
  { args, image, data, out, overwrite = false, batch, graph = false, set: given = {}, ...options }: GraphFlags & {
    args: string[],
  },
  reporter: Reporter,
): Promise<Answer> {
  if (!graph) throw new InputError('explain: --set goes with --graph, found no --graph')
  const lost = others.find((flag) => (options as Record<string, unknown>)[flag] !== undefined)
  if (lost) throw new InputError(`explain: --${lost} is for heatmaps and --graph for heads; give one`)
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(graphOptions, name))
  if (unknown !== undefined) {
    throw new InputError(
      `--set ${plain(unknown)}: the graph has no such option; expected ${Object.keys(graphOptions).join(', ')}`,
    )
  }
  const settings = graphSettingsOf(given)
  if (out !== undefined && !/\.(svg|html?)$/i.test(out)) {
    throw new InputError(
      `--out ${plain(out)}: the graph is drawn with lines; expected a name that ends in .svg or .html`,
    )
  }
  const name = plain(basename(args[0]))
  const found = withoutDevice(() => units(checked.shape, [1, ...inputOf(checked.architecture)]))
  const heads = found.filter(({ kind }) => kind === 'heads')
  if (!heads.length) {
    throw new InputError(
      `explain: --graph is of attention heads, and ${name} (${plain(checked.architecture.type, 60)}) has none; `
        + 'expected a transformer such as a ViT, DeiT or Swin',
    )
  }
  const prepared = preparedFor(checked, options, data ?? { pictures: true })
  const pictures = await openImages(image, data, prepared.preprocessing, batch, checked, reporter)
  if (out !== undefined) {
    claimOutputs([{ flag: '--out', path: out }], filesRead({ model: args[0], ...pictures.read }), overwrite)
  }
  const progress = reporter.progress('reading attention maps', pictures.count)
  try {
    const gpu = await init({ adapter: options.adapter, threads: options.threads }), model = modelOf(checked)
    const correlations = await headCorrelations({
      model,
      units: heads,
      images: {
        async *batches() {
          for await (const { values, shape } of pictures.source()) yield { images: values, shape }
        },
      },
      batch,
      source: settings.source,
      onProgress: (done) => progress.update(done),
    })
    const layers = await headGraphs(correlations, settings)
    headScores(layers) // damaged weights are named
    disposeTree(model)
    const report = graphReport({ ...settings, images: pictures.count, layers })
    if (out !== undefined) {
      const title = `Heads of ${basename(args[0])}`
      const file = /\.svg$/i.test(out) ? graphFile(title, report) : graphPage(title, packageVersion(), report)
      writeOutput(out, file)
    }
    const files = out === undefined ? [] : [out], read = { ...prepared, normalised: pictures.normalised }
    return {
      json: {
        model: args[0],
        ...preparedJson(read),
        notes: checked.notes,
        graph: report,
        files,
        adapter: gpu.adapter.name,
        version: packageVersion(),
      },
      text: [preparedText(read, checked), textOf(report), ...files.map((file) => plain(file))].join('\n\n'),
    }
  } finally {
    progress.stop()
    await close()
  }
}

/** Graphs as a report and its JSON have them, rounded to six digits; of a plan also what stays. */
export function graphReport({ layers, diagonal, ...made }: HeadGraphs, plan?: Plan): HeadGraphReport {
  const short = (values: Float32Array) => Array.from(values, (value) => Number(value.toPrecision(6)))
  return {
    ...made,
    diagonal: diagonal ? 'keep' : 'zero',
    layers: layers.map(({ unit, heads, correlation, transition, stationary, importance }): GraphLayer => {
      const rows = (matrix: Float32Array) =>
        Array.from({ length: heads }, (_, row) => short(matrix.subarray(row * heads, (row + 1) * heads)))
      const keep = plan?.get(unit)
      return {
        unit,
        heads,
        S: rows(correlation),
        P: rows(transition),
        pi: short(stationary),
        importance: short(importance),
        ...keep && { kept: [...keep.keys()].filter((head) => keep[head]) },
      }
    }),
  }
}

function textOf({ layers, images, direction, source, diagonal, damping }: HeadGraphReport): string {
  return [
    `heads by their graph, of the ${source} of ${images} images; direction ${direction}, diagonal ${diagonal}, `
    + `damping ${damping}`,
    table(
      ['layer', 'heads', 'alike, least to most', 'most important first, as head: pi'],
      layers.map((layer) => {
        const { unit, heads, S, pi } = layer
        const pairs = S.flatMap((row, i) => row.filter((_, j) => j > i))
        const alike = pairs.length ? `${Math.min(...pairs).toFixed(3)} to ${Math.max(...pairs).toFixed(3)}` : 'one head'
        return [unit, String(heads), alike, orderOf(layer).map((head) => `${head}: ${pi[head].toFixed(3)}`).join('   ')]
      }),
    ),
  ].join('\n')
}
