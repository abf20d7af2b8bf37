// A model is a tree of tensors: objects and arrays whose leaves are tensors. A gradient has the model's shape.
import { ShapeError } from '../base/errors.ts'
import { Tensor } from './tensor.ts'
import { declarationsOf, type LeafTraits, standsAsTensor } from './traits.ts'

/** Anything a tree can hold. Numbers, strings, null and functions are carried along untouched. */
export type Tree = unknown

/** A tensor in a tree with its path, e.g. `blocks.3.attention.query`. */
export type Leaf = [path: string, tensor: Tensor]

/** A leaf with what the classes on the way to it say of it; see `LeafTraits`. */
export type DescribedLeaf = [path: string, tensor: Tensor, traits: LeafTraits]

/** One value in a tree: where it is, and what the classes on the way say of it. */
export interface TreeNode {
  path: string
  value: unknown
  traits: LeafTraits
}

const unsaid: LeafTraits = {}

/** Whether a value has fields to walk into. Tensors and typed arrays have none. */
export function isBranch(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Tensor) && !ArrayBuffer.isView(value)
}

/** What a branch holds, in field order: members of a set by their place, keys of a map as text. */
function childrenOf(branch: object): Iterable<readonly [name: string, child: unknown]> {
  if (branch instanceof Map) return [...branch].map(([key, child]) => [String(key), child])
  if (branch instanceof Set) return [...branch].map((child, i) => [String(i), child])
  return Object.entries(branch)
}

/**
 * Names the nodes of one walk. Where two would be called the same (fields `a.b` and `a: { b }`, a map's keys 1 and '1',
 * or keys that are objects), later ones get a number, `a.b#2`: by its path a tensor is trained, averaged and saved.
 */
function naming(): (parent: string, name: string) => string {
  const taken = new Set([''])
  return (parent, name) => {
    const wanted = parent ? `${parent}.${name}` : name
    let path = wanted
    for (let number = 2; taken.has(path); number++) path = `${wanted}#${number}`
    taken.add(path)
    return path
  }
}

/** Everything in a tree in field order, branches before what is below them: the one walk that all others are. */
export function nodes(tree: Tree): TreeNode[] {
  const found: TreeNode[] = [], pathOf = naming()
  const walk = (value: unknown, path: string, traits: LeafTraits) => {
    found.push({ path, value, traits })
    if (!isBranch(value)) return
    const own = declarationsOf(value), below = standsAsTensor(value) ? { ...traits, partOf: path } : traits
    for (const [name, child] of childrenOf(value)) {
      const said = own[name]
      walk(child, pathOf(path, name), said ? { ...below, ...said } : below)
    }
  }
  walk(tree, '', unsaid)
  return found
}

/** Every tensor of a tree with its path and traits, in field order. */
export function describedLeaves(tree: Tree): DescribedLeaf[] {
  const found: DescribedLeaf[] = []
  for (const { path, value, traits } of nodes(tree)) if (value instanceof Tensor) found.push([path, value, traits])
  return found
}

/** The path by which a layer's tensor is known: that of the weight, for a part of a packed one. */
export const nameOf = (path: string, { partOf = path }: LeafTraits): string => partOf

/** The names of all tensors, in field order; all parts of a packed weight have its path. */
export function namesOf(tree: Tree): Map<Tensor, string> {
  return new Map(describedLeaves(tree).map(([path, leaf, traits]) => [leaf, nameOf(path, traits)]))
}

/** Every tensor of a tree with its path, in field order. */
export function leaves(tree: Tree): Leaf[] {
  return describedLeaves(tree).map(([path, leaf]) => [path, leaf])
}

/**
 * The tensors that training changes, with their traits: all leaves but those whose class says otherwise (running
 * statistics). A tensor that stands at several paths (tied weights) is one parameter, under its first path.
 */
export function describedParameters(tree: Tree): DescribedLeaf[] {
  const seen = new Set<Tensor>()
  return describedLeaves(tree).filter(([, tensor, { trained }]) =>
    trained !== false && !seen.has(tensor) && seen.add(tensor)
  )
}

/** The tensors that training changes, each once; see `describedParameters`. */
export function parameters(tree: Tree): Leaf[] {
  return describedParameters(tree).map(([path, leaf]) => [path, leaf])
}

/**
 * A tree of the same structure with every tensor replaced. Classes keep their prototype, so the result has its methods.
 * `replace` may return null, which stands for "no tensor here". A tensor that stands at several paths (tied weights) is
 * replaced once and stays one; `untie` asks for each path anew.
 */
export function mapTree<T>(
  tree: T,
  replace: (tensor: Tensor, path: string) => Tensor | null,
  { untie = false }: { untie?: boolean } = {},
): T {
  const replaced = new Map<Tensor, Tensor | null>(), pathOf = naming()
  const one = (tensor: Tensor, path: string): Tensor | null => {
    if (!untie && replaced.has(tensor)) return replaced.get(tensor)!
    const made = replace(tensor, path)
    replaced.set(tensor, made)
    return made
  }
  const branch = (value: unknown, path: string): unknown => {
    if (value instanceof Tensor) return one(value, path)
    if (!isBranch(value)) return value
    const child = (name: string, value: unknown) => branch(value, pathOf(path, name))
    if (Array.isArray(value)) return value.map((each, i) => child(String(i), each))
    if (value instanceof Set) return new Set([...value].map((each, i) => child(String(i), each)))
    if (value instanceof Map) return new Map([...value].map(([key, each]) => [key, child(String(key), each)]))
    const copy = Object.create(Object.getPrototypeOf(value) as object) as Record<string, unknown>
    for (const [name, each] of Object.entries(value)) copy[name] = child(name, each)
    return copy
  }
  return branch(tree, '') as T
}

/** The leaf at a path. @throws ShapeError naming the nearest paths if there is none. */
export function take(tree: Tree, path: string): Tensor {
  const found = leaves(tree)
  const hit = found.find(([name]) => name === path)
  if (hit) return hit[1]
  const stem = path.split('.')[0]
  const near = found.map(([name]) => name).filter((name) => name.startsWith(stem)).slice(0, 8)
  throw new ShapeError(`take: no tensor at '${path}'; near it: ${near.join(', ') || 'none'}`)
}

/**
 * A copy of the tree with the leaf at `path` replaced, wherever else it stands (tied weights) too.
 * @throws ShapeError if there is no such leaf.
 */
export function put<T>(tree: T, path: string, tensor: Tensor): T {
  const old = take(tree, path)
  return mapTree(tree, (leaf) => leaf === old ? tensor : leaf)
}

/** Frees every tensor of a tree. */
export function disposeTree(tree: Tree): void {
  for (const [, tensor] of leaves(tree)) tensor.dispose()
}
