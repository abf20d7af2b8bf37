// The named composites: which rule each layer gets. First match wins; see composite.ts.
import { InputError } from '../base/errors.ts'
import { attentionOpen, type AttentionOptions } from '../ops/attention/attention.ts'
import type { Tensor } from '../core/tensor.ts'
import { type Composite, type LrpRule, on } from './composite.ts'
import type { Group } from './network.ts'
import { alphaBeta, type Box, detached, epsilon, flat, gamma, identity, inside, quotient, share, softmaxZPlus, uniform,
  zBox, zPlus } from './rules.ts'

const convolution = { role: 'convolution' } as const, dense = { role: 'dense' } as const

/**
 * How relevance passes attention: AttnLRP halves it at both products and takes the softmax's own gradient; CP-LRP holds
 * the probabilities constant; z-plus propagates through the softmax by its positive contributions, with a virtual bias
 * or without.
 */
export type SoftmaxHandling = 'attn-lrp' | 'cp-lrp' | 'z-plus' | 'z-plus-bias'

const opened = (virtualBias: boolean): LrpRule =>
  Object.assign(
    inside<AttentionOptions>(
      ([q, k, v, bias, mask], attrs) => attentionOpen(q!, k!, v!, bias as Tensor | null, mask as Tensor | null, attrs),
      [on({ role: 'product' }, uniform), on('softmax', softmaxZPlus({ virtualBias }))],
    ),
    { atSoftmax: 0.5 },
  )

const attentions: Record<SoftmaxHandling, LrpRule> = {
  // The additive bias of the logits is a constant beside q k, so it is not halved twice.
  'attn-lrp': Object.assign(share(1 / 4, 1 / 4, 1 / 2, 1 / 2), { atSoftmax: 0.5 }),
  'cp-lrp': Object.assign(share(0, 0, 1), { atSoftmax: 1 }),
  'z-plus': opened(false),
  'z-plus-bias': opened(true),
}

/**
 * Rules of everything that has no weights. Focused linear attention (arXiv 2308.00442) is the same product of three
 * without the softmax: its normaliser is held constant like layer norm's deviation, and so are the norms of its
 * focusing function.
 */
export function structure(softmax: SoftmaxHandling = 'attn-lrp'): Composite {
  return [
    on({ role: 'activation' }, identity()),
    on({ role: 'normalization' }, detached()),
    on({ role: 'product' }, uniform),
    on({ role: 'quotient' }, quotient),
    on('attention', attentions[softmax]),
    on('linear-attention', detached(softmax === 'cp-lrp' ? share(0, 0, 1) : share(1 / 4, 1 / 4, 1 / 2))),
  ]
}

/** Epsilon at every layer, and AttnLRP (arXiv 2402.05602) in attention. */
export const attnLRP: Composite = [on([convolution, dense], epsilon()), ...structure('attn-lrp')]
/** Epsilon at every layer, and attention probabilities held constant (conservative propagation, arXiv 2202.07304). */
export const cpLRP: Composite = [on([convolution, dense], epsilon()), ...structure('cp-lrp')]
/** Epsilon for linear layers, z-plus for convolutions. */
export const epsilonPlus: Composite = [on(convolution, zPlus()), on(dense, epsilon()), ...structure()]
/** As `epsilonPlus`, with the flat rule where the image is read. */
export const epsilonPlusFlat: Composite = [on('*', { first: true }, flat()), ...epsilonPlus]
/** Epsilon for linear layers, alpha 2 beta 1 for convolutions. */
export const epsilonAlpha2Beta1: Composite = [on(convolution, alphaBeta(2, 1)), on(dense, epsilon()), ...structure()]
/** z-plus at every layer (Yeom et al. 2021). */
export const zPlusEverywhere: Composite = [on([convolution, dense], zPlus()), ...structure()]
/** Epsilon for linear layers, gamma 0.25 for convolutions, and z-box where the image is read. */
export const epsilonGammaBox = (
  box: Box,
): Composite => [
  on('*', { first: true }, zBox(box)),
  on(convolution, gamma(0.25)),
  on(dense, epsilon()),
  ...structure(),
]
/**
 * Gamma at every layer (0.25 for convolutions, 0.05 for linear layers) with AttnLRP; the projections of attention keep
 * epsilon.
 */
export const attnLRPGamma: Composite = [
  on(dense, '*.query', epsilon()),
  on(dense, '*.key', epsilon()),
  on(dense, '*.value', epsilon()),
  on(dense, '*.out', epsilon()),
  on(convolution, gamma(0.25)),
  on(dense, gamma(0.05)),
  ...structure(),
]

/** Rules that Pruning by eXplaining chooses from. */
export type RuleName = 'epsilon' | 'alpha2-beta1' | 'gamma' | 'z-plus'

/** The choices of Pruning by eXplaining: a rule per depth group, and what happens at the softmax. */
export type Recipe = Record<Group, RuleName> & { softmax: SoftmaxHandling }

const ruleNames: Record<RuleName, { conv: LrpRule, dense: LrpRule }> = {
  'epsilon': { conv: epsilon(), dense: epsilon() },
  'alpha2-beta1': { conv: alphaBeta(2, 1), dense: alphaBeta(2, 1) },
  'gamma': { conv: gamma(0.25), dense: gamma(0.05) },
  'z-plus': { conv: zPlus(), dense: zPlus() },
}

/** A composite of the search space of Pruning by eXplaining (arXiv 2408.12568): four depth groups, one rule each. */
export function recipe({ softmax, ...groups }: Recipe): Composite {
  return [
    ...Object.entries(groups).flatMap(([group, name]) => {
      const where = { group: group as Group }
      return [on(convolution, where, ruleNames[name].conv), on(dense, where, ruleNames[name].dense)]
    }),
    on([convolution, dense], epsilon()),
    ...structure(softmax),
  ]
}

/** Bounds of pixels 0..1 after normalisation by mean and deviation, per channel. */
export function boxOf({ mean, std, channels }: Normalised): Box {
  const each = (value: number) =>
    Array.from({ length: channels }, (_, c) => (value - mean[c % mean.length]) / std[c % std.length])
  return { low: each(0), high: each(1) }
}

const softmaxNames = Object.keys(attentions) as SoftmaxHandling[]

/** How pixels 0..1 were normalised. */
interface Normalised {
  mean: readonly number[]
  std: readonly number[]
  channels: number
}

const named = {
  'epsilon': () => attnLRP,
  'epsilon-plus': () => epsilonPlus,
  'epsilon-plus-flat': () => epsilonPlusFlat,
  'epsilon-gamma-box': (pixels: Normalised) => epsilonGammaBox(boxOf(pixels)),
  'epsilon-alpha2-beta1': () => epsilonAlpha2Beta1,
  'z-plus': () => zPlusEverywhere,
  'attn-lrp': () => attnLRP,
  'attn-lrp-gamma': () => attnLRPGamma,
  'cp-lrp': () => cpLRP,
}

/** Names that `compositeOf` knows, beside `pxp:<low>,<middle>,<high>,<classifier>,<softmax>`. */
export const compositeNames = Object.keys(named) as readonly (keyof typeof named)[]

/** A composite by name; `pixels` bounds the z-box. @throws InputError listing the names. */
export function compositeOf(name: string, pixels: Normalised = { mean: [0.5], std: [0.5], channels: 3 }): Composite {
  if (Object.hasOwn(named, name)) return named[name as keyof typeof named](pixels)
  const parts = name.startsWith('pxp:') ? name.slice(4).split(',') : []
  const [low, middle, high, classifier, softmax = 'attn-lrp'] = parts
  const rules = [low, middle, high, classifier], known = rules.every((each) => Object.hasOwn(ruleNames, each))
  if (parts.length >= 4 && parts.length <= 5 && known && softmaxNames.includes(softmax as SoftmaxHandling)) {
    const [a, b, c, d] = rules as RuleName[]
    return recipe({ low: a, middle: b, high: c, classifier: d, softmax: softmax as SoftmaxHandling })
  }
  throw new InputError(
    `composite '${name}': expected ${compositeNames.join(', ')}, or pxp:<low>,<middle>,<high>,<classifier>[,<softmax>] `
      + `with rules ${Object.keys(ruleNames).join(', ')} and softmax ${softmaxNames.join(', ')}`,
  )
}
