// What a kernel's text says about itself: bindings, parameter offsets, overrides. Read once per kernel, with the parser
// of the embedded device: only the tree is wanted here; types are checked by whoever compiles the kernel.
import { WgslError } from '../cpu/abi.ts'
import { parseTree } from '../cpu/compiler/parse.ts'
import { type Expr, type FunctionDecl, inside, type Program, type Stmt, type StructDecl,
  type VarDecl } from '../cpu/compiler/tree.ts'
import { KernelError } from '../base/errors.ts'

/** One storage binding of an entry point. */
export interface StorageSlot {
  name: string
  binding: number
  write: boolean
}

/** One field of the uniform struct: byte offset and scalar type. */
export interface ParamField {
  name: string
  offset: number
  type: 'f32' | 'i32' | 'u32'
}

/** Bindings, parameters and overrides of one entry point. `uniform` is null where the kernel has no parameters. */
export interface Reflection {
  storage: StorageSlot[]
  uniform: { binding: number, size: number, fields: ParamField[] } | null
  overrides: string[]
}

/**
 * Reflects one entry point of a WGSL text; `quote` gives a line of it for messages.
 * @throws KernelError if the text does not parse, has no such entry point, or uses a parameter type other than f32,
 * i32, u32.
 */
export function reflect(
  file: string,
  source: string,
  entry: string,
  quote: (line: number) => string,
): Reflection {
  const { decls } = parsed(file, source, quote)
  const functions = new Map(decls.filter((decl) => decl.kind === 'function').map((decl) => [decl.name, decl]))
  const points = [...functions.values()].filter((fn) => fn.attributes.some(({ name }) => name === 'compute'))
  const point = points.find(({ name }) => name === entry)
  if (!point) {
    throw new KernelError(
      `${file}: no compute entry point '${entry}'; the file has: ${
        points.map(({ name }) => name).join(', ') || 'none'
      }`,
    )
  }
  const variables = decls.filter((decl): decl is VarDecl => 'spaceNames' in decl)
  const resources = new Map(
    variables.filter(({ attributes }) => attributes.some(({ name }) => name === 'binding')).map((
      decl,
    ) => [decl.name, decl]),
  )
  const used = [...usedBy(point, functions, resources)]
  const storage = used.filter(({ spaceNames }) => spaceNames[0] === 'storage')
    .map((decl) => ({ name: decl.name, binding: bindingOf(file, decl), write: decl.spaceNames[1] === 'read_write' }))
    .sort((a, b) => a.binding - b.binding)
  const uniforms = used.filter(({ spaceNames }) => spaceNames[0] === 'uniform')
  if (uniforms.length > 1) throw new KernelError(`${file}: expected one uniform struct, found ${uniforms.length}`)
  const fields = uniforms.length ? fieldsOf(file, uniforms[0], decls.filter((decl) => decl.kind === 'struct')) : []
  return {
    storage,
    uniform: uniforms.length
      ? { binding: bindingOf(file, uniforms[0]), size: Math.ceil(fields.length / 4) * 16, fields }
      : null,
    overrides: variables.filter(({ kind }) => kind === 'override').map(({ name }) => name),
  }
}

function parsed(file: string, source: string, quote: (line: number) => string): Program {
  try {
    return parseTree(source)
  } catch (error) {
    if (!(error instanceof WgslError)) throw error
    const { message, line } = error
    throw new KernelError(`${file}: the text does not parse as WGSL: ${message}\n  ${quote(line)}`, { cause: error })
  }
}

function bindingOf(file: string, { name, attributes }: VarDecl): number {
  const number = attributes.find((attribute) => attribute.name === 'binding')!.args[0]
  if (number?.kind !== 'number') throw new KernelError(`${file}: the binding of '${name}' must be a plain number`)
  return Number(number.text)
}

/** Scalars of four bytes lie one behind the other. */
function fieldsOf(file: string, { name, typeExpr }: VarDecl, structs: readonly StructDecl[]): ParamField[] {
  const struct = typeExpr?.kind === 'name' && structs.find((decl) => decl.name === typeExpr.name)
  if (!struct) throw new KernelError(`${file}: parameters are a struct, and '${name}' is none`)
  return struct.members.map((member, i) => {
    const type = member.typeExpr.kind === 'name' ? member.typeExpr.name : ''
    if (type !== 'f32' && type !== 'i32' && type !== 'u32') {
      throw new KernelError(
        `${file}: parameter '${member.name}' is ${type || 'of another type'}; a launcher can set f32, i32 and u32`,
      )
    }
    return { name: member.name, offset: 4 * i, type }
  })
}

/**
 * The resources that a function names, itself or through what it calls. Names declared inside it hide them, from there
 * on in their block.
 */
function usedBy(
  entry: FunctionDecl,
  functions: ReadonlyMap<string, FunctionDecl>,
  resources: ReadonlyMap<string, VarDecl>,
): Set<VarDecl> {
  const used = new Set<VarDecl>(), seen = new Set<FunctionDecl>()
  const enter = (fn: FunctionDecl) => {
    if (seen.has(fn)) return
    seen.add(fn)
    visit(fn.body, new Set(fn.params.map(({ name }) => name)))
  }
  const visit = (node: Stmt | Expr, hidden: Set<string>) => {
    if (node.kind === 'name') {
      const resource = resources.get(node.name)
      if (resource && !hidden.has(node.name)) used.add(resource)
    }
    if ('callee' in node) {
      const callee = functions.get(node.callee)
      if (callee) enter(callee)
    }
    // A loop's continuing block sees the variables of its body, so the body shares the loop's own scope.
    const scope = node.kind === 'block' || node.kind === 'for' || node.kind === 'loop' ? new Set(hidden) : hidden
    const parts = node.kind === 'loop' ? [...node.body.body, node.continuing, node.breakIf] : inside(node)
    for (const part of parts) if (part) visit(part, scope)
    if (node.kind === 'decl') hidden.add(node.decl.name)
  }
  enter(entry)
  return used
}
