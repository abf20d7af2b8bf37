// Methods by name, from what the files of two folders export. The help text of `--method` and the messages about
// unknown names are made from this.
import { compositeNames, compositeOf } from '../../attribution/composites.ts'
import { InputError } from '../../base/errors.ts'
import { quoted } from '../../base/quote.ts'
import { criteriaByFile } from '../criteria.generated.ts'
import { methodsByFile } from '../methods.generated.ts'
import type { ImportanceCriterion } from '../scores/criterion.ts'
import { relevance } from '../scores/relevance.ts'
import { byCriterion } from './by-criterion.ts'
import type { Method } from './method.ts'

/** Every method that has a name of its own: what the files of `scores` and of this folder export. */
export const methods: Readonly<Record<string, Method>> = registryOf([
  ...Object.values(criteriaByFile).flatMap((criteria) =>
    Object.entries(criteria).map(([name, criterion]) => [name, byCriterion(criterion, criterion.summary)] as const)
  ),
  ...Object.values(methodsByFile).flatMap((found) => Object.entries(found)),
])

/**
 * One table of all; what papers compare with stands first in help and messages. @throws Error for a name given twice.
 */
function registryOf(found: readonly (readonly [string, Method])[]): Record<string, Method> {
  const usual = ['pxp', 'yeom', 'magnitude'], byName = new Map(found)
  if (byName.size < found.length) {
    const names = found.map(([name]) => name)
    throw new Error(`two pruning methods are called '${names.find((name, i) => names.indexOf(name) < i)}'`)
  }
  const names = [...usual, ...[...byName.keys()].filter((name) => !usual.includes(name))]
  return Object.fromEntries(names.map((name) => [name, byName.get(name)!]))
}

/** Names of all methods. */
export const methodNames: readonly string[] = Object.keys(methods)

/** How parameters are written behind `pxp:`. */
const pxpForms = ['pxp:<composite>', 'pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]']

/** How options stand behind the name of a method that has some. */
const optionForm = '<method>:<option>=<value>[/<option>=<value>...]'

/**
 * A method by name. `pxp` is relevance with plain epsilon; `pxp:<composite>` takes another composite, and
 * `pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]` a rule per depth group. Behind the name of a method with options
 * stand other defaults of them, `graph:damping=0.85/source=outputs`. @throws InputError listing the names.
 */
export function methodOf(name: string): Method {
  if (Object.hasOwn(methods, name)) return methods[name]
  if (name.startsWith('pxp:')) {
    const wanted = name.slice(4), composite = wanted.includes('/') ? `pxp:${wanted.replaceAll('/', ',')}` : wanted
    compositeOf(composite)
    return byCriterion(relevance(composite), `relevance by ${wanted}`)
  }
  const [, base = '', settings = ''] = /^([^:]+):(.+)$/s.exec(name) ?? []
  if (Object.hasOwn(methods, base) && methods[base].options) return withDefaults(name, methods[base], settings)
  throw new InputError(
    `method ${quoted(name)}: expected ${methodNames.join(', ')}, ${optionForm}, ${pxpForms[0]} with ${
      compositeNames.join(', ')
    }, or ${pxpForms[1]}`,
  )
}

/** A method with other defaults, from text such as `damping=0.85/source=outputs`. @throws InputError. */
function withDefaults(name: string, method: Method, settings: string): Method {
  const known = method.options!
  const given = new Map(
    settings.split('/').map((setting) => {
      const [, option = '', value = ''] = /^([\w-]+)=(.*)$/s.exec(setting) ?? []
      if (Object.hasOwn(known, option)) return [option, value] as const
      throw new InputError(
        `method ${quoted(name)}: expected <option>=<value> with ${Object.keys(known).join(', ')}, found ${
          quoted(setting, 40)
        }`,
      )
    }),
  )
  const options = Object.fromEntries(
    Object.entries(known).map(([option, each]) => [option, { ...each, default: given.get(option) ?? each.default }]),
  )
  const criterion = method.criterionWith?.(Object.fromEntries(given)) ?? method.criterion
  return { ...method, options, ...criterion && { criterion } }
}

/** Names of the methods that are an importance criterion, and score once for a whole curve. */
export const criterionNames: readonly string[] = methodNames.filter((name) => methods[name].criterion)

/** An importance criterion by the name of its method. @throws InputError for a method that is none. */
export function criterionOf(name: string): ImportanceCriterion {
  const { criterion } = methodOf(name)
  if (criterion) return criterion
  throw new InputError(`method '${name}': it learns what to cut and has no scores; expected one that scores`)
}

/** The options of methods that have some, a line each, for help texts. */
export const optionHelp = (): string =>
  Object.entries(methods).filter(([, { options }]) => options).map(([name, { options, kinds }]) =>
    [
      `Options of --method ${name} (--set name=value)${kinds ? `, which prunes ${kinds.join(', ')}` : ''}:`,
      ...Object.entries(options!).map(([option, { summary, default: value }]) =>
        `  ${option.padEnd(17)} ${summary}${value === undefined ? '' : ` (default: ${value})`}`
      ),
    ].join('\n')
  ).join('\n')

/** What `--method` takes, for help texts. */
export const methodHelp = (): string => {
  const [first, ...rest] = methodNames
  return [first, ...pxpForms, ...rest, optionForm].join(', ')
}
