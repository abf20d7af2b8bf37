// Labels by name: where a data set and a network both name their classes, a label is what has the same name, never what
// stands at the same place.
import { InputError } from '../base/errors.ts'
import { describe, type Source } from './sources.ts'

/** The classes a network tells apart, with their names where it has some. */
export interface NetworkClasses {
  count?: number
  names?: readonly string[]
  /** Other names of the same classes, e.g. WordNet ids. */
  ids?: readonly string[]
  /** The names are only those that networks of so many classes usually have. */
  assumed?: boolean
}

/** Labels as the network numbers them. */
export interface Labelled {
  labels: Int32Array
  classes?: string[]
  notes: string[]
}

const plain = (name: string) => name.trim().toLowerCase().replaceAll('_', ' ').normalize('NFC')
const parts = (name: string) => plain(name).split(',').map((part) => part.trim())

/**
 * Classes that a name may mean: by the whole name (spelt so exactly, else whatever its case), else by one of the names
 * that commas part.
 */
export function classesNamed(text: string, names: readonly string[], ids: readonly string[] = []): number[] {
  const where = (matches: (name: string) => boolean) => [...names.keys()].filter((i) => matches(names[i]))
  const tries = [
    () => where((name) => name === text),
    () => [...ids.keys()].filter((i) => ids[i] === text),
    () => where((name) => plain(name) === plain(text)),
    () => where((name) => parts(name).includes(plain(text))),
  ]
  for (const each of tries) {
    const found = each()
    if (found.length) return found
  }
  return []
}

/**
 * Brings a source's labels to the network's numbering. Throws InputError where names and network do not go together.
 */
export function labelsFor(source: Source, { count, names, ids, assumed = false }: NetworkClasses): Labelled {
  const { labels, classes: own, classCount, sortedNames, name, notes: before = [] } = source
  const notes = [...before]
  const asTheyAre = () => {
    if (sortedNames !== undefined && count !== undefined && classCount !== count) {
      throw new InputError(
        `${name}: ${classCount} classes, the network tells ${count} apart and does not name them; `
          + 'put a classes.json with all of them into the folder',
      )
    }
    refuseGaps(source)
    const fewer = count === undefined ? null : fewerClasses(source, count)
    if (fewer !== null) {
      notes.push(
        `${name}: labels of ${fewer} classes, the network tells ${count} apart; they are taken as its numbers 0 to ${
          fewer - 1
        }, and where those are other classes no figure here means anything`,
      )
    }
    return { labels, classes: own, notes }
  }
  if (!own || !names || (count !== undefined && names.length !== count)) return asTheyAre()
  if (own.length === names.length && own.every((each, i) => each === names[i])) return asTheyAre()

  const used = [...new Set(labels)].filter((label) => label < own.length)
  const target = new Map<number, number>(), unknown: string[] = []
  for (const label of used) {
    const found = classesNamed(own[label], names, ids), byId = source.ids?.[label]
    const matches = found.length === 0 && byId !== undefined ? classesNamed(byId, names, ids) : found
    if (matches.length > 1 && !matches.includes(label)) {
      throw new InputError(
        `${name}: the network has several classes named ${describe(own[label])}, numbers ${matches.join(' and ')}; `
          + "say which by a classes.json in the network's order",
      )
    }
    if (matches.length) target.set(label, matches.includes(label) ? label : matches[0])
    else unknown.push(own[label])
  }
  if (unknown.length === used.length && assumed) return asTheyAre()
  if (unknown.length) {
    // Names spelt otherwise (another language, short forms) say nothing; names of which some stand elsewhere
    // contradict.
    const moved = [...target].find(([label, at]) => label !== at)
    if (sortedNames || moved) {
      throw new InputError(
        `${name}: the network has no class ${unknown.slice(0, 3).map(describe).join(', ')}${
          unknown.length > 3 ? `, and ${unknown.length - 3} more` : ''
        }, it knows ${names.slice(0, 4).map(describe).join(', ')}${names.length > 4 ? ', …' : ''}; `
          + 'rename the folders or mend classes.json',
      )
    }
    notes.push(
      `${name}: its class names differ from the network's (${
        describe(unknown[0])
      } is not among them), labels are taken as numbers`,
    )
    return { labels, classes: own, notes }
  }
  if ([...target].some(([label, at]) => label !== at)) {
    notes.push(
      `${name}: labels follow the network's class names, ${
        used.length < names.length ? `${used.length} of ${names.length} classes` : 'which stand in another order there'
      }`,
    )
  } else if (used.length < names.length && sortedNames) {
    notes.push(`${name}: holds ${used.length} of the network's ${names.length} classes`)
  }
  return { labels: labels.map((label) => target.get(label) ?? label), classes: [...names], notes }
}

/**
 * How many classes the labels tell apart, where that is less than the network does; null if it is not. A list does not
 * say how many there are: its greatest label speaks only where that is far below the network's.
 */
function fewerClasses({ labels, classes, classCount }: Source, count: number): number | null {
  const said = classCount ?? classes?.length
  if (said !== undefined) return said < count ? said : null
  const seen = labels.reduce((most, label) => Math.max(most, label), 0) + 1
  return labels.length >= 10 && seen * 10 <= count ? seen : null
}

/** A class whose folder holds nothing to read would move the numbers of all after it. */
function refuseGaps({ name, empty = [] }: Source) {
  if (!empty.length) return
  throw new InputError(
    `${name}: nothing is read from the folder ${describe(empty[0])}, and labels follow the order of the folders; `
      + 'convert its pictures to .jpg or .png, remove it, or put a classes.json there',
  )
}
