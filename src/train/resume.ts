// Training that goes on where it stopped: a run of several stages keeps the state of each in a store, and a stage that
// is done is restored and not trained again.
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { sha256 } from '../base/sha256.ts'
import { leaves } from '../core/tree.ts'
import type { Dataset } from '../data/datasets.ts'
import type { Model } from '../nn/model.ts'
import { fit, type FitOptions, type TrainingState } from './fit.ts'
import { encodeState, parseState } from './state.ts'

/** Where bytes are kept by name, e.g. files of a folder. A write replaces what was there as a whole. */
export interface StateStore {
  read(name: string): Promise<Uint8Array | null>
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Where that is, for messages: a folder. */
  readonly where?: string
}

/** A store that forgets everything: nothing is resumed. */
export const noStore: StateStore = { read: () => Promise.resolve(null), write: () => Promise.resolve() }

/** A store in memory. */
export function memoryStore(): StateStore & { readonly entries: ReadonlyMap<string, Uint8Array> } {
  const entries = new Map<string, Uint8Array>()
  return {
    entries,
    read: (name) => Promise.resolve(entries.get(name) ?? null),
    write(name, bytes) {
      entries.set(name, bytes)
      return Promise.resolve()
    },
  }
}

/** Which stage this is, and what of it must not change between two attempts. */
export interface Stage {
  store: StateStore
  /** The name of the stage in the store, e.g. `masks`. */
  stage: string
  /** Settings; a stored state of others is refused. */
  recipe?: Record<string, unknown>
}

/** What a state belongs to, by the digests that are kept of it. */
const origins = { network: 'another network', pictures: 'other images' } as const

/** Digests of the weights that a stage begins with, and of labels and the first pictures. */
async function originOf(model: Model, data: Dataset): Promise<Record<keyof typeof origins, string>> {
  const weights: string[] = []
  for (const [path, leaf] of leaves(model)) weights.push(`${path} ${await sha256(await leaf.data())}`)
  const only = [...data.labels.keys()].slice(0, 4), pictures = [await sha256(Int32Array.from(data.labels))]
  for await (const { images } of data.batches({ size: 4, only })) pictures.push(await sha256(images))
  const digest = (parts: readonly string[]) => sha256(new TextEncoder().encode(parts.join('\n')))
  return { network: await digest(weights), pictures: await digest(pictures) }
}

/**
 * As `fit`, with the state of every epoch in a store. Called again with the same store it goes on after the last epoch
 * that was finished, to the same numbers; if that was the last one, it only restores model, `extra` and hooks.
 * @throws InputError for a stored state of another model, of other images or of other settings.
 */
export async function fitStage<M extends Model, X = unknown>(
  model: M,
  data: Dataset,
  options: Omit<FitOptions<M, X>, 'resume'>,
  { store, stage, recipe = {} }: Stage,
): Promise<TrainingState> {
  const { epochs, batch, rate, warmup, decay, clip, smoothing, seed, average } = options
  const settings = {
    epochs,
    batch,
    rate,
    warmup,
    decay,
    clip,
    smoothing,
    seed,
    average,
    images: data.length,
    ...recipe,
    ...store !== noStore && await originOf(model, data),
  }
  const now = JSON.parse(
    JSON.stringify(settings, (_, value: unknown) => value instanceof Map ? [...value] : value),
  ) as Record<string, unknown>
  const bytes = await store.read(stage), stored = bytes && parseState(bytes, stage)
  for (const key of new Set([...Object.keys(now), ...Object.keys(stored?.history.recipe ?? now)])) {
    const [before, after] = [stored ? stored.history.recipe[key] : now[key], now[key]].map((x) => JSON.stringify(x))
    if (before !== after) {
      const differs = key in origins
        ? `is of ${origins[key as keyof typeof origins]}`
        : `was written with ${key} ${before}, this run has ${after}`
      throw new InputError(
        `stage '${stage}': its state ${differs}; go on with the old ones, or ${
          store.where === undefined ? 'start with an empty store' : `remove ${plain(store.where)}`
        }`,
      )
    }
  }
  return fit(model, data, {
    ...options,
    ...stored && {
      resume: {
        epoch: stored.history.epoch,
        load: (fresh) => {
          stored.restore(model, fresh)
          fresh.losses.push(...stored.history.losses)
          fresh.steps.push(...stored.history.steps)
        },
      },
    },
    async onEpoch(state) {
      const { epoch, losses, steps } = state
      const ended = await options.onEpoch?.(state)
      if (ended) state.finished = true
      if (store === noStore) return ended
      await store.write(stage, await encodeState(model, state, { epoch, losses, steps, tests: [], recipe: now }))
      return ended
    },
  })
}
