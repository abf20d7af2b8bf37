// What a command reads and writes, by name, and that the two do not meet: asked before work begins.
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Dataset } from '../data/datasets.ts'
import { InputError } from '../base/errors.ts'
import { claimOutputs, type NamedFile } from '../files/claim.ts'
import { onnxDataFiles } from '../files/onnx-data.ts'
import { isPluginPath } from '../files/plugin.ts'
import { isRecipePath } from './recipe.ts'

export { claimOutputs, type NamedFile } from '../files/claim.ts'

/** What a command reads. */
export interface Reads {
  /** A checkpoint; an architecture's name is no file and does no harm. */
  model: string
  data?: Dataset | null
  test?: Dataset | null
  images?: readonly string[]
  /** `--method`, `--pattern` and `--recipe`, which may be files. */
  method?: string
  pattern?: string
  recipe?: string
}

/** Every file that is read for these, also those beside them and those that a list names. */
export function filesRead({ model, data, test, images = [], method, pattern, recipe }: Reads): NamedFile[] {
  const plugin = (flag: string, path: string | undefined) =>
    path !== undefined && isPluginPath(path) ? [{ flag, path }] : []
  return [
    { flag: 'the model', path: model },
    ...onnxDataFiles(model).map((path) => ({ flag: 'the weights of the model', path })),
    ...configurationsBeside(model).map((path) => ({ flag: 'the configuration of the model', path })),
    ...dataFiles('--data', data),
    ...dataFiles('--test', test),
    ...images.map((path) => ({ flag: '--image', path })),
    ...plugin('--method', method),
    ...plugin('--pattern', pattern),
    ...recipe !== undefined && isRecipePath(recipe) ? [{ flag: '--recipe', path: recipe }] : [],
  ]
}

/** `config.json`, `preprocessor_config.json` and the like in a checkpoint's folder. */
function configurationsBeside(model: string): string[] {
  const folder = dirname(model)
  try {
    return readdirSync(folder).filter((name) => /config\.json$/i.test(name)).map((name) => join(folder, name))
  } catch {
    return [] // the model is no file
  }
}

function dataFiles(flag: string, data: Dataset | null | undefined): NamedFile[] {
  const files = data?.files ?? []
  const lists = [...new Set(files.map((path) => dirname(path)))].map((folder) => join(folder, 'classes.json'))
  return [...files, ...lists].map((path) => ({ flag, path }))
}

/** A file that nobody named: what of the command's it is. */
export const derived = (flag: string, path: string, what: string): NamedFile => ({ flag, path, derived: what })

/**
 * Claims files in a folder that an earlier run of the same kind may have made: its own are replaced, others are not.
 */
export function claimIn(
  folder: string,
  names: readonly string[],
  inputs: readonly NamedFile[],
  own: boolean,
): void {
  claimOutputs(names.map((name) => derived('--out', join(folder, name), name)), inputs, own || null)
}

/** @throws InputError for a folder without a name, which would be the one that the command runs in. */
export function namedFolder(flag: string, path: string): string {
  if (path !== '') return path
  throw new InputError(`${flag} '': expected the name of a folder, found ''; give one, or . for this one`)
}
