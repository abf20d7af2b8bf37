// An ONNX file as a checkpoint: one that we wrote holds its network under our own names; of any other the graph itself
// becomes the network.
import { EspalierError, InputError } from '../../base/errors.ts'
import { plain, quoted } from '../../base/quote.ts'
import type { OnnxSize } from '../../core/onnx-form.ts'
import { tensor, withoutDevice } from '../../core/tensor.ts'
import type { StartCheck } from '../../files/files.ts'
import type { SafetensorsFile, StoredTensor } from '../../files/safetensors.ts'
import { type DecodedNode, type DecodedOnnx, openOnnx } from '../../onnx/decode.ts'
import { fingerprint } from '../../onnx/fingerprint.ts'
import { GRAPH_KEY } from '../../onnx/network.ts'
import type { DecodedTensor } from '../../onnx/tensors.ts'
import { graphType } from '../../../models/graph.ts'
import { type Constant, folded, folds } from './fold.ts'
import { withGates } from './gates.ts'
import { operators } from './operators.ts'
import { recognised } from './patterns.ts'
import { Translator, type Value } from './translator.ts'

/** A file's content as `parseSafetensors` gives it, what to say of it, and the files beside it that are part of it. */
export interface OnnxCheckpoint extends SafetensorsFile {
  notes: string[]
  parts: ReadonlyMap<string, Uint8Array>
}

/** How a file is read. */
export interface OnnxReading {
  /** By its nodes alone, even where we wrote it. */
  nodes?: boolean
  /** Reads what lies beside it: a name in its folder or below it. */
  part?: (name: string, check: StartCheck) => Promise<Uint8Array>
}

/** More bytes than all files of a network have. */
const MOST_BYTES = 4 * 2 ** 30

/** Reads a file. @throws InputError that names it, one sentence, for a damaged one and for an operator we lack. */
export async function readOnnx(
  bytes: Uint8Array,
  name: string,
  { nodes = false, part }: OnnxReading = {},
): Promise<OnnxCheckpoint> {
  try {
    const opened = openOnnx(bytes), parts = await partsOf(opened.files, part)
    const graph = opened.decode(parts), own = nodes ? null : await ownCheckpoint(graph)
    return { ...own ?? foreignCheckpoint(graph), parts }
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    throw new InputError(`${plain(name)}: ${error.message}`, { cause: error })
  }
}

/** The files beside it; none where nobody can read them. @throws InputError */
async function partsOf(names: readonly string[], read: OnnxReading['part']): Promise<Map<string, Uint8Array>> {
  const parts = new Map<string, Uint8Array>()
  let left = MOST_BYTES
  const spend = (size: number) => {
    if (size > left) throw new InputError(`expected at most ${MOST_BYTES} bytes in all; cut the network first`)
  }
  for (const each of read ? names : []) {
    try {
      const content = await read!(each, (_, size) => {
        spend(size)
      })
      spend(content.length)
      left -= content.length
      parts.set(each, content)
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      throw new InputError(`its weights lie in ${quoted(each, 80)} beside it: ${error.message}`, { cause: error })
    }
  }
  return parts
}

/** The content of a file that we wrote, if its graph is as it was. */
async function ownCheckpoint(
  { nodes, tensors, inputs, outputs, metadata }: DecodedOnnx,
): Promise<Omit<OnnxCheckpoint, 'parts'> | null> {
  const { [GRAPH_KEY]: told, ...others } = metadata
  if (told === undefined || others.espalier === undefined || outputs.length !== 1) return null
  const found = await fingerprint({ nodes, tensors, inputs, output: outputs[0] })
  if (found !== told) return null
  const own = tensors.filter((each) => !each.name.startsWith('/') && each.values instanceof Float32Array)
  return { metadata: others, tensors: new Map(own.map((each) => [each.name, stored(each)])), notes: [] }
}

const stored = ({ shape, values, data }: DecodedTensor): StoredTensor => ({
  type: data instanceof Uint16Array ? 'F16' : 'F32',
  shape: [...shape],
  data: values as Float32Array,
})

/** The graph of any file as a network of steps. */
function foreignCheckpoint(graph: DecodedOnnx): Omit<OnnxCheckpoint, 'parts'> {
  const notes: string[] = [], { image, batches } = imageOf(graph, notes)
  const nodes = recognised(graph), stored = graph.tensors.reduce((sum, { values }) => sum + values.length, 0)
  const t = new Translator(batches, readersOf(nodes, graph), stored)
  const logits = translated(graph, nodes, t, image), { shape } = logits.pair[0]
  if (shape.length !== 2 || shape[0] !== batches[0]) {
    throw new InputError(
      `its output ${quoted(graph.outputs[0].name)} is [${shape}] for ${
        batches[0]
      } images, expected logits, [batch, classes]`,
    )
  }
  if (graph.outputs.length > 1) {
    notes.push(`of its ${graph.outputs.length} outputs the first, ${quoted(graph.outputs[0].name)}, is taken`)
  }
  if (logits.at !== t.steps.length) t.steps.length = logits.at
  const { steps, gates } = withGates(t.steps), single = batches[0] === 1
  if (single) notes.push('it takes one image at a time, so images are run one by one; export it with a dynamic batch')
  const used = new Set(steps.map(({ layer }) => layer))
  const layers = Object.entries(t.layers).filter(([name]) => used.has(name))
  const architecture = {
    type: graphType,
    image,
    classes: shape[1],
    layers: Object.fromEntries(layers.map(([name, tensors]) => [
      name,
      Object.fromEntries(Object.entries(tensors).map(([field, { shape }]) => [field, shape])),
    ])),
    steps,
    gates,
    ...single && { single },
  }
  const about = { format: 1, naming: 'espalier', architecture }
  return {
    metadata: { espalier: JSON.stringify(about) },
    tensors: new Map(
      layers.flatMap(([name, tensors]) =>
        Object.entries(tensors).map((
          [field, { shape, data }],
        ): [string, StoredTensor] => [`layers.${name}.${field}`, { type: 'F32', shape: [...shape], data }])
      ),
    ),
    notes,
  }
}

/** [channels, height, width] of its images, and the two batch sizes it is read for: one image where it takes one. */
function imageOf({ inputs }: DecodedOnnx, notes: string[]): { image: number[], batches: readonly [number, number] } {
  const [input] = inputs
  if (inputs.length !== 1 || input.shape.length !== 4) {
    const found = inputs.map(({ name, shape }) => `${quoted(name)} with ${shape.length} axes`).join(', ') || 'none'
    throw new InputError(`its inputs are ${found}, expected one of images, [batch, channels, height, width]`)
  }
  const [batch, ...rest] = input.shape, known = (size: OnnxSize) => typeof size === 'number'
  if (known(batch) && batch !== 1) {
    throw new InputError(
      `it takes ${String(batch)} images at once, expected any number or one; export it with a dynamic batch`,
    )
  }
  if (!known(rest[0])) {
    throw new InputError('the channels of its images are open, expected a number; export it with 3 channels')
  }
  const image = rest.map((size) => known(size) ? size as number : 224)
  if (!rest.every(known)) notes.push(`the size of its images is open, taken as ${image[1]} x ${image[2]}`)
  if (image.some((n) => n > 4096)) throw new InputError(`its images are [${image}], expected at most 4096 a side`)
  return { image, batches: known(batch) ? [1, 1] : [2, 3] }
}

/** How many nodes read each value; the output is read outside. */
function readersOf(nodes: readonly DecodedNode[], { outputs }: DecodedOnnx): Map<string, number> {
  const readers = new Map<string, number>()
  for (const name of [...nodes.flatMap(({ inputs }) => inputs), outputs[0]?.name ?? '']) {
    readers.set(name, (readers.get(name) ?? 0) + 1)
  }
  return readers
}

/** Reads every node in turn. */
function translated(graph: DecodedOnnx, nodes: readonly DecodedNode[], t: Translator, image: readonly number[]) {
  const values = new Map<string, Value>(),
    images = t.batches.map((n) =>
      withoutDevice(() => tensor(new Float32Array(n * image.reduce((a, b) => a * b)), [n, ...image]))
    )
  values.set(graph.inputs[0].name, { kind: 'made', at: 0, pair: [images[0], images[1]] })
  for (const each of graph.tensors) values.set(each.name, fixed(each))
  for (const node of nodes) {
    t.node = node
    const results = resultsOf(node, node.inputs.map((name) => name === '' ? null : values.get(name)!), t, graph.opset)
    node.outputs.forEach((name, i) => {
      if (name !== '' && i < results.length) values.set(name, results[i])
    })
  }
  const logits = values.get(graph.outputs[0]?.name ?? '')
  if (logits?.kind === 'made' && logits.at > 0) return logits
  throw new InputError('its output does not depend on its images, expected a network')
}

const fixed = ({ name, shape, values }: DecodedTensor): Value => {
  const constant: Constant = { shape, values, float: values instanceof Float32Array }
  return { kind: 'known', pair: [constant, constant], origin: name }
}

/** Operators that leave a weight what it was: it keeps its name. */
const sameWeight = new Set(['Identity', 'Cast', 'Transpose', 'Reshape', 'Squeeze', 'Unsqueeze'])

/** What a node gives: computed now where all it reads is known, else steps. */
function resultsOf(node: DecodedNode, args: (Value | null)[], t: Translator, opset: number): Value[] {
  const { type, inputs, outputs, attributes = {} } = node
  try {
    if (type === 'Constant') return [constantOf(node)]
    if (
      Object.hasOwn(folds, type) && (type === 'Shape' || type === 'Size' || args.every((arg) => arg?.kind !== 'made'))
    ) {
      const extra = type === 'ConstantOfShape' ? filling(node) : { outputs: outputs.length }
      const results = (i: 0 | 1) =>
        [folded(type, args.map((arg) => arg && constantIn(arg, i)), { ...attributes, ...extra })].flat()
      const first = results(0)
      // Most constants are the same for every batch, and some are large.
      const isSame = args.every((arg) => !arg || arg.pair[0] === arg.pair[1]),
        pair = [first, isSame ? first : results(1)]
      // A product takes many steps for each number that comes of it; 64 count as a number.
      const steps = type === 'MatMul' ? 1 + (constantIn(args[0]!, 0).shape.at(-1) ?? 0) / 64 : 1
      t.spend(steps * pair.flat().reduce((sum, { values }) => sum + values.length, 0))
      const [x] = args, origin = sameWeight.has(type) && x?.kind === 'known' ? x.origin : undefined
      return pair[0].map((first, i) => ({ kind: 'known', pair: [first, pair[1][i]], origin }))
    }
    if (!Object.hasOwn(operators, type)) {
      throw new InputError(
        `this operator is not read; expected one of ${
          Object.keys(operators).length
        } that networks for images are made of, see docs/onnx.md`,
      )
    }
    const names = inputs.map((name, i) => {
      const arg = args[i]
      return arg?.kind === 'known' ? arg.origin ?? name : name
    })
    return [operators[type]({ t, args, names, attributes, opset, outputs: outputs.length })].flat()
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    throw new InputError(`node ${quoted(node.name || outputs[0], 80)} (${quoted(type, 40)}): ${error.message}`, {
      cause: error,
    })
  }
}

const constantIn = (value: Value, i: 0 | 1): Constant =>
  value.kind === 'known' ? value.pair[i] : { shape: value.pair[i].shape, values: [], float: true }

function constantOf({ tensors, attributes = {} }: DecodedNode): Value {
  const value = tensors.get('value')
  if (value) return fixed(value)
  for (const [key, float] of [['value_float', true], ['value_int', false], ['value_ints', false]] as const) {
    const given: unknown = attributes[key]
    if (given === undefined) continue
    const plainly = typeof given === 'object' && given !== null && 'float' in given
      ? given.float as number
      : given as number | number[]
    const constant: Constant = {
      shape: Array.isArray(plainly) ? [plainly.length] : [],
      values: [plainly].flat(),
      float,
    }
    return { kind: 'known', pair: [constant, constant] }
  }
  throw new InputError('it has no value that is read, expected a tensor or a number')
}

function filling({ tensors }: DecodedNode) {
  const value = tensors.get('value')
  return { filled: { float: value?.values[0] ?? 0 }, isFloat: value && !(value.values instanceof Float32Array) ? 0 : 1 }
}
