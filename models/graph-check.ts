// Whether the options of a graph network are ones: they may come from a stranger's file.
import { InputError } from '../src/base/errors.ts'
import { quoted, shown } from '../src/base/quote.ts'
import { sizeOf } from '../src/base/shape.ts'
import type { GraphOptions } from './graph.ts'
import { stepKinds } from './graph-steps.ts'

const MOST_STEPS = 2 ** 15, MOST_PARAMETERS = 2 ** 30, MOST = 2 ** 24

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isWhole = (value: unknown, least: number, most: number): value is number =>
  Number.isInteger(value) && value as number >= least && value as number <= most
const isShape = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= 8 && value.every((n) => isWhole(n, 1, MOST))
const isName = (name: string) => /^[\w/]{1,200}$/.test(name) && name !== '__proto__'

/** @throws InputError saying what is wrong with them. */
export function checkGraph(options: Record<string, unknown>, source: string): GraphOptions {
  const bad = (what: string) => new InputError(`${source}: ${what}; import the ONNX file anew`)
  const { image, classes, layers, steps, gates = {}, single = false, ...rest } = options
  const [odd] = Object.keys(rest)
  if (odd !== undefined) throw bad(`a graph has no option ${quoted(odd, 60)}`)
  if (!isShape(image) || image.length !== 3 || image.some((n) => n > 4096)) {
    throw bad(`the images of its graph are ${shown(image, 60)}, expected [channels, height, width]`)
  }
  if (!isWhole(classes, 1, 2 ** 20)) throw bad(`its graph has ${shown(classes, 60)} classes, expected a whole number`)
  if (!isObject(layers) || !isObject(gates) || !Array.isArray(steps) || typeof single !== 'boolean') {
    throw bad('its graph has no layers, steps and gates, expected an object, a list and an object')
  }
  let parameters = 0
  for (const [name, tensors] of Object.entries(layers)) {
    const good = isName(name) && isObject(tensors)
      && Object.entries(tensors).every(([field, shape]) => isName(field) && isShape(shape))
    if (!good) throw bad(`layer ${quoted(name, 60)} of its graph is ${shown(tensors, 60)}, expected shapes by name`)
    for (const shape of Object.values(tensors)) parameters += sizeOf(shape as number[])
  }
  if (!(parameters <= MOST_PARAMETERS)) throw bad(`its graph has ${parameters} parameters, expected at most 2^30`)
  for (const [name, gate] of Object.entries(gates)) {
    const { axis, kind, branchLocal = false } = isObject(gate) ? gate : {}
    const good = isName(name) && [-1, -3].includes(axis as number)
      && ['filters', 'neurons', 'residual'].includes(kind as string)
      && typeof branchLocal === 'boolean'
    if (!good) throw bad(`gate ${quoted(name, 60)} of its graph is ${shown(gate, 60)}, expected an axis and a kind`)
  }
  if (steps.length < 1 || steps.length > MOST_STEPS) {
    throw bad(`its graph has ${steps.length} steps, expected 1 to ${MOST_STEPS}`)
  }
  steps.forEach((step: unknown, i) => {
    const wrong = wrongStep(step, i, layers, gates)
    if (wrong) throw bad(`step ${i} of its graph ${wrong}`)
  })
  return options as unknown as GraphOptions
}

function wrongStep(
  step: unknown,
  number: number,
  layers: Record<string, unknown>,
  gates: Record<string, unknown>,
): string | null {
  if (!isObject(step)) return `is ${shown(step, 60)}, expected an object`
  const { kind, from, layer, name, ...attributes } = step
  const known = typeof kind === 'string' && Object.hasOwn(stepKinds, kind) ? stepKinds[kind] : undefined
  if (!known) return `is a ${shown(kind, 60)}, expected one of ${Object.keys(stepKinds).length} kinds`
  const good = Array.isArray(from) && from.length <= 4096 && from.every((at) => isWhole(at, 0, number))
  if (!good || (known.args === 'any' ? from.length < 1 : from.length !== known.args)) {
    return `reads ${shown(from, 60)}, expected ${known.args} values that are made before it`
  }
  if (kind === 'gate' ? typeof name !== 'string' || !Object.hasOwn(gates, name) : name !== undefined) {
    return `names ${shown(name, 60)}, which is no gate`
  }
  const tensors = known.tensors ?? []
  const held = typeof layer === 'string' && Object.hasOwn(layers, layer)
    ? layers[layer] as Record<string, unknown>
    : undefined
  if (tensors.length ? !held : layer !== undefined) return `has the layer ${shown(layer, 60)}, which is none`
  const missing = tensors.find((tensor) => !tensor.endsWith('?') && !Object.hasOwn(held!, tensor))
  if (missing !== undefined) return `lacks the tensor ${quoted(missing)} of its layer`
  const wanted: readonly string[] = known.attributes ?? []
  const strange = Object.keys(attributes).find((key) => !wanted.includes(key))
  if (strange !== undefined) return `has an attribute ${quoted(strange, 60)}, expected ${wanted.join(', ') || 'none'}`
  const unfit = wanted.find((key) => !isAttribute(attributes[key]))
  return unfit === undefined ? null : `has ${quoted(unfit)} ${shown(attributes[unfit], 60)}, expected numbers`
}

/** Numbers, lists of them, axes by name, flags. */
const isAttribute = (value: unknown): boolean =>
  typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))
  || (Array.isArray(value) && value.length <= 8
    && value.every((n) => isWhole(n, -MOST, MOST) || (typeof n === 'string' && /^x[0-7]$/.test(n))))
