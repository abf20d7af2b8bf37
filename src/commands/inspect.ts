// `espalier inspect`: what a checkpoint is, where its parameters and its compute are, and what can be cut. Needs no
// device.
import { plain, shown } from '../base/quote.ts'
import { Option } from 'commander'
import { type Architecture, buildModel, checkArchitecture, classesOf, inputOf, parseArchitecture,
  preprocessingFor } from '../../models/registry.ts'
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { nodeFiles } from '../files/files.ts'
import { packageVersion } from '../files/package.ts'
import { costOf } from '../nn/macs.ts'
import { units } from '../pruning/units/units.ts'
import { withoutDevice } from '../core/tensor.ts'
import type { CommandSpec, Reporter } from './command.ts'
import { openCheckpoint, preparedText } from './open.ts'
import { addArch, type ArchOptions, large, percent, table } from './model.ts'
import { aboutUnits, unitTable } from './unit-table.ts'

/** Flags of `espalier inspect`. */
export interface InspectOptions extends ArchOptions {
  units?: boolean
  residual: 'closing' | 'coupled'
}

/** The command `espalier inspect <model>`. */
export const inspect: CommandSpec<InspectOptions> = {
  name: 'inspect',
  summary:
    'architecture, parameters and multiply-adds of each layer of a checkpoint, or of an architecture by name; its prunable units',
  declare(command) {
    addArch(command.argument('<model>', 'a .safetensors file, or the name or JSON of an architecture'))
      .option(
        '--units',
        'what can be cut: each unit with its size, what goes with it, what an element costs, and whether a slice equals a mask',
      )
      .addOption(
        new Option(
          '--residual <closing|coupled>',
          'filters before a residual sum alone, or the residual width through all blocks',
        )
          .choices(['closing', 'coupled']).default('closing'),
      )
  },
  async run({ arch, units: wanted, residual, args: [model] }, reporter) {
    const { architecture, shape, ...about } = await examine(model, arch, reporter)
    const input = inputOf(architecture), { params, macs, layers } = costOf(shape, input)
    const { type, ...options } = architecture
    const rows = layers.map((
      layer,
    ) => [
      layer.name,
      large(layer.params),
      large(layer.macs),
      percent(layer.macs / (macs || 1), 1),
      `[${layer.output}]`,
    ])
    const found = wanted ? aboutUnits(shape, input, units(shape, [1, ...input], { residual })) : undefined
    return {
      json: {
        model,
        architecture,
        ...about,
        input,
        params,
        macs,
        layers,
        ...found && { residual, units: found },
        version: packageVersion(),
      },
      text: [
        `${plain(model)}: ${type} ${shown(options, 2000)}`,
        `tensors named as ${about.naming}, ${about.classCount} classes, input [${input}]`,
        ...about.origins
          ? [preparedText({ preprocessing: about.preprocessing, origins: about.origins }, { architecture, ...about })]
          : [],
        ...about.notes?.map((note) => `note: ${note}`) ?? [],
        `${large(params)} parameters, ${large(macs)} multiply-adds per image${
          about.bytes === undefined ? '' : `, ${large(about.bytes)}B on disk`
        }`,
        '',
        found ? unitTable(found) : table(['layer', 'params', 'MACs', 'share', 'output'], rows),
      ].join('\n'),
    }
  },
}

type Examined =
  & Pick<ParsedCheckpoint, 'architecture' | 'shape' | 'naming' | 'classCount' | 'preprocessing' | 'classes'>
  & Partial<Pick<ParsedCheckpoint, 'bytes' | 'source' | 'origins' | 'notes'>>

/** A file, or an architecture that has no file yet. */
async function examine(model: string, arch: string | undefined, reporter: Reporter): Promise<Examined> {
  if (/\.safetensors$/i.test(model) || await nodeFiles.exists(model)) {
    const checked = await openCheckpoint(model, { arch }, reporter)
    const { architecture, shape, naming, classCount, preprocessing, bytes, source, classes, origins, notes } = checked
    return { architecture, shape, naming, classCount, preprocessing, bytes, source, classes, origins, notes }
  }
  const given = { ...parseArchitecture(model, 'model'), ...arch === undefined ? {} : parseArchitecture(arch) }
  const architecture = checkArchitecture(given as Architecture, 'model')
  const shape = withoutDevice(() => buildModel(architecture, 'model'))
  return {
    architecture,
    shape,
    naming: 'espalier',
    classCount: classesOf(shape),
    preprocessing: preprocessingFor(architecture),
  }
}
