// The checker: resolves module-scope declarations in any order, types them, and refuses what WGSL forbids.
import { WgslError } from '../abi.ts'
import { aliasErrors } from './check-alias.ts'
import { checkValue, constInteger, convertTo, refuseHuge } from './check-expr.ts'
import { checkFunctionBody } from './check-stmt.ts'
import { checkStorable, layoutStruct, resolveType } from './check-types.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import type { Attribute, Decl, FunctionDecl, Program, VarDecl } from './tree.ts'
import { bool, concrete, isConstructible, isInteger, typeName, u32, vec, voidType } from './types.ts'
import type { Type } from './types.ts'

/** What checking carries along: the program, the function at hand and the names in sight. */
export interface Context {
  program: Program
  fn: FunctionDecl | null
  scopes: Map<string, Decl>[]
  resolving: Set<Decl>
  done: Set<Decl>
  lookup(name: string): Decl | undefined
}

/** Types of the builtin inputs of compute entry points. */
export const builtinInputs: Record<string, Type> = {
  local_invocation_id: vec(3, u32),
  local_invocation_index: u32,
  global_invocation_id: vec(3, u32),
  workgroup_id: vec(3, u32),
  num_workgroups: vec(3, u32),
}

/** Checks a whole program and returns every error found, at most one for each declaration. */
export function check(program: Program): WgslError[] {
  const errors: WgslError[] = []
  const attempt = (action: () => void) => {
    try {
      action()
    } catch (error) {
      if (!(error instanceof WgslError)) throw error
      if (!errors.some((e) => e.line === error.line && e.message === error.message)) errors.push(error)
    }
  }
  const context: Context = {
    program,
    fn: null,
    scopes: [],
    resolving: new Set(),
    done: new Set(),
    lookup(name) {
      for (let i = this.scopes.length - 1; i >= 0; i--) {
        const found = this.scopes[i].get(name)
        if (found) return found
      }
      return program.scope.get(name)
    },
  }
  for (const decl of program.decls) {
    attempt(() => {
      if (program.scope.has(decl.name)) throw failAt(decl, `'${decl.name}' is declared twice`)
      program.scope.set(decl.name, decl)
    })
  }
  for (const decl of program.decls) attempt(() => resolveGlobal(context, decl))
  if (errors.length === 0) {
    for (const decl of program.decls) if (decl.kind === 'function') attempt(() => checkFunctionBody(context, decl))
    for (const assertion of program.asserts) attempt(() => checkAssert(context, assertion.condition, assertion))
  }
  if (errors.length === 0) {
    const finished = new Set<FunctionDecl>()
    for (const decl of program.decls) {
      if (decl.kind === 'function') attempt(() => refuseRecursion(decl, new Set(), finished))
    }
    attempt(() => checkIds(program))
  }
  if (errors.length === 0) {
    errors.push(...aliasErrors(program.decls.filter((decl): decl is FunctionDecl => decl.kind === 'function')))
  }
  return errors
}

/** const_assert: the condition must be a constant and true. */
export function checkAssert(context: Context, condition: Parameters<typeof checkValue>[1], span: Span) {
  checkValue(context, condition)
  if (condition.type !== bool || !condition.value) throw failAt(condition, 'const_assert needs a constant bool')
  if (!condition.value.scalar) throw failAt(span, 'const_assert failed')
}

/** Gives a module-scope declaration its type; follows what it depends on first. */
export function resolveGlobal(context: Context, decl: Decl): void {
  if (context.done.has(decl)) return
  if (context.resolving.has(decl)) throw failAt(decl, `'${decl.name}' depends on itself`)
  context.resolving.add(decl)
  const outer = { fn: context.fn, scopes: context.scopes }
  context.fn = null
  context.scopes = []
  try {
    if (decl.kind === 'struct') decl.type = layoutStruct(context, decl)
    else if (decl.kind === 'alias') decl.type = resolveType(context, decl.typeExpr)
    else if (decl.kind === 'function') checkSignature(context, decl)
    else checkGlobalVar(context, decl)
    context.done.add(decl)
  } finally {
    context.resolving.delete(decl)
    context.fn = outer.fn
    context.scopes = outer.scopes
  }
}

/** Type, value and stage of a declaration with an initializer; the same for locals and globals. */
export function checkInitializer(context: Context, decl: VarDecl) {
  const named = decl.typeExpr ? resolveType(context, decl.typeExpr) : null
  if (decl.init) {
    checkValue(context, decl.init)
    const type = named ?? (decl.kind === 'const' ? decl.init.type : concrete(decl.init.type))
    if (named?.kind === 'atomic' || (named && named.kind !== 'pointer' && !isConstructible(named))) {
      throw failAt(decl, `${typeName(named)} cannot be initialised`)
    }
    convertTo(decl.init, type, `'${decl.name}'`)
    decl.type = type
  } else decl.type = named!
  const kept = decl.kind !== 'var' || !decl.global || decl.spaceNames[0] === 'private'
  if (kept) refuseHuge(decl.type, decl, 'a private or local variable, or a constant')
}

function checkGlobalVar(context: Context, decl: VarDecl) {
  const [spaceName, accessName] = decl.spaceNames
  checkInitializer(context, decl)
  const attribute = (name: string) => decl.attributes.find((a) => a.name === name)
  for (const a of decl.attributes) {
    const known = decl.kind === 'override' ? ['id'] : decl.kind === 'var' ? ['group', 'binding'] : []
    if (!known.includes(a.name)) throw failAt(a, `@${a.name} does not belong on ${decl.kind} '${decl.name}'`)
  }
  if (decl.kind === 'const') {
    if (!decl.init!.value) {
      throw failAt(
        decl.init!,
        `'${decl.name}' needs a const-expression${
          decl.init!.stage === 'override'
            ? ': use override'
            : ' (or this builtin is not evaluated at compile time on the embedded device)'
        }`,
      )
    }
    decl.value = decl.init!.value
    decl.stage = 'const'
    return
  }
  if (decl.kind === 'override') {
    if (decl.type.kind !== 'scalar') throw failAt(decl, `an override is a scalar, not ${typeName(decl.type)}`)
    if (decl.init && decl.init.stage === 'runtime') {
      throw failAt(decl.init, `the value of override '${decl.name}' is only known at run time`)
    }
    const id = attribute('id')
    if (id) {
      decl.id = constInteger(context, id.args[0], '@id')
      if (decl.id < 0 || decl.id > 65535) throw failAt(id, `@id(${decl.id}) must be between 0 and 65535`)
    }
    decl.stage = 'override'
    return
  }
  if (!spaceName) {
    throw failAt(
      decl,
      `'${decl.name}' needs an address space: var<storage>, var<uniform>, var<workgroup> or var<private>`,
    )
  }
  if (!['private', 'workgroup', 'uniform', 'storage'].includes(spaceName)) {
    throw failAt(
      decl,
      spaceName === 'function' ? `var<function> belongs inside functions` : `unknown address space '${spaceName}'`,
    )
  }
  decl.space = spaceName as VarDecl['space']
  if (accessName && decl.space !== 'storage') throw failAt(decl, `only storage takes an access mode, not ${spaceName}`)
  if (accessName && accessName !== 'read' && accessName !== 'read_write') {
    throw failAt(decl, `access mode '${accessName}' must be read or read_write`)
  }
  decl.access = decl.space === 'uniform' || (decl.space === 'storage' && accessName !== 'read_write')
    ? 'read'
    : 'read_write'
  decl.stage = 'runtime'
  const resource = decl.space === 'uniform' || decl.space === 'storage'
  if (decl.init && decl.space !== 'private') {
    throw failAt(decl, `var<${spaceName}> '${decl.name}' cannot have an initial value`)
  }
  if (decl.init && !decl.init.value && decl.init.stage !== 'override') {
    throw failAt(decl.init, `the initial value of '${decl.name}' must be constant`)
  }
  const group = attribute('group'), binding = attribute('binding')
  if (resource) {
    if (!group || !binding) throw failAt(decl, `'${decl.name}' needs @group(...) and @binding(...)`)
    decl.group = attributeInteger(context, group)
    decl.binding = attributeInteger(context, binding)
    if (decl.group < 0 || decl.binding < 0) {
      throw failAt(decl, `@group and @binding of '${decl.name}' must not be negative`)
    }
  } else if (group ?? binding) {
    throw failAt((group ?? binding)!, `only uniform and storage variables take @group and @binding`)
  }
  checkStorable(decl, decl.type, decl)
}
function attributeInteger(context: Context, attribute: Attribute): number {
  if (attribute.args.length !== 1) throw failAt(attribute, `@${attribute.name} takes one number`)
  return constInteger(context, attribute.args[0], `@${attribute.name}`)
}

function checkSignature(context: Context, decl: FunctionDecl) {
  const entry = decl.attributes.find((a) => a.name === 'compute'), names = new Set<string>()
  for (const a of decl.attributes) {
    if (a.name === 'vertex' || a.name === 'fragment') {
      throw failAt(a, `@${a.name} shaders are not supported on the embedded device`)
    }
    if (!['compute', 'workgroup_size', 'must_use', 'diagnostic'].includes(a.name)) {
      throw failAt(a, `unknown attribute @${a.name}`)
    }
  }
  decl.result = decl.resultExpr ? resolveType(context, decl.resultExpr) : voidType
  if (decl.resultExpr && !isConstructible(decl.result)) {
    throw failAt(decl.resultExpr, `${typeName(decl.result)} cannot be returned`)
  }
  for (const param of decl.params) {
    if (names.has(param.name)) throw failAt(param, `parameter '${param.name}' is declared twice`)
    names.add(param.name)
    param.type = resolveType(context, param.typeExpr!)
    if (param.type.kind !== 'pointer' && !isConstructible(param.type)) {
      throw failAt(param, `${typeName(param.type)} cannot be a parameter: pass a pointer`)
    }
    if (entry) checkEntryParameter(context, param)
    else if (param.attributes.length) {
      throw failAt(param.attributes[0], `@${param.attributes[0].name} only belongs on parameters of entry points`)
    }
  }
  const size = decl.attributes.find((a) => a.name === 'workgroup_size')
  if (!entry) {
    if (size) throw failAt(size, '@workgroup_size needs @compute')
    return
  }
  if (decl.result !== voidType) throw failAt(decl, `compute entry point '${decl.name}' cannot return a value`)
  if (!size || size.args.length < 1 || size.args.length > 3) {
    throw failAt(decl, `entry point '${decl.name}' needs @workgroup_size(x, y, z)`)
  }
  decl.workgroupSize = size.args
  for (const arg of size.args) {
    checkValue(context, arg)
    if (arg.stage === 'runtime' || !isInteger(arg.type) || arg.type.kind !== 'scalar') {
      throw failAt(arg, '@workgroup_size needs constant or override integers')
    }
    if (arg.value && Number(arg.value.scalar) < 1) {
      throw failAt(arg, `@workgroup_size(${arg.value.scalar}) must be at least 1`)
    }
  }
}

function checkEntryParameter(context: Context, param: VarDecl) {
  const fits = (name: string, type: Type, attribute: Attribute) => {
    if (name.startsWith('subgroup')) {
      throw failAt(attribute, `@builtin(${name}): subgroups are not supported on the embedded device`)
    }
    const expected = builtinInputs[name]
    if (!expected) {
      throw failAt(
        attribute,
        `@builtin(${name}) is no input of a compute shader: use ${Object.keys(builtinInputs).join(', ')}`,
      )
    }
    if (type !== expected) throw failAt(param, `@builtin(${name}) is ${typeName(expected)}, not ${typeName(type)}`)
  }
  const nameOf = (attribute: Attribute) => {
    const arg = attribute.args[0]
    return arg?.kind === 'name' ? arg.name : ''
  }
  const builtin = param.attributes.find((a) => a.name === 'builtin')
  if (builtin) {
    param.builtin = nameOf(builtin)
    fits(param.builtin, param.type, builtin)
    return
  }
  const decl = context.program.decls.find((d) => d.kind === 'struct' && d.type === param.type)
  if (decl?.kind !== 'struct') throw failAt(param, `parameter '${param.name}' of an entry point needs @builtin(...)`)
  for (const [i, member] of decl.members.entries()) {
    const attribute = member.attributes.find((a) => a.name === 'builtin')
    if (!attribute) throw failAt(member, `member '${member.name}' of an entry point parameter needs @builtin(...)`)
    fits(nameOf(attribute), decl.type!.members[i].type, attribute)
  }
}

function refuseRecursion(decl: FunctionDecl, path: Set<FunctionDecl>, finished: Set<FunctionDecl>) {
  if (finished.has(decl)) return
  path.add(decl)
  for (const [callee, span] of decl.calls) {
    if (path.has(callee)) throw failAt(span, `'${callee.name}' calls itself: WGSL has no recursion`)
    refuseRecursion(callee, path, finished)
  }
  path.delete(decl)
  finished.add(decl)
}

function checkIds(program: Program) {
  const ids = new Set<number>()
  for (const decl of program.decls) {
    if (decl.kind !== 'override' || decl.id === null) continue
    if (ids.has(decl.id)) throw failAt(decl, `@id(${decl.id}) is used twice`)
    ids.add(decl.id)
  }
  for (const entry of program.decls) {
    if (entry.kind !== 'function' || !entry.workgroupSize) continue
    const used = new Map<string, VarDecl>()
    for (const decl of globalsOf(entry)) {
      if (decl.group < 0) continue
      const key = `${decl.group}/${decl.binding}`, other = used.get(key)
      if (other) {
        throw failAt(
          decl,
          `'${decl.name}' and '${other.name}' are both @group(${decl.group}) @binding(${decl.binding}) in `
            + `'${entry.name}'`,
        )
      }
      used.set(key, decl)
    }
  }
}

/** Module-scope variables that a function uses, itself or through what it calls, in order of declaration. */
export function globalsOf(entry: FunctionDecl): VarDecl[] {
  const found = new Set<VarDecl>(), seen = new Set<FunctionDecl>()
  const visit = (fn: FunctionDecl) => {
    if (seen.has(fn)) return
    seen.add(fn)
    for (const decl of fn.globals) found.add(decl)
    for (const callee of fn.calls.keys()) visit(callee)
  }
  visit(entry)
  return [...found].sort((a, b) => a.line - b.line || a.column - b.column)
}
