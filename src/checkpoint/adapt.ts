// Published tensors that compute the same network once they are renamed or folded: wrappers' prefixes, old names,
// LayerScale, absent biases, class tokens without a position. Each change is said.
import type { HostTensor } from './weights.ts'

/** Tensors as the loader wants them, and what was done to them, a sentence each. */
export interface Adapted {
  weights: Map<string, HostTensor>
  notes: string[]
}

const ATTENTION = /(attn\.qkv|attention\.(attention|self)\.(query|key|value))\.weight$/
const WRAPPER = /^[A-Za-z_]\w*$/

/**
 * The prefix that all names share and without which the tensors are known: `module.` of DataParallel, `_orig_mod.` of
 * torch.compile, `model.` of a wrapper, or several of them. Empty where there is none.
 */
export function commonPrefix(names: readonly string[], isKnown: (names: readonly string[]) => boolean): string {
  let prefix = '', rest = names
  for (let depth = 0; depth < 6; depth++) {
    if (rest.length === 0) return ''
    if (isKnown(rest)) return prefix
    const first = `${rest[0].split('.')[0]}.`
    if (!WRAPPER.test(first.slice(0, -1)) || !rest.every((name) => name.startsWith(first))) return ''
    prefix += first
    rest = rest.map((name) => name.slice(first.length))
  }
  return ''
}

/** Renames and folds what has an exact equal in the networks known here. */
export function adapt(given: ReadonlyMap<string, HostTensor>): Adapted {
  const notes: string[] = [], weights = new Map(given)
  renameLinears(weights, notes)
  foldLayerScale(weights, notes)
  addAbsentBiases(weights, notes)
  addClassPosition(weights, notes)
  return { weights, notes }
}

// torchvision 0.12 named a block's two linear layers so; its own loader renames them.
function renameLinears(weights: Map<string, HostTensor>, notes: string[]) {
  let count = 0
  for (const [name, tensor] of [...weights]) {
    const found = /^(encoder\.layers\.encoder_layer_\d+\.mlp\.)linear_([12])(\.(?:weight|bias))$/.exec(name)
    if (!found) continue
    weights.delete(name)
    weights.set(`${found[1]}${found[2] === '1' ? 0 : 3}${found[3]}`, tensor)
    count++
  }
  if (count) notes.push('mlp.linear_1 and mlp.linear_2 are read as mlp.0 and mlp.3, as torchvision itself does')
}

// gain * (W x + b) is one linear layer (CaiT, DeiT III: Touvron et al. 2021, 2022).
function foldLayerScale(weights: Map<string, HostTensor>, notes: string[]) {
  let count = 0
  for (const [name, { data: gain }] of [...weights]) {
    const found = /^(blocks\.\d+\.)(?:ls([12])\.gamma|gamma_([12]))$/.exec(name)
    const layer = found && `${found[1]}${(found[2] ?? found[3]) === '1' ? 'attn.proj' : 'mlp.fc2'}`
    const weight = layer && weights.get(`${layer}.weight`), bias = layer && weights.get(`${layer}.bias`)
    if (!weight || !bias || weight.shape[0] !== gain.length || bias.data.length !== gain.length) continue
    const width = weight.data.length / gain.length
    weights.set(`${layer}.weight`, {
      shape: weight.shape,
      data: weight.data.map((value, i) => value * gain[Math.floor(i / width)]),
    })
    weights.set(`${layer}.bias`, { shape: bias.shape, data: bias.data.map((value, i) => value * gain[i]) })
    weights.delete(name)
    count++
  }
  if (count) notes.push(`${count} LayerScale gains are folded into the linear layers before them`)
}

// One bias missing among many is damage; none at all is qkv_bias false.
function addAbsentBiases(weights: Map<string, HostTensor>, notes: string[]) {
  let count = 0
  const names = [...weights.keys()]
  const layers = names.filter((name) => ATTENTION.test(name))
  if (layers.length < 2 || layers.some((name) => weights.has(name.replace(/weight$/, 'bias')))) return
  for (const [name, { shape }] of [...weights]) {
    if (!ATTENTION.test(name) || weights.has(name.replace(/[^.]+\.weight$/, 'q_bias'))) continue
    weights.set(name.replace(/weight$/, 'bias'), { shape: [shape[0]], data: new Float32Array(shape[0]) })
    count++
  }
  if (count) notes.push(`${count} query, key and value layers have no bias (qkv_bias false) and get one of zeros`)
}

// timm's no_embed_class: positions of patches only, so that of the class token is zero.
function addClassPosition(weights: Map<string, HostTensor>, notes: string[]) {
  const positions = weights.get('pos_embed'), isSquare = (count: number) => Number.isInteger(Math.sqrt(count))
  if (positions?.shape.length !== 3 || !weights.has('cls_token')) return
  const [, tokens, width] = positions.shape, extra = weights.has('dist_token') ? 2 : 1
  if (!isSquare(tokens) || isSquare(tokens - extra)) return
  const data = new Float32Array((tokens + extra) * width)
  data.set(positions.data, extra * width)
  weights.set('pos_embed', { shape: [1, tokens + extra, width], data })
  notes.push('the class token has no position (no_embed_class), so it gets one of zeros')
}

/** One logit as two, -z/2 and z/2: the same sigmoid and the same loss as a softmax over two classes. */
export function asTwoLogits({ shape, data }: HostTensor): HostTensor {
  const half = data.map((value) => value / 2), both = new Float32Array(2 * data.length)
  both.set(half.map((value) => -value))
  both.set(half, data.length)
  return { shape: [2 * shape[0], ...shape.slice(1)], data: both }
}
