// Options of a method as numbers and words.
import { InputError } from '../../base/errors.ts'
import { shown } from '../../base/quote.ts'
import type { MethodOption } from '../methods/method.ts'

/** An option that is a word or a number. */
export interface KnownOption extends MethodOption {
  default: string
  words?: readonly string[]
  /** The least and the greatest number allowed. */
  range?: readonly [number, number]
}

/** Reads options by name, of what was given or by default. */
export interface OptionReader {
  word<T extends string>(name: string): T
  number(name: string): number
  whole(name: string): number
}

/** A reader, each of whose calls throws InputError naming the option, what it may be and what it is. */
export function optionReader(
  options: Readonly<Record<string, KnownOption>>,
  given: Readonly<Record<string, string>>,
): OptionReader {
  const text = (name: string) => given[name] ?? options[name].default
  const refuse = (name: string, value: string, expected: string) =>
    new InputError(`--set ${name}=${value}: expected ${expected}`)
  const number = (name: string): number => {
    const value = Number(text(name)), [least, most] = options[name].range!, { words = [] } = options[name]
    if (text(name).trim() !== '' && value >= least && value <= most) return value
    const named = words.length ? `${words.join(', ')} or ` : ''
    throw refuse(name, shown(text(name), 40), `${named}a number from ${least} to ${most}`)
  }
  return {
    number,
    word<T extends string>(name: string): T {
      const value = text(name), { words = [] } = options[name]
      if (words.includes(value)) return value as T
      throw refuse(name, shown(value, 40), words.join(', '))
    },
    whole(name) {
      const value = number(name)
      if (Number.isInteger(value)) return value
      throw refuse(name, String(value), 'a whole number')
    },
  }
}
