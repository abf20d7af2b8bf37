// What a checkpoint is, decided from its metadata, its shapes, the configuration beside it and `--arch`; with every
// option it is noted where it comes from.
import { InputError } from '../base/errors.ts'
import { type Architecture, checkArchitecture, entryOf, preprocessingFor } from '../../models/registry.ts'
import { type Preprocessing, preprocessingOf } from '../data/preprocess.ts'
import type { PruningRecord } from '../pruning/plan/record.ts'
import { type SideFile, type Told, toldBy } from './config.ts'
import type { SparsityRecord } from './packed.ts'
import { published, referenceArchitecture, type Shapes } from './published.ts'

/** The metadata `espalier`. */
export interface OwnMetadata {
  naming: string
  architecture: Architecture
  preprocessing?: unknown
  classes?: unknown
  source?: { file: string, sha256: string }
  pruning?: PruningRecord
  sparsity?: SparsityRecord
}

/** Parsed JSON of a metadata string. @throws InputError. */
export function parsed(text: string | undefined, what = 'classes'): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    throw new InputError(`metadata ${what} is not valid JSON; remove it or save the file anew`, { cause: error })
  }
}

/** Names of the classes as our own metadata hold them. @throws InputError unless there are `count`. */
export function classNames(names: unknown, count: number): string[] | undefined {
  if (names === undefined || names === null) return undefined
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string') || names.length !== count) {
    const found = Array.isArray(names) ? names.length : 'no list of'
    throw new InputError(
      `its metadata names ${found} classes, the network tells ${count} apart; remove or mend the names`,
    )
  }
  return names as string[]
}

/** What stands under a plain key, which others use for purposes of their own; then it is ignored, with a word. */
function tolerant<T>(key: string, notes: string[], read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    notes.push(`metadata ${key} is not ours and is ignored`)
    return undefined
  }
}

/** Names under the plain key `classes`. */
export function foreignNames(text: string | undefined, count: number, notes: string[]): string[] | undefined {
  return tolerant('classes', notes, () => classNames(parsed(text), count))
}

/** An architecture, and whether the file or the user named it rather than its shapes. */
export interface Decided {
  architecture: Architecture
  said: boolean
}

/** The architecture: what the file says, or shows, with `--arch` standing over it. */
export function decide(
  given: Partial<Architecture> | undefined,
  own: OwnMetadata | null,
  naming: string,
  metadata: Record<string, string>,
  shapes: Shapes,
  notes: string[],
): Decided {
  let found: Architecture
  const { arch } = metadata
  const said = own?.architecture
    ?? (arch === undefined ? undefined : tolerant('arch', notes, () => referenceArchitecture(arch)))
  try {
    found = said ?? published[naming].sizes(shapes)
  } catch (error) {
    if (given?.type === undefined || !(error instanceof InputError)) throw error
    return { architecture: given as Architecture, said: true }
  }
  if (given?.type !== undefined && entryOf(given as Architecture).family !== entryOf(found).family) {
    return { architecture: given as Architecture, said: true }
  }
  return { architecture: { ...found, ...given }, said: said !== undefined }
}

/** Configurations that a file carries in its own metadata. */
export function configsIn(metadata: Record<string, string>): SideFile[] {
  return ['preprocessor_config', 'pretrained_cfg', 'config'].flatMap((key) => {
    const text = metadata[key]
    if (text === undefined || !text.trimStart().startsWith('{')) return []
    return [{ name: `metadata ${key}`, text: key === 'pretrained_cfg' ? `{"pretrained_cfg":${text}}` : text }]
  })
}

/** The architecture with what configurations say, `--arch` over all; and where each option comes from. */
export function complete(
  { architecture: shown, said }: Decided,
  files: readonly SideFile[],
  given: Partial<Architecture> | undefined,
  shapes: Shapes,
  name: string,
): { told: Told, architecture: Architecture, from: Record<string, string> } {
  const told = toldBy(files, shown, Number(shown.classes ?? NaN))
  if (told.unsupported) throw new InputError(told.unsupported)
  const architecture = checkArchitecture({ ...shown, ...said ? {} : told.options, ...given }, name)
  const { family } = entryOf(architecture), from: Record<string, string> = {}
  const unsaid: Record<string, string> = { heads: 'guess', eps: 'default', image: shownBy(family, shapes) }
  for (const option of family === 'vit' ? ['heads', 'eps', 'image'] : family === 'swin' ? ['eps', 'image'] : []) {
    from[option] = given && Object.hasOwn(given, option)
      ? '--arch'
      : said
      ? 'file'
      : told.from[option] ?? unsaid[option]
  }
  return { told, architecture, from }
}

/** Positions of a ViT show its image; a Swin's only where masks of shifted windows are stored. */
function shownBy(family: string, shapes: Shapes): string {
  return family === 'vit' || [...shapes.keys()].some((key) => key.endsWith('attn_mask')) ? 'file' : 'guess'
}

const fields = ['resize', 'crop', 'interpolation', 'mean', 'std'] as const

/** How pictures are prepared, and where each part of that comes from. */
export function preparation(
  own: OwnMetadata | null,
  metadata: Record<string, string>,
  told: Told,
  architecture: Architecture,
  name: string,
  notes: string[],
): { preprocessing: Preprocessing, from: Record<string, string>, refused?: string } {
  const usual = preprocessingFor(architecture)
  const from: Record<string, string> = Object.fromEntries(fields.map((field) => [field, 'default']))
  if (own) {
    const given = (own.preprocessing ?? {}) as Record<string, unknown>
    for (const field of fields) if (Object.hasOwn(given, field)) from[field] = 'file'
    return { preprocessing: preprocessingOf({ preprocessing: JSON.stringify(given) }, usual, name), from }
  }
  let preprocessing = usual, refused: string | undefined
  for (const key of ['preprocessing', 'mean', 'std'] as const) {
    if (metadata[key] === undefined) continue
    const read = tolerant(key, notes, () => preprocessingOf({ [key]: metadata[key] }, preprocessing, name))
    if (!read) continue
    if ([...read.mean, ...read.std].some((value) => value > 1)) {
      refused ??= `metadata ${key}: mean ${read.mean.join(' ')} and std ${read.std.join(' ')}, expected 0..1, `
        + 'which is what pixels are scaled to; give --mean and --std'
      continue
    }
    preprocessing = read
    for (const field of key === 'preprocessing' ? fields : [key]) from[field] = 'file'
  }
  const said = Object.fromEntries(Object.entries(told.preprocessing).filter(([key]) => from[key] !== 'file'))
  try {
    preprocessing = preprocessingOf({ preprocessing: JSON.stringify(said) }, preprocessing, name)
    for (const field of Object.keys(said)) from[field] = told.from[field]
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    notes.push(
      `the preprocessing of ${[...new Set(Object.keys(said).map((key) => told.from[key]))].join(' and ')} does not fit`
        + ' and is ignored',
    )
  }
  if (from.mean !== 'file' || from.std !== 'file') refused ??= told.refused
  return { preprocessing, from, ...refused !== undefined && { refused } }
}
