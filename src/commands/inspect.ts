// `espalier inspect`: what a checkpoint is, and where its parameters and its compute are. Needs no device.
import { type Architecture, buildModel, checkArchitecture, classesOf, inputOf, parseArchitecture, preprocessingFor } from '../../models/registry.ts'
import { type ParsedCheckpoint, parseCheckpoint } from '../io/checkpoint.ts'
import { nodeFiles } from '../io/files.ts'
import { packageVersion } from '../io/package.ts'
import { costOf } from '../macs.ts'
import { withoutDevice } from '../tensor.ts'
import type { CommandSpec } from './command.ts'
import { addArch, type ArchOptions, large, percent, table } from './model.ts'

/** The command `espalier inspect <model>`. */
export const inspect: CommandSpec<ArchOptions> = {
  name: 'inspect',
  summary: 'architecture, parameters and multiply-adds of each layer of a checkpoint, or of an architecture by name',
  declare(command) {
    addArch(command.argument('<model>', 'a .safetensors file, or the name or JSON of an architecture'))
  },
  async run({ arch, args: [model] }) {
    const { architecture, shape, ...about } = await examine(model, arch)
    const input = inputOf(architecture), { params, macs, layers } = costOf(shape, input)
    const { type, ...options } = architecture
    const rows = layers.map((layer) =>
      [layer.name, large(layer.params), large(layer.macs), percent(layer.macs / (macs || 1), 1), `[${layer.output}]`])
    return {
      json: { model, architecture, ...about, input, params, macs, layers, version: packageVersion() },
      text: [`${model}: ${type} ${JSON.stringify(options)}`,
        `tensors named as ${about.naming}, ${about.classCount} classes, input [${input}]`,
        `${large(params)} parameters, ${large(macs)} multiply-adds per image${about.bytes === undefined ? '' : `, ${large(about.bytes)}B on disk`}`,
        '', table(['layer', 'params', 'MACs', 'share', 'output'], rows)].join('\n'),
    }
  },
}

type Examined = Pick<ParsedCheckpoint, 'architecture' | 'shape' | 'naming' | 'classCount' | 'preprocessing' | 'classes'>
  & Partial<Pick<ParsedCheckpoint, 'bytes' | 'source'>>

/** A file, or an architecture that has no file yet. */
async function examine(model: string, arch: string | undefined): Promise<Examined> {
  if (/\.safetensors$/i.test(model) || await nodeFiles.exists(model)) {
    const { architecture, shape, naming, classCount, preprocessing, bytes, source, classes } = await parseCheckpoint(await nodeFiles.read(model), model, { arch })
    return { architecture, shape, naming, classCount, preprocessing, bytes, source, classes }
  }
  const given = { ...parseArchitecture(model, 'model'), ...arch === undefined ? {} : parseArchitecture(arch) }
  const architecture = checkArchitecture(given as Architecture, 'model')
  const shape = withoutDevice(() => buildModel(architecture, 'model'))
  return { architecture, shape, naming: 'espalier', classCount: classesOf(shape), preprocessing: preprocessingFor(architecture) }
}
