// `espalier inspect`: what a checkpoint is, and where its parameters and its compute are. Needs no device.
import { type Architecture, buildModel, checkArchitecture, classesOf, inputOf, parseArchitecture, preprocessingFor } from '../../models/registry.ts'
import { parseCheckpoint } from '../io/checkpoint.ts'
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
  async run({ arch, args }) {
    const { architecture, shape, ...about } = await examine(args[0], arch)
    const cost = costOf(shape, inputOf(architecture))
    const json = { model: args[0], architecture, ...about, input: inputOf(architecture), params: cost.params, macs: cost.macs, layers: cost.layers, version: packageVersion() }
    const { type, ...options } = architecture
    const rows = cost.layers.map(({ name, params, macs, output }) => [name, large(params), large(macs), percent(macs / (cost.macs || 1), 1), `[${output}]`])
    return { json, text: [
      `${args[0]}: ${type} ${JSON.stringify(options)}`,
      `tensors named as ${about.naming}, ${about.classCount} classes, input [${inputOf(architecture)}]`,
      `${large(cost.params)} parameters, ${large(cost.macs)} multiply-adds per image${about.bytes === undefined ? '' : `, ${large(about.bytes)}B on disk`}`,
      '', table(['layer', 'params', 'MACs', 'share', 'output'], rows)].join('\n') }
  },
}

/** A file, or an architecture that has no file yet. */
async function examine(model: string, arch: string | undefined) {
  if (!/\.safetensors$/i.test(model) && !await nodeFiles.exists(model)) {
    const architecture = checkArchitecture({ ...parseArchitecture(model, 'model'), ...arch === undefined ? {} : parseArchitecture(arch) } as Architecture, 'model')
    const shape = withoutDevice(() => buildModel(architecture, 'model'))
    return { architecture, shape, naming: 'espalier', classCount: classesOf(shape), preprocessing: preprocessingFor(architecture), bytes: undefined, source: undefined, classes: undefined }
  }
  const { architecture, shape, naming, classCount, preprocessing, bytes, source, classes } = await parseCheckpoint(await nodeFiles.read(model), model, { arch })
  return { architecture, shape, naming, classCount, preprocessing, bytes, source, classes }
}
