// `espalier inspect`: what a checkpoint is, where its parameters and its compute are, and what can be cut. Needs no
// device.
import { InputError } from '../base/errors.ts'
import { plain, quoted, shown } from '../base/quote.ts'
import { Option } from 'commander'
import { type Architecture, architectures, buildModel, checkArchitecture, classesOf, inputOf, parseArchitecture,
  preprocessingFor } from '../../models/registry.ts'
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { nodeFiles } from '../files/files.ts'
import { packageVersion } from '../files/package.ts'
import { costOf } from '../nn/macs.ts'
import { units } from '../pruning/units/units.ts'
import { withoutDevice } from '../core/tensor.ts'
import type { Answer, CommandSpec, Reporter } from './command.ts'
import { openCheckpoint, preparedText } from './open.ts'
import { addArch, type ArchOptions, large, percent, table } from './model.ts'
import { packedRows, packedTable, packedText } from './packed-table.ts'
import { aboutUnits, unitTable } from './unit-table.ts'

/** Flags of `espalier inspect`. */
export interface InspectOptions extends ArchOptions {
  units?: boolean
  list?: boolean
  residual: 'closing' | 'coupled'
}

/** The command `espalier inspect <model>`. */
export const inspect: CommandSpec<InspectOptions> = {
  name: 'inspect',
  summary: 'architecture, parameters and multiply-adds of each layer of a checkpoint, '
    + 'or of an architecture by name; its prunable units',
  example: 'espalier inspect deit_tiny.safetensors --units',
  declare(command) {
    addArch(
      command.argument(
        '[model]',
        'a .safetensors file, or the name or JSON of an architecture (required but for --list)',
      ),
    )
      .option('--list', 'the architectures that go by a name')
      .option(
        '--units',
        'what can be cut: each unit with its size, what goes with it, what an element costs, '
          + 'and whether a slice equals a mask',
      )
      .addOption(
        new Option(
          '--residual <closing|coupled>',
          'filters before a residual sum alone, or the residual width through all blocks',
        )
          .choices(['closing', 'coupled']).default('closing'),
      )
  },
  async run({ arch, units: wanted, residual, list = false, args }, reporter) {
    const [model] = args as (string | undefined)[]
    if (list) return listed(model)
    if (model === undefined) throw new InputError('inspect: expected a file or an architecture, found none; or --list')
    const { architecture, shape, ...about } = await examine(model, arch, reporter)
    const input = inputOf(architecture), { params, macs, keptMacs, layers } = costOf(shape, input)
    const packed = packedTable(shape)
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
        keptMacs,
        layers,
        ...packed.length && { packed },
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
        ...packed.length ? [packedText(packed)] : [],
        `${large(params)} parameters, ${large(macs)} multiply-adds per image${
          keptMacs < macs ? ` (${large(keptMacs)} of them done)` : ''
        }${about.bytes === undefined ? '' : `, ${large(about.bytes)}B on disk`}`,
        '',
        found ? unitTable(found) : table(['layer', 'params', 'MACs', 'share', 'output'], rows),
        ...packed.length && !found ? ['', packedRows(packed)] : [],
      ].join('\n'),
    }
  },
}

/** Every architecture that goes by a name, with its size as it stands. */
function listed(model: string | undefined): Answer {
  if (model !== undefined) throw new InputError(`inspect: expected --list or ${quoted(model)}, found both`)
  const found = Object.keys(architectures).map((name) => {
    const architecture = checkArchitecture({ type: name }, 'model'), input = inputOf(architecture)
    const { params, macs } = costOf(withoutDevice(() => buildModel(architecture, 'model')), input)
    return { name, family: architectures[name].family, input, params, macs }
  })
  return {
    json: { architectures: found, version: packageVersion() },
    text: table(
      ['name', 'family', 'input', 'params', 'MACs'],
      found.map(({ name, family, input, params, macs }) => [name, family, `[${input}]`, large(params), large(macs)]),
    ),
  }
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
