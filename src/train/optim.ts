// Optimisers. State is shaped like the model and lives on the device, with rate and step count, so that a step can be
// captured.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { ShapeError } from '../base/errors.ts'
import { zeros } from '../core/fill.ts'
import { type Kernel, kernel } from '../gpu/kernel.ts'
import { grid, launch } from '../core/launch.ts'
import { type Tensor, tensor } from '../core/tensor.ts'
import { describedParameters, leaves, parameters } from '../core/tree.ts'
import type { LeafTraits } from '../core/traits.ts'

const params = [
  'size',
  'beta1',
  'beta2',
  'rest1',
  'rest2',
  'eps',
  'decay',
  'momentum',
  'nesterov',
  'clip',
  'parts',
  'slot',
]
const declare = (entry: string, buffers: string[]) => kernel('optim.wgsl', { entry, buffers, params })
const kernels = {
  advance: declare('advance', ['control']),
  adam: declare('adam', ['weight', 'm', 'v', 'grad', 'gain']),
  sgd: declare('sgd', ['weight', 'm', 'grad', 'gain']),
  squared: declare('squared', ['grad', 'squares']),
  clip: declare('clip', ['control', 'squares']),
  average: declare('average', ['v', 'grad']),
}

/** Options that all optimisers share. */
export interface OptimizerOptions {
  /** Learning rate of the first step; change it later with `setRate`. */
  rate: number
  /** Weight decay (0). */
  decay?: number
  /** Which parameters decay; default all, as in PyTorch, but those whose class says that they do not, and masks. */
  decays?: (path: string, parameter: Tensor, traits: LeafTraits) => boolean
  /**
   * Greatest global L2 norm of the gradient; larger ones are scaled down, and a gradient that is not finite leaves the
   * weights alone (a large value such as 1e30 only does that). Default: neither.
   */
  clip?: number
}

/** Updates the parameters of one model in place. */
export interface Optimizer {
  /**
   * One step. `grads` has the model's structure, null where there is no gradient (those parameters stay as they are).
   * @throws ShapeError if the model has a parameter the optimiser was not made for.
   */
  update(model: unknown, grads: unknown): void
  /** Learning rate from the next step on, also of a captured step. */
  setRate(rate: number): void
  /** Everything needed to go on after a restart: moments by parameter path, and the control values. */
  readonly state: { readonly control: Tensor, readonly moments: ReadonlyMap<string, readonly Tensor[]> }
  /** Frees the state. */
  dispose(): void
}

const optimizerKeys: OptionKeys<OptimizerOptions> = { rate: true, decay: true, decays: true, clip: true }
const adamKeys = { ...optimizerKeys, beta1: true, beta2: true, eps: true } as const
const sgdKeys = { ...optimizerKeys, momentum: true, nesterov: true } as const

interface Method {
  step: Kernel
  moments: number
  values: Record<string, number>
  beta1: number
  beta2: number
}

// A mask that decays would prune by itself.
const ofItself: NonNullable<OptimizerOptions['decays']> = (_, __, { decayed, role }) => decayed ?? role !== 'mask'

function optimizer(model: unknown, options: OptimizerOptions, method: Method): Optimizer {
  const { decay = 0, decays = ofItself, clip = 0 } = options
  const moments = new Map<string, Tensor[]>()
  for (const [path, parameter] of parameters(model)) {
    moments.set(path, Array.from({ length: method.moments }, () => zeros(parameter.shape, true)))
  }
  const control = tensor(Float32Array.of(options.rate, 0, 0, 0, 1))
  const partsOf = ({ size }: Tensor) => Math.min(64, Math.ceil(size / 4096))
  const squares = clip
    ? zeros([Math.max(1, parameters(model).reduce((sum, [, leaf]) => sum + partsOf(leaf), 0))])
    : null
  const base = {
    size: 0,
    beta1: method.beta1,
    beta2: method.beta2,
    rest1: 1 - method.beta1,
    rest2: 1 - method.beta2,
    eps: 0,
    decay: 0,
    momentum: 0,
    nesterov: 0,
    clip,
    parts: 0,
    slot: 0,
    ...method.values,
  }
  return {
    state: { control, moments },
    update(current, grads) {
      const found = new Map(leaves(grads))
      const pairs = describedParameters(current).flatMap(([path, weight, traits]) => {
        const grad = found.get(path)
        if (!grad) return []
        const state = moments.get(path)
        if (!state || state[0]?.shape.join() !== weight.shape.join()) {
          throw new ShapeError(
            `optimiser: no state for '${path}' [${weight.shape}]; the model changed (pruned?), `
              + 'make a new optimiser for it',
          )
        }
        if (grad.shape.join() !== weight.shape.join() || grad.dtype !== 'f32') {
          throw new ShapeError(
            `optimiser: the gradient of '${path}' is ${grad.dtype} [${grad.shape}], `
              + `expected f32 [${weight.shape}] as the parameter; reduce or reshape it first`,
          )
        }
        return [{ weight, grad, state, decays: decays(path, weight, traits) }]
      })
      launch(kernels.advance, { control }, base, [1])
      if (squares) {
        let slot = 0
        for (const { grad } of pairs) {
          launch(kernels.squared, { grad, squares }, { ...base, size: grad.size, slot }, [partsOf(grad)])
          slot += partsOf(grad)
        }
        launch(kernels.clip, { control, squares }, { ...base, parts: slot }, [1])
      }
      for (const { weight, grad, state, decays } of pairs) {
        const buffers: Record<string, Tensor> = { weight, grad, gain: control, m: state[0] }
        if (state[1]) buffers.v = state[1]
        launch(
          method.step,
          buffers,
          { ...base, size: weight.size, decay: decays ? decay : 0 },
          grid(Math.ceil(weight.size / 256)),
        )
      }
    },
    setRate(rate) {
      control.writeAt(Float32Array.of(rate), 0) // the other control values stay as the device counts them
    },
    dispose() {
      for (const state of moments.values()) for (const moment of state) moment.dispose()
      control.dispose()
      squares?.dispose()
    },
  }
}

/** AdamW (Loshchilov & Hutter 2019): decoupled decay, bias-corrected moments. Defaults as PyTorch's, but decay 0. */
export function adamW(
  model: unknown,
  options: OptimizerOptions & { beta1?: number, beta2?: number, eps?: number },
): Optimizer {
  checkOptions('adamW', options, adamKeys)
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } = options
  return optimizer(model, options, { step: kernels.adam, moments: 2, values: { eps }, beta1, beta2 })
}

/** Adam (Kingma & Ba 2015); decay, if any, is coupled: added to the gradient. */
export function adam(
  model: unknown,
  options: OptimizerOptions & { beta1?: number, beta2?: number, eps?: number },
): Optimizer {
  checkOptions('adam', options, adamKeys)
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } = options
  return optimizer(model, options, { step: kernels.adam, moments: 2, values: { eps, nesterov: 1 }, beta1, beta2 })
}

/** Stochastic gradient descent with momentum, Nesterov's or plain, and coupled decay, as PyTorch's. */
export function sgd(model: unknown, options: OptimizerOptions & { momentum?: number, nesterov?: boolean }): Optimizer {
  checkOptions('sgd', options, sgdKeys)
  const { momentum = 0, nesterov = false } = options
  return optimizer(model, options, {
    step: kernels.sgd,
    moments: 1,
    values: { momentum, nesterov: Number(nesterov) },
    beta1: 0,
    beta2: 0,
  })
}

/** Cosine schedule with linear warm-up: the rate of step `step` (from 0) of `steps`, between `peak` and `last`. */
export function cosineRate(
  step: number,
  options: { steps: number, peak: number, warmup?: number, last?: number },
): number {
  checkOptions('cosineRate', options, { steps: true, peak: true, warmup: true, last: true })
  const { steps, peak, warmup = 0, last = 0 } = options
  if (step < warmup) return peak * (step + 1) / warmup
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup))
  return last + (peak - last) * 0.5 * (1 + Math.cos(Math.PI * progress))
}

/**
 * Moves `averages` (a tree like the model) towards the model's parameters: `average = keep average + (1 - keep)
 * parameter`.
 */
export function updateAverage(averages: unknown, model: unknown, keep: number): void {
  const current = new Map(parameters(model))
  for (const [path, average] of parameters(averages)) {
    const weight = current.get(path)
    if (!weight || weight.shape.join() !== average.shape.join()) {
      throw new ShapeError(`updateAverage: '${path}' differs between the average and the model`)
    }
    const values = Object.fromEntries(params.map((name) => [name, 0]))
    launch(kernels.average, { v: average, grad: weight }, {
      ...values,
      size: weight.size,
      beta1: keep,
      rest1: 1 - keep,
    }, grid(Math.ceil(weight.size / 256)))
  }
}
