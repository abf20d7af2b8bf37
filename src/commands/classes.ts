// Names of a network's classes: its own, else those of ImageNet where it tells 1,000 apart; and a class as the command
// line names it.
import { readFileSync } from 'node:fs'
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { classesNamed, type NetworkClasses } from '../data/class-names.ts'
import { InputError } from '../base/errors.ts'
import { shown } from '../base/quote.ts'
import { packageFile } from '../files/package.ts'

let imageNet: { names: string[], ids: string[] } | undefined

/** The 1,000 classes of ImageNet-1k in their usual order, names and WordNet ids. */
export function imageNetClasses(): { names: string[], ids: string[] } {
  if (imageNet) return imageNet
  const path = packageFile('models/data/imagenet/classes.json')
  const rows = JSON.parse(readFileSync(path, 'utf8')) as { name: string, wnid: string }[]
  return imageNet = { names: rows.map(({ name }) => name), ids: rows.map(({ wnid }) => wnid) }
}

/** A network's classes for looking labels up. */
export function networkClasses(
  { classes, classCount }: Pick<ParsedCheckpoint, 'classes' | 'classCount'>,
): NetworkClasses {
  if (classes) {
    const { names, ids } = imageNetClasses()
    const usual = classes.length === names.length && classes.every((name, i) => name === names[i] || name === ids[i])
    return { count: classCount, names: classes, ids: usual ? ids : undefined }
  }
  return classCount === 1000 ? { count: 1000, ...imageNetClasses(), assumed: true } : { count: classCount }
}

/**
 * A class by number, by name, or by one of the names that commas part; `id:3` and `name:3` where both are possible.
 * @throws InputError with the choices where several are meant, else with names that are near.
 */
export function classOf(
  text: string,
  { count = 0, names, ids }: NetworkClasses,
): number {
  const [, how, rest] = /^(id|name):(.*)$/s.exec(text.trim()) ?? [null, null, text.trim()]
  const isNumber = how !== 'name' && /^\d+$/.test(rest), number = Number(rest)
  const named = how === 'id' || !names ? [] : classesNamed(rest, names, ids)
  const choices = (list: readonly number[]) =>
    list.slice(0, 6).map((at) => `${at} (${shown(names?.[at] ?? null)})`).join(', ')
  if (isNumber && number < count) {
    if (named.length === 0 || named.includes(number)) return number
    throw new InputError(
      `--class ${shown(text)}: number ${number} is ${shown(names![number])}, and ${choices(named)} has that name; `
        + `say id:${rest} or name:${rest}`,
    )
  }
  if (named.length === 1) return named[0]
  if (named.length > 1) {
    throw new InputError(`--class ${shown(text)}: several classes have that name; give a number: ${choices(named)}`)
  }
  if (isNumber) throw new InputError(`--class ${text}: expected a number from 0 to ${count - 1}`)
  const near = names?.flatMap((name, at) => name.toLowerCase().includes(rest.toLowerCase()) ? [at] : []).slice(0, 5)
    ?? []
  const found = !names
    ? 'the names of the classes are not known here'
    : `no class of that name${near.length ? `, near it: ${choices(near)}` : ''}`
  throw new InputError(`--class ${shown(text)}: ${found}; give its number, 0 to ${count - 1}`)
}
