// Names of types to types, struct layout, and the rules for what may stand in which address space.
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import { structBytes, typeNesting } from './limits.ts'
import type { Expr, NameExpr, StructDecl, VarDecl } from './tree.ts'
import { alignOf, array, atomic, bool, f16, f32, hasAtomic, i32, isConstructible, mat, pointer, roundUp, scalars,
  sizeOf, strideOf, typeName, u32, vec } from './types.ts'
import type { Scalar, Space, Struct, Type } from './types.ts'
import { checkExpr, constInteger, toValue } from './check-expr.ts'
import type { Context } from './check.ts'
import { resolveGlobal } from './check.ts'

const suffixes: Record<string, Scalar> = { f: f32, i: i32, u: u32, h: f16 }
const spaces = ['function', 'private', 'workgroup', 'uniform', 'storage']
const elsewhere = /^(texture_|sampler|binding_array)/

/** The predeclared type of a name without template arguments, or null. */
function plainType(context: Context, name: string, span: Span): Type | null {
  const short = /^vec([234])([fiuh])$/.exec(name), matrix = /^mat([234])x([234])([fh])$/.exec(name)
  const type = scalars[name]
    ?? (short
      ? vec(Number(short[1]), suffixes[short[2]])
      : matrix
      ? mat(Number(matrix[1]), Number(matrix[2]), suffixes[matrix[3]])
      : null)
  if ((type === f16 || name.endsWith('h') && type) && !context.program.enables.has('f16')) {
    throw failAt(span, `'${name}' needs 'enable f16;' at the top of the shader`)
  }
  return type
}

/** The type a callee or type name stands for; null if the name is no type. Throws if it is one but misused. */
export function namedType(context: Context, name: string, template: Expr[] | null, span: Span): Type | null {
  const decl = context.lookup(name)
  if (decl) {
    if (decl.kind !== 'struct' && decl.kind !== 'alias') return null
    if (template) throw failAt(span, `'${name}' takes no template arguments`)
    resolveGlobal(context, decl)
    return decl.type!
  }
  if (elsewhere.test(name)) {
    throw failAt(span, `${name}: textures and samplers are not supported on the embedded device`)
  }
  if (!template) return plainType(context, name, span)
  const generic = /^vec([234])$/.exec(name), matrix = /^mat([234])x([234])$/.exec(name)
  const want = (count: number) => {
    if (template.length !== count) {
      throw failAt(span, `${name} takes ${count} template argument${count === 1 ? '' : 's'}, got ${template.length}`)
    }
  }
  const scalarArg = (): Scalar => {
    want(1)
    const type = resolveType(context, template[0])
    if (type.kind !== 'scalar') throw failAt(template[0], `${name} needs a scalar type, got ${typeName(type)}`)
    return type
  }
  if (generic) return vec(Number(generic[1]), scalarArg())
  if (matrix) {
    const of = scalarArg()
    if (of !== f32 && of !== f16) throw failAt(template[0], `matrices hold f32 or f16, not ${typeName(of)}`)
    return mat(Number(matrix[1]), Number(matrix[2]), of)
  }
  if (name === 'atomic') {
    const of = scalarArg()
    if (of !== i32 && of !== u32) throw failAt(template[0], `atomic holds i32 or u32, not ${typeName(of)}`)
    return atomic(of)
  }
  if (name === 'array') return arrayType(context, template, span)
  if (name === 'ptr') return pointerType(context, template, span)
  if (plainType(context, name, span)) throw failAt(span, `'${name}' takes no template arguments`)
  return null
}

function arrayType(context: Context, template: Expr[], span: Span): Type {
  if (template.length < 1 || template.length > 2) throw failAt(span, 'array takes an element type and a length')
  const of = resolveType(context, template[0])
  if (of.kind === 'array' && of.count === null) {
    throw failAt(template[0], 'an array of runtime-sized arrays cannot be laid out')
  }
  if (
    of.kind === 'struct' && of.members.at(-1)!.type.kind === 'array'
    && (of.members.at(-1)!.type as { count: unknown }).count === null
  ) {
    throw failAt(template[0], `${of.name} ends in a runtime-sized array and cannot be an array element`)
  }
  if (!isConstructible(of) && !hasAtomic(of)) throw failAt(template[0], `${typeName(of)} cannot be an array element`)
  if (template.length === 1) return array(of, null)
  const length = template[1]
  checkExpr(context, length)
  if (length.stage === 'override') {
    toValue(length)
    if (length.type !== i32 && length.type !== u32) {
      throw failAt(length, `an array length is an integer, not ${typeName(length.type)}`)
    }
    const text = length.kind === 'name' ? length.name : 'an override expression'
    return array(of, { text, expr: length.kind === 'name' && length.decl ? length.decl : length })
  }
  const count = constInteger(context, length, 'an array length')
  if (count < 1) throw failAt(length, `array length ${count}: must be at least 1`)
  if (count > 2 ** 28) throw failAt(length, `array length ${count} is too large`)
  return array(of, count)
}

function pointerType(context: Context, template: Expr[], span: Span): Type {
  if (template.length < 2 || template.length > 3) {
    throw failAt(span, 'ptr takes an address space, a type and for storage an access mode')
  }
  const [space, to, mode] = template
  if (space.kind !== 'name' || !spaces.includes(space.name)) {
    throw failAt(space, `ptr needs an address space: ${spaces.join(', ')}`)
  }
  const name = space.name as Space
  const access = mode ? (mode as NameExpr).name : name === 'storage' || name === 'uniform' ? 'read' : 'read_write'
  if (access !== 'read' && access !== 'write' && access !== 'read_write') {
    throw failAt(mode, 'the access mode is read or read_write')
  }
  if (mode && name !== 'storage') throw failAt(mode, 'only storage pointers take an access mode')
  return pointer(name, resolveType(context, to), access)
}

/** The type an expression in type position means. Throws WgslError. */
export function resolveType(context: Context, expr: Expr): Type {
  if (expr.kind !== 'name') throw failAt(expr, 'expected a type')
  const type = namedType(context, expr.name, expr.template, expr)
  if (!type) {
    if (context.lookup(expr.name)) throw failAt(expr, `'${expr.name}' is not a type`)
    throw failAt(
      expr,
      /^(vec[234]|mat[234]x[234]|array|atomic|ptr)$/.test(expr.name)
        ? `'${expr.name}' needs template arguments, such as ${expr.name}<f32>`
        : `unknown type '${expr.name}'`,
    )
  }
  return type
}

/** Lays out a struct: offsets, size and alignment as WGSL prescribes, with @align and @size. */
export function layoutStruct(context: Context, decl: StructDecl): Struct {
  const struct: Struct = { kind: 'struct', name: decl.name, members: [], size: 0, align: 1, arrays: new Map() }
  if (decl.members.length === 0) throw failAt(decl, `struct ${decl.name} has no members: a struct needs at least one`)
  let offset = 0
  for (const [i, member] of decl.members.entries()) {
    if (struct.members.some((m) => m.name === member.name)) {
      throw failAt(member, `struct ${decl.name} already has a member '${member.name}'`)
    }
    const type = resolveType(context, member.typeExpr)
    const runtime = type.kind === 'array' && type.count === null
    if (runtime && i !== decl.members.length - 1) {
      throw failAt(member, `'${member.name}' is runtime-sized: only the last member may be`)
    }
    if (type.kind === 'array' && typeof type.count === 'object' && type.count) {
      throw failAt(member, 'an array sized by an override cannot be a struct member')
    }
    if (type.kind === 'pointer' || (!runtime && !isConstructible(type) && !hasAtomic(type))) {
      throw failAt(member, `${typeName(type)} cannot be a struct member`)
    }
    let align = alignOf(type), size = sizeOf(type)
    for (const attribute of member.attributes) {
      if (attribute.name === 'align' || attribute.name === 'size') {
        const value = attribute.args[0] && constInteger(context, attribute.args[0], `@${attribute.name}`)
        if (attribute.name === 'align') {
          if (!value || value < align || value & (value - 1)) {
            throw failAt(attribute, `@align(${value}) must be a power of two of at least ${align}`)
          }
          align = value
        } else {
          if (!value || value < size) {
            throw failAt(attribute, `@size(${value}) is less than the ${size} bytes of '${member.name}'`)
          }
          size = value
        }
      } else if (attribute.name !== 'builtin') {
        throw failAt(attribute, `@${attribute.name} on a member is not supported on the embedded device`)
      }
    }
    offset = roundUp(offset, align)
    struct.members.push({ name: member.name, type, offset, size, align })
    struct.align = Math.max(struct.align, align)
    offset += size
  }
  struct.size = roundUp(offset, struct.align)
  if (struct.size > structBytes) {
    throw failAt(decl, `struct ${decl.name} has ${struct.size} bytes, more than ${structBytes}`)
  }
  const depth = 1 + Math.max(...struct.members.map((member) => nesting(member.type)))
  if (depth > typeNesting) {
    throw failAt(decl, `struct ${decl.name} is nested ${depth} deep: ${typeNesting} is the limit of WGSL`)
  }
  depths.set(struct, depth)
  return struct
}
const depths = new WeakMap<Struct, number>()
const nesting = (type: Type): number =>
  type.kind === 'array' ? 1 + nesting(type.of) : type.kind === 'struct' ? depths.get(type) ?? 0 : 0

/** Refuses types that cannot live in an address space, and uniform layouts that WGSL forbids. */
export function checkStorable(decl: VarDecl, type: Type, span: Span) {
  const inside = (test: (t: Type) => boolean, t: Type = type, seen = new Set<Type>()): boolean => {
    if (seen.has(t)) return false // walked through already, and nothing found
    seen.add(t)
    return test(t) || (t.kind === 'array' && inside(test, t.of, seen))
      || (t.kind === 'struct' && t.members.some((m) => inside(test, m.type, seen)))
  }
  const { space, name } = decl
  if (type.kind === 'pointer') throw failAt(span, `'${name}': pointers live in 'let' and parameters only`)
  if (space === 'uniform' || space === 'storage') {
    if (inside((t) => t === bool || (t.kind === 'vec' && t.of === bool))) {
      throw failAt(span, `'${name}': bool cannot be shared with the host, use u32`)
    }
    if (space === 'uniform' && hasAtomic(type)) {
      throw failAt(span, `'${name}': atomics need storage or workgroup memory`)
    }
    if (space === 'storage' && decl.access === 'read' && hasAtomic(type)) {
      throw failAt(span, `'${name}': atomics need access read_write`)
    }
    if (space === 'uniform') {
      if (inside((t) => t.kind === 'array' && t.count === null)) {
        throw failAt(span, `'${name}': a runtime-sized array needs storage, not uniform`)
      }
      checkUniformLayout(type, name, span)
    }
  } else {
    if (inside((t) => t.kind === 'array' && t.count === null)) {
      throw failAt(span, `'${name}': a runtime-sized array lives in storage only`)
    }
    if (space !== 'workgroup' && hasAtomic(type)) {
      throw failAt(span, `'${name}': atomics need storage or workgroup memory`)
    }
    if (space !== 'workgroup' && inside((t) => t.kind === 'array' && typeof t.count === 'object')) {
      throw failAt(span, `'${name}': only workgroup arrays may be sized by an override`)
    }
  }
}

function checkUniformLayout(type: Type, name: string, span: Span) {
  if (type.kind === 'array') {
    if (strideOf(type) % 16) {
      throw failAt(
        span,
        `'${name}': elements of a uniform array are ${
          strideOf(type)
        } bytes apart, WGSL wants a multiple of 16: use vec4`,
      )
    }
    checkUniformLayout(type.of, name, span)
  } else if (type.kind === 'struct') {
    for (const [i, member] of type.members.entries()) {
      const nested = member.type.kind === 'struct' || member.type.kind === 'array'
      if (nested && member.offset % 16) {
        throw failAt(
          span,
          `'${name}': member '${member.name}' at offset ${member.offset} must be at a multiple of 16 in uniform`,
        )
      }
      const next = type.members[i + 1]
      if (member.type.kind === 'struct' && next && next.offset - member.offset < roundUp(sizeOf(member.type), 16)) {
        throw failAt(
          span,
          `'${name}': member '${next.name}' is too close to '${member.name}' for uniform: add @align(16)`,
        )
      }
      checkUniformLayout(member.type, name, span)
    }
  }
}
