// Methods by name: one line each. The help text of `--method` and the messages about unknown names are made from this.
import { compositeNames, compositeOf } from '../../attribution/composites.ts'
import { InputError } from '../../base/errors.ts'
import { activation } from '../scores/activation.ts'
import { gradient } from '../scores/gradient.ts'
import { integratedGradients } from '../scores/integrated-gradients.ts'
import { magnitude } from '../scores/magnitude.ts'
import { random } from '../scores/random.ts'
import { relevance } from '../scores/relevance.ts'
import type { ImportanceCriterion } from '../scores/criterion.ts'
import { taylor } from '../scores/taylor.ts'
import { byCriterion } from './by-criterion.ts'
import type { Method } from './method.ts'

/** Every method that has a name of its own. */
export const methods: Readonly<Record<string, Method>> = {
  'pxp': byCriterion(
    relevance('epsilon'),
    'relevance, epsilon rule everywhere (Pruning by eXplaining, arXiv 2408.12568)',
  ),
  'yeom': byCriterion(
    relevance('z-plus', 'mean-of-abs-everywhere'),
    'relevance, z-plus rule (Yeom et al., arXiv 1912.08881)',
  ),
  'magnitude': byCriterion(magnitude('l1'), 'mean |weight| (Li et al., arXiv 1608.08710)'),
  'magnitude-l2': byCriterion(magnitude('l2'), 'root of the mean weight^2'),
  'activation': byCriterion(activation('mean'), 'mean |activation|'),
  'apoz': byCriterion(activation('positive'), 'share of positive activations (APoZ, arXiv 1607.03250)'),
  'taylor': byCriterion(taylor, '|activation x gradient of the loss| (Molchanov et al., arXiv 1611.06440)'),
  'gradient': byCriterion(gradient, "|gradient of the class's logit|"),
  'integrated-gradients': byCriterion(
    integratedGradients('true'),
    'integrated gradients from the mean colour, 20 steps',
  ),
  'averaged-gradients': byCriterion(integratedGradients('averaged'), 'their gradients alone, averaged'),
  'random': byCriterion(random, 'chance, by the seed'),
}

/** Names of all methods. */
export const methodNames: readonly string[] = Object.keys(methods)

/** How parameters are written behind `pxp:`. */
const pxpForms = ['pxp:<composite>', 'pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]']

/**
 * A method by name. `pxp` is relevance with plain epsilon; `pxp:<composite>` takes another composite, and
 * `pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]` a rule per depth group. @throws InputError listing the names.
 */
export function methodOf(name: string): Method {
  if (Object.hasOwn(methods, name)) return methods[name]
  if (name.startsWith('pxp:')) {
    const wanted = name.slice(4), composite = wanted.includes('/') ? `pxp:${wanted.replaceAll('/', ',')}` : wanted
    compositeOf(composite)
    return byCriterion(relevance(composite), `relevance by ${wanted}`)
  }
  throw new InputError(
    `method '${name}': expected ${methodNames.join(', ')}, ${pxpForms[0]} with ${compositeNames.join(', ')}, or ${
      pxpForms[1]
    }`,
  )
}

/** Names of the methods that are an importance criterion, and score once for a whole curve. */
export const criterionNames: readonly string[] = methodNames.filter((name) => methods[name].criterion)

/** An importance criterion by the name of its method. @throws InputError for a method that is none. */
export function criterionOf(name: string): ImportanceCriterion {
  const { criterion } = methodOf(name)
  if (criterion) return criterion
  throw new InputError(`method '${name}': it learns what to cut and has no scores; expected one that scores`)
}

/** What `--method` takes, for help texts. */
export const methodHelp = (): string => {
  const [first, ...rest] = methodNames
  return [first, ...pxpForms, ...rest].join(', ')
}
