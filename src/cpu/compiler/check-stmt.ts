// Types of statements, scopes of names, and which ways control leaves a statement (WGSL's behaviour analysis).
import { markAssigned, markPointer } from './check-call.ts'
import { checkExpr, checkValue, convertTo } from './check-expr.ts'
import { binaryType } from './check-operators.ts'
import { checkStorable } from './check-types.ts'
import { checkAssert, checkInitializer } from './check.ts'
import type { Context } from './check.ts'
import { failAt } from './lexer.ts'
import type { Span } from './lexer.ts'
import { walk } from './tree.ts'
import type { AssignStmt, Block, Expr, FunctionDecl, Stmt, SwitchStmt, VarDecl } from './tree.ts'
import { bool, concrete, i32, isAbstract, isConstructible, isInteger, typeName, voidType } from './types.ts'

type Exit = 'next' | 'break' | 'continue' | 'return'
type Exits = Set<Exit>
interface Enclosing {
  loop: boolean
  breakable: boolean
  continuing: boolean
}

/** Checks the body of a function whose signature is known. Throws WgslError at the first mistake. */
export function checkFunctionBody(context: Context, decl: FunctionDecl): void {
  if (decl.checked) return
  decl.checked = true
  context.fn = decl
  const scope = new Map<string, VarDecl>()
  for (const param of decl.params) scope.set(param.name, param)
  context.scopes = [scope]
  try {
    const exits = checkBody(context, decl.body.body, { loop: false, breakable: false, continuing: false })
    if (decl.result !== voidType && exits.has('next')) {
      throw failAt(decl, `'${decl.name}' does not return a value on every path`)
    }
  } finally {
    context.fn = null
    context.scopes = []
  }
}

function declare(context: Context, decl: VarDecl) {
  const scope = context.scopes.at(-1)!
  if (scope.has(decl.name)) throw failAt(decl, `'${decl.name}' is already declared in this block`)
  scope.set(decl.name, decl)
}

function checkBlock(context: Context, block: Block, enclosing: Enclosing, after?: () => Exits): Exits {
  context.scopes.push(new Map())
  const exits = checkBody(context, block.body, enclosing)
  if (after) { for (const exit of after()) exits.add(exit) }
  context.scopes.pop()
  return exits
}

function checkBody(context: Context, body: Stmt[], enclosing: Enclosing): Exits {
  const exits: Exits = new Set(['next'])
  for (const statement of body) {
    const own = checkStatement(context, statement, enclosing)
    if (!exits.has('next')) continue // unreachable, but still checked
    exits.delete('next')
    for (const exit of own) exits.add(exit)
  }
  return exits
}

function checkStatement(context: Context, statement: Stmt, enclosing: Enclosing): Exits {
  const next: Exits = new Set(['next'])
  switch (statement.kind) {
    case 'block':
      return checkBlock(context, statement, enclosing)
    case 'decl':
      checkLocal(context, statement.decl)
      return next
    case 'const_assert':
      checkAssert(context, statement.condition, statement)
      return next
    case 'assign':
      checkAssign(context, statement)
      return next
    case 'step': {
      const { target } = statement
      checkPlace(context, target)
      if (target.type.kind !== 'scalar' || !isInteger(target.type)) {
        throw failAt(target, `'++' and '--' need an i32 or u32, got ${typeName(target.type)}`)
      }
      return next
    }
    case 'call': {
      const call = statement.call
      checkExpr(context, call)
      const must = call.target?.kind === 'builtin'
        ? mustUse(call.target.name)
        : call.target?.kind === 'function'
        ? call.target.decl.mustUse
        : true
      if (must) throw failAt(call, `the result of ${call.callee} is not used: assign it, or '_ = ${call.callee}(...)'`)
      return next
    }
    case 'return': {
      if (enclosing.continuing) throw failAt(statement, 'return cannot stand in a continuing block')
      const result = context.fn!.result
      if (statement.value) {
        checkValue(context, statement.value)
        if (result === voidType) throw failAt(statement.value, `'${context.fn!.name}' returns nothing`)
        convertTo(statement.value, result, 'return')
      } else if (result !== voidType) throw failAt(statement, `'${context.fn!.name}' must return ${typeName(result)}`)
      return new Set(['return'])
    }
    case 'break':
      if (enclosing.continuing && !enclosing.breakable) {
        throw failAt(statement, "a continuing block is left with 'break if' only")
      }
      if (!enclosing.breakable) throw failAt(statement, 'break must stand in a loop or switch')
      return new Set(['break'])
    case 'continue':
      if (enclosing.continuing && !enclosing.loop) {
        throw failAt(statement, 'continue cannot stand in a continuing block')
      }
      if (!enclosing.loop) throw failAt(statement, 'continue must stand in a loop')
      return new Set(['continue'])
    case 'if': {
      checkCondition(context, statement.condition, 'if')
      const exits = checkBlock(context, statement.then, enclosing)
      const other = !statement.otherwise ? next : statement.otherwise.kind === 'if'
        ? checkStatement(context, statement.otherwise, enclosing)
        : checkBlock(context, statement.otherwise, enclosing)
      for (const exit of other) exits.add(exit)
      return exits
    }
    case 'switch':
      return checkSwitch(context, statement, enclosing)
    case 'loop': {
      const inside = { loop: true, breakable: true, continuing: false }
      const exits = checkBlock(context, statement.body, inside, () => {
        if (!statement.continuing) return new Set()
        const exits = checkBlock(
          context,
          statement.continuing,
          { loop: false, breakable: false, continuing: true },
          () => {
            if (statement.breakIf) checkCondition(context, statement.breakIf, 'break if')
            return new Set(statement.breakIf ? ['break'] : [])
          },
        )
        refuseBypassed(statement.body, statement.continuing, statement.breakIf)
        return exits
      })
      return afterLoop(exits, statement)
    }
    case 'for': {
      context.scopes.push(new Map())
      if (statement.init) checkStatement(context, statement.init, enclosing)
      if (statement.condition) checkCondition(context, statement.condition, 'the loop condition')
      if (statement.update) {
        checkStatement(context, statement.update, { loop: false, breakable: false, continuing: true })
      }
      const exits = checkBlock(context, statement.body, { loop: true, breakable: true, continuing: false })
      if (statement.condition) exits.add('break')
      context.scopes.pop()
      return afterLoop(exits, statement)
    }
  }
}

function afterLoop(exits: Exits, span: Span): Exits {
  const after: Exits = new Set()
  if (exits.has('break')) after.add('next')
  if (exits.has('return')) after.add('return')
  if (after.size === 0) throw failAt(span, 'this loop never ends: add a break, a return or a condition')
  return after
}

/** A variable declared after a `continue` may not be used in continuing: it would not exist yet. */
function refuseBypassed(body: Block, continuing: Block, breakIf: Expr | null) {
  let skipped = false
  const late = new Map<VarDecl, Span>()
  for (const statement of body.body) {
    if (skipped && statement.kind === 'decl') late.set(statement.decl, statement)
    walk(statement, (node) => {
      if (node.kind === 'loop' || node.kind === 'for') return false
      if (node.kind === 'continue') skipped = true
    })
  }
  for (const part of breakIf ? [continuing, breakIf] : [continuing]) {
    walk(part, (node) => {
      const span = node.kind === 'name' && node.decl ? late.get(node.decl as VarDecl) : undefined
      if (span && node.kind === 'name') {
        throw failAt(span, `'${node.name}' is used in continuing, but a continue above skips its declaration`)
      }
    })
  }
}

function mustUse(name: string): boolean {
  return !(name.startsWith('atomic') || name === 'workgroupBarrier' || name === 'storageBarrier')
}

function checkCondition(context: Context, condition: Expr, what: string) {
  checkValue(context, condition)
  if (condition.type !== bool) throw failAt(condition, `${what} needs a bool, got ${typeName(condition.type)}`)
}

function checkLocal(context: Context, decl: VarDecl) {
  if (decl.attributes.length) {
    throw failAt(decl.attributes[0], `@${decl.attributes[0].name} does not belong on a local variable`)
  }
  if (
    decl.kind === 'var' && decl.spaceNames.length && (decl.spaceNames.length > 1 || decl.spaceNames[0] !== 'function')
  ) {
    throw failAt(decl, `var<${decl.spaceNames.join(', ')}> '${decl.name}' belongs at module scope`)
  }
  checkInitializer(context, decl)
  if (decl.kind === 'const') {
    if (!decl.init!.value) throw failAt(decl.init!, `'${decl.name}' needs a const-expression: use let`)
    decl.value = decl.init!.value
    decl.stage = 'const'
  } else if (decl.kind === 'var') {
    if (decl.type.kind === 'pointer') throw failAt(decl, `'${decl.name}': pointers live in 'let' and parameters only`)
    if (!isConstructible(decl.type)) checkStorable(decl, decl.type, decl)
    if (!isConstructible(decl.type)) throw failAt(decl, `a local variable cannot have type ${typeName(decl.type)}`)
    checkStorable(decl, decl.type, decl)
  } else if (decl.init) markPointer(decl.init)
  declare(context, decl)
}

/** Checks the left side of an assignment. */
function checkPlace(context: Context, target: Expr) {
  checkExpr(context, target)
  if (!target.ref) {
    const swizzled = target.kind === 'member' && target.swizzle && target.swizzle.length > 1
    const named = target.kind === 'name' && target.decl && target.decl.kind !== 'var'
      ? `'${target.name}' is a ${target.decl.kind} and cannot change: use var`
      : null
    throw failAt(
      target,
      swizzled
        ? `'.${target.name}' names several components: assign them one by one`
        : named ?? 'this cannot be assigned to',
    )
  }
  if (target.ref.access === 'read') {
    throw failAt(
      target,
      target.ref.space === 'uniform'
        ? 'uniform memory is read-only'
        : 'this memory is read-only: declare it var<storage, read_write>',
    )
  }
  if (target.type.kind === 'atomic') throw failAt(target, 'an atomic is written with atomicStore(&..., value)')
  if (!isConstructible(target.type)) throw failAt(target, `${typeName(target.type)} cannot be assigned as a whole`)
  markAssigned(target)
}

function checkAssign(context: Context, statement: AssignStmt) {
  const { target, op, value } = statement
  if (!target) {
    checkExpr(context, value)
    if (value.type.kind === 'void') throw failAt(value, 'this call gives no value')
    if (value.type.kind === 'array' && value.type.count === null) {
      throw failAt(value, 'a runtime-sized array has no value')
    }
    return
  }
  checkPlace(context, target)
  checkValue(context, value)
  if (!op) {
    convertTo(value, target.type, 'the assignment')
    return
  }
  if (
    isInteger(value.type) && value.value && (op === '/' || op === '%')
    && [value.value, ...value.value.parts ?? []].some((v) => v.scalar === 0n || v.scalar === 0)
  ) {
    throw failAt(value, 'integer division by zero')
  }
  const left = { ...target, value: undefined }
  const type = binaryType(statement, op, left, value)
  if (type !== target.type) {
    throw failAt(statement, `'${op}=' gives ${typeName(type)}, the variable is ${typeName(target.type)}`)
  }
  if (
    (op === '<<' || op === '>>') && value.value
    && [value.value, ...value.value.parts ?? []].some((v) => Number(v.scalar ?? 0) >= 32)
  ) {
    throw failAt(value, `shift by ${value.value.scalar}: must be less than 32`)
  }
}

function checkSwitch(context: Context, statement: SwitchStmt, enclosing: Enclosing): Exits {
  checkValue(context, statement.value)
  const selectors = statement.clauses.flatMap((c) => c.selectors.filter((s) => s !== null))
  for (const selector of selectors) checkValue(context, selector)
  const settled = [statement.value, ...selectors].find((e) => !isAbstract(e.type))?.type ?? i32
  if (!isInteger(statement.value.type) || statement.value.type.kind !== 'scalar') {
    throw failAt(statement.value, `switch needs i32 or u32, got ${typeName(statement.value.type)}`)
  }
  convertTo(statement.value, concrete(settled), 'switch')
  const seen = new Set<unknown>(), exits: Exits = new Set()
  let defaults = 0
  for (const clause of statement.clauses) {
    for (const selector of clause.selectors) {
      if (!selector) {
        defaults++
        continue
      }
      if (!selector.value) throw failAt(selector, 'a case selector must be constant')
      convertTo(selector, statement.value.type, 'a case selector')
      const key = String(selector.value.scalar)
      if (seen.has(key)) throw failAt(selector, `case ${key} appears twice`)
      seen.add(key)
    }
    for (const exit of checkBlock(context, clause.body, { ...enclosing, breakable: true })) exits.add(exit)
  }
  if (defaults !== 1) {
    throw failAt(statement, defaults ? 'switch has more than one default' : 'switch needs a default clause')
  }
  if (exits.delete('break')) exits.add('next')
  return exits
}
