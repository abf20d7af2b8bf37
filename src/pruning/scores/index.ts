// Criteria by name.
import { compositeNames, compositeOf } from '../../attribution/composite.ts'
import { InputError } from '../../base/errors.ts'
import { activation } from './activation.ts'
import { gradient } from './gradient.ts'
import { integratedGradients } from './integrated-gradients.ts'
import { magnitude } from './magnitude.ts'
import { random } from './random.ts'
import { relevance } from './relevance.ts'
import type { Score } from './score.ts'
import { taylor } from './taylor.ts'

const scores: Readonly<Record<string, Score>> = {
  'pxp': relevance('epsilon'),
  'yeom': relevance('z-plus', 'mean-of-abs-everywhere'),
  'magnitude': magnitude('l1'),
  'magnitude-l2': magnitude('l2'),
  'activation': activation('mean'),
  'apoz': activation('positive'),
  'taylor': taylor,
  'gradient': gradient,
  'integrated-gradients': integratedGradients('true'),
  'averaged-gradients': integratedGradients('averaged'),
  'random': random,
}

/** Names of all criteria. */
export const scoreNames: readonly string[] = Object.keys(scores)

/**
 * A criterion by name. `pxp` is relevance with plain epsilon; `pxp:<composite>` takes another composite, and
 * `pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]` a rule per depth group. @throws InputError listing the names.
 */
export function scoreOf(name: string): Score {
  if (Object.hasOwn(scores, name)) return scores[name]
  if (name.startsWith('pxp:')) {
    const wanted = name.slice(4), composite = wanted.includes('/') ? `pxp:${wanted.replaceAll('/', ',')}` : wanted
    compositeOf(composite)
    return relevance(composite)
  }
  throw new InputError(
    `method '${name}': expected ${scoreNames.join(', ')}, pxp:<composite> with ${
      compositeNames.join(', ')
    }, or pxp:<low>/<middle>/<high>/<classifier>[/<softmax>]`,
  )
}
