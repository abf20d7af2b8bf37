// Recipes: flags of `prune` in a file, those that ship with the package by name. What stands on the command line wins.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type Command, InvalidArgumentError, type Option } from 'commander'
import { InputError } from '../base/errors.ts'
import { plain, quoted, shown } from '../base/quote.ts'
import { guard } from '../files/guard.ts'
import { packageFile } from '../files/package.ts'

/** A recipe: for which network, what it comes from, flags by their names without dashes, options of the method. */
export interface Recipe {
  name: string
  summary: string
  network: string
  flags: Record<string, string | number | true>
  set: Record<string, string>
}

/** Flags that are the user's own: where things are and what is written. */
const own = new Set(['data', 'test', 'out', 'report', 'recipe', 'overwrite', 'dry-run', 'json', 'quiet', 'set'])

const folder = () => packageFile('models/data/recipes')

/** Names of the recipes that ship with the package. */
export const recipeNames = (): string[] =>
  !existsSync(folder())
    ? []
    : readdirSync(folder()).filter((name) => name.endsWith('.json')).map((name) => basename(name, '.json')).sort()

/** Whether `--recipe` names a file, and not a recipe of the package. */
export const isRecipePath = (name: string): boolean => /\.json$/i.test(name) || /[\\/]/.test(name)

/** A recipe by name, or from a .json file. @throws InputError saying what is wrong with it. */
export function readRecipe(name: string): Recipe {
  const isFile = isRecipePath(name)
  if (!isFile && !recipeNames().includes(name)) {
    throw new InputError(`--recipe ${plain(name)}: expected ${recipeNames().join(', ')}, or a .json file`)
  }
  const path = isFile ? name : `${folder()}/${name}.json`
  const bad = (what: string) => new InputError(`--recipe ${plain(name)}: ${what}`)
  if (!existsSync(path)) throw bad('there is no such file')
  const text = guard(path, () => readFileSync(path, 'utf8'), true)
  let value: Partial<Recipe> | null
  try {
    value = JSON.parse(text) as Partial<Recipe> | null
  } catch (error) {
    throw new InputError(`--recipe ${plain(name)}: is no JSON (${plain((error as Error).message, 80)})`, {
      cause: error,
    })
  }
  const { summary, network, flags, set = {}, ...others } = value ?? {}, [unknown] = Object.keys(others)
  if (unknown !== undefined) throw bad(`has ${quoted(unknown, 40)}; expected summary, network, flags and set alone`)
  const isObject = (each: unknown) => typeof each === 'object' && each !== null && !Array.isArray(each)
  if (typeof summary !== 'string' || typeof network !== 'string' || !isObject(flags) || !isObject(set) || !flags) {
    throw bad('expected an object with summary, network, flags and set')
  }
  const odd = Object.keys(flags).find((flag) => own.has(flag))
  if (odd !== undefined) throw bad(`--${plain(odd)} is the user's own; leave it out`)
  const wrong = Object.entries(flags as Record<string, unknown>).find(([, each]) =>
    typeof each !== 'string' && typeof each !== 'number' && each !== true
  )
  if (wrong) throw bad(`flags.${plain(wrong[0])} is ${shown(wrong[1], 40)}, expected text, a number or true`)
  const strange = Object.entries(set).find(([, each]) => typeof each !== 'string')
  if (strange) throw bad(`set.${plain(strange[0])} is ${shown(strange[1], 40)}, expected a string`)
  return { name, summary, network, flags, set }
}

/**
 * Adds `--recipe`: its flags take effect where the command line has none, whatever stands first. @throws InputError
 * for a flag that the command lacks or a value it does not take.
 */
export function addRecipe(command: Command): Command {
  command.option(
    '--recipe <name or file>',
    'flags from a recipe of the package (docs/learned-pruning.md names them) or a .json file; your own flags win',
  )
  return command.on('option:recipe', (name: string) => {
    const { flags, set } = readRecipe(name), isGiven = (key: string) => command.getOptionValueSource(key) === 'cli'
    for (const [flag, value] of Object.entries(flags)) {
      const option = command.options.find(({ long }) => long === `--${flag}`)
      if (!option) throw new InputError(`--recipe ${plain(name)}: ${command.name()} has no flag --${plain(flag)}`)
      const key = option.attributeName()
      if (!isGiven(key)) command.setOptionValueWithSource(key, parsed(name, option, value), 'recipe')
    }
    const before = isGiven('set') ? command.getOptionValue('set') as Record<string, string> : {}
    command.setOptionValueWithSource('set', { ...set, ...before }, 'recipe')
  })
}

function parsed(recipe: string, option: Option, value: string | number | true): unknown {
  if (value === true || !option.parseArg) return value
  try {
    return option.parseArg(String(value), undefined as never)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    const { message } = error
    throw new InputError(`--recipe ${plain(recipe)}: ${option.long} is ${quoted(String(value), 40)}. ${message}`, {
      cause: error,
    })
  }
}

/** Budgets of a recipe give way to another one on the command line. */
export function withoutRecipeBudget<T extends { recipe?: string }>(
  options: T,
  kinds: readonly (keyof T & string)[],
): T {
  if (options.recipe === undefined) return options
  const { flags } = readRecipe(options.recipe), given = kinds.filter((kind) => options[kind] !== undefined)
  const theirs = given.find((kind) => flags[kind] !== undefined && Number(flags[kind]) === Number(options[kind]))
  if (given.length < 2 || theirs === undefined) return options
  return { ...options, [theirs]: undefined }
}
