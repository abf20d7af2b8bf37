// Files that commands are given, opened with what is worth knowing about them said on stderr.
import { InputError } from '../base/errors.ts'
import { type ParsedCheckpoint, readCheckpoint } from '../checkpoint/checkpoint.ts'
import { type Dataset, openDataset, parseDataSpec } from '../data/datasets.ts'
import type { Files } from '../files/files.ts'
import { trainedSide } from '../../models/registry.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { preprocessingWith, type PreprocessingOptions } from './model.ts'
import { networkClasses } from './classes.ts'
import type { Reporter } from './command.ts'

/** What commands say on the way; silent where a caller has nobody to tell. */
export type Say = Pick<Reporter, 'say'>

const silent: Say = { say() {} }

/**
 * A checkpoint with the configuration beside it, checked; guesses and what was ignored are said. @throws InputError.
 */
export async function openCheckpoint(
  path: string,
  { arch, files }: { arch?: string, files?: Files },
  reporter: Say = silent,
): Promise<ParsedCheckpoint> {
  const checked = await readCheckpoint(path, { arch, files })
  for (const note of checked.notes) if (note !== checked.refusedStatistics) reporter.say(`${path}: ${note}`)
  return checked
}

/** Where a file's mean and deviation cannot be meant, the user says them. @throws InputError where they do not. */
export function checkStatistics(
  { name, refusedStatistics }: Pick<ParsedCheckpoint, 'name' | 'refusedStatistics'>,
  { mean, std }: PreprocessingOptions,
): void {
  if (refusedStatistics === undefined || mean !== undefined && std !== undefined) return
  throw new InputError(`${name}: ${refusedStatistics}`)
}

/** A data set whose labels are found by the names of the network's classes; what was left out is said. */
export async function openLabelled(
  spec: string,
  checked: Pick<ParsedCheckpoint, 'classes' | 'classCount'>,
  preprocessing: Preprocessing,
  reporter: Say = silent,
): Promise<Dataset> {
  const set = await openDataset(spec, { preprocessing, classes: networkClasses(checked) })
  for (const note of set.notes ?? []) reporter.say(note)
  return set
}

/** How pictures are prepared and where each part comes from: flags over what `checked.origins` says. */
export interface Prepared {
  preprocessing: Preprocessing
  origins: Record<string, string>
  /** The type of images that are floats, to which no preprocessing is applied. */
  normalised?: string
}

/** Preprocessing in JSON: of images that are floats nothing is claimed that was not done. */
export function preparedJson({ preprocessing, origins, normalised }: Prepared): Record<string, unknown> {
  if (normalised === undefined) return { preprocessing, origins }
  const undone = ['resize', 'crop', 'mean', 'std']
  return {
    preprocessing: { ...preprocessing, ...Object.fromEntries(undone.map((key) => [key, null])) },
    origins: { ...origins, ...Object.fromEntries(undone.map((key) => [key, 'tensors'])) },
    normalised,
  }
}

/**
 * The checkpoint's preprocessing with the flags over it, and where what no tensor tells comes from. Picture files
 * (`pictures`, or the kind of `spec`) are brought to the size the network was trained on where nothing else says how:
 * a network for 32 x 32 pixels would take a photo of 200 x 200 without a word. @throws InputError.
 */
export function preparedFor(
  checked: Pick<ParsedCheckpoint, 'name' | 'preprocessing' | 'origins' | 'architecture' | 'refusedStatistics'>,
  flags: PreprocessingOptions,
  spec: string | { pictures: boolean },
): Prepared {
  const { preprocessing, origins, architecture } = checked
  const { resize, crop, mean, std, interpolation, resizeMode } = flags
  const given = Object.entries({ resize: resize ?? resizeMode, crop, mean, std, interpolation })
    .filter(([, value]) => value !== undefined)
  const pictures = typeof spec === 'string' ? ['images', 'folder'].includes(parseDataSpec(spec).kind) : spec.pictures
  if (typeof spec === 'string' || pictures) checkStatistics(checked, flags)
  const unsaid = preprocessing.resize === null && preprocessing.crop === null && !flags.resize && !flags.crop
  const side = pictures && unsaid ? trainedSide(architecture) : null
  const sized = side === null ? preprocessing : { ...preprocessing, resize: side, crop: side }
  const size: Record<string, string> = side === null
    ? {}
    : { resize: 'size of the network', crop: 'size of the network' }
  return {
    preprocessing: preprocessingWith(sized, flags),
    origins: { ...origins, ...size, ...Object.fromEntries(given.map(([key]) => [key, 'flag'])) },
  }
}

/** One line for people: 'resize 256 bicubic, crop 224 (default); mean 0.5, std 0.5 (config.json); 3 heads (guess)'. */
export function preparedText(
  { preprocessing: p, origins, normalised }: Prepared,
  { architecture, classes, classCount }: Pick<ParsedCheckpoint, 'architecture' | 'classes' | 'classCount'>,
): string {
  const pictures: [text: string, from: string | undefined][] = normalised === undefined
    ? [
      [
        p.resize === null ? 'no resize' : `resize ${p.resize}${p.squash ? ' squashed' : ''} ${p.interpolation}`,
        origins.resize,
      ],
      [p.crop === null ? 'no crop' : `crop ${p.crop}`, origins.crop],
      [`mean ${p.mean.join(' ')}`, origins.mean],
      [`std ${p.std.join(' ')}`, origins.std],
    ]
    : [[`tensors of ${normalised}: taken as already normalised`, undefined]]
  const said: [text: string, from: string | undefined][] = [
    ...pictures,
    ...origins.heads && architecture.heads !== undefined
      ? [
        [`${String(architecture.heads)} ${architecture.heads === 1 ? 'head' : 'heads'}`, origins.heads] as [
          string,
          string,
        ],
      ]
      : [],
    ...origins.eps && architecture.eps !== undefined
      ? [[`eps ${String(architecture.eps)}`, origins.eps] as [string, string]]
      : [],
    ...origins.image === 'guess'
      ? [[`images of ${String(architecture.image)}`, origins.image] as [string, string]]
      : [],
    classes
      ? [`names of ${classCount} classes`, origins.classes]
      : classCount === 1000
      ? ['names of 1000 classes', "ImageNet's"]
      : ['classes without names', undefined],
  ]
  const groups: { texts: string[], from: string | undefined }[] = []
  for (const [text, from] of said) {
    const last = groups.at(-1)
    if (last && last.from === from) last.texts.push(text)
    else groups.push({ texts: [text], from })
  }
  return groups.map(({ texts, from }) => `${texts.join(', ')}${from === undefined ? '' : ` (${from})`}`).join('; ')
}
