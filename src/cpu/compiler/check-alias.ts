// Aliases: a call must not hand the same variable to two pointers, or to a pointer and, by its module-scope name, to
// the function itself, if one of the two writes it. Variables count whole, as in WGSL: `&a[0]` and `&a[1]` are one.
import type { WgslError } from '../abi.ts'
import { failAt } from './lexer.ts'
import { inside } from './tree.ts'
import type { CallExpr, Expr, FunctionDecl, Stmt, VarDecl } from './tree.ts'

/** What a function does to module-scope variables and to what its pointer parameters point at. */
interface Accesses {
  reads: Set<VarDecl>
  writes: Set<VarDecl>
}

/** Every call of the program's functions that WGSL refuses for its aliases. Calls must be free of recursion. */
export function aliasErrors(functions: FunctionDecl[]): WgslError[] {
  const done = new Map<FunctionDecl, Accesses>(), errors: WgslError[] = []
  const accessesOf = (fn: FunctionDecl): Accesses => {
    let found = done.get(fn)
    if (!found) {
      found = new Analysis(accessesOf, errors).accesses(fn)
      done.set(fn, found)
    }
    return found
  }
  functions.forEach(accessesOf)
  return errors
}

/** The variable, or pointer parameter, that a place or pointer goes back to. */
function rootOf(e: Expr): VarDecl | null {
  switch (e.kind) {
    case 'index':
    case 'member':
      return rootOf(e.base)
    case 'unary':
      return rootOf(e.operand)
    case 'name': {
      const decl = e.decl as VarDecl | undefined
      return decl?.kind === 'let' && decl.type.kind === 'pointer' ? rootOf(decl.init!) : decl ?? null
    }
    default:
      return null
  }
}

class Analysis {
  private readonly found: Accesses = { reads: new Set(), writes: new Set() }
  private readonly of: (fn: FunctionDecl) => Accesses
  private readonly errors: WgslError[]

  constructor(of: (fn: FunctionDecl) => Accesses, errors: WgslError[]) {
    this.of = of
    this.errors = errors
  }

  accesses(fn: FunctionDecl): Accesses {
    this.visit(fn.body)
    return this.found
  }

  private visit(node: Stmt | Expr | null): void {
    if (!node) return
    if (node.kind === 'assign' && node.target) {
      this.place(node.target, node.op !== '', true)
      this.visit(node.value)
    } else if (node.kind === 'step') this.place(node.target, true, true)
    else if (node.kind === 'call' && 'target' in node && node.target) this.call(node)
    else if (node.kind === 'unary' && node.op === '&') this.place(node.operand, false, false)
    else if ('ref' in node && node.ref) this.place(node, true, false)
    else for (const part of inside(node)) this.visit(part)
  }

  /** A place that is read, written or only pointed at; the indices inside are read. */
  private place(e: Expr, read: boolean, write: boolean): void {
    const root = rootOf(e)
    if (root && (root.global || root.kind === 'param')) {
      if (read) this.found.reads.add(root)
      if (write) this.found.writes.add(root)
    }
    for (let at = e; at.kind === 'index' || at.kind === 'member' || at.kind === 'unary';) {
      if (at.kind === 'index') this.visit(at.index)
      at = at.kind === 'unary' ? at.operand : at.base
    }
  }

  private call(e: CallExpr): void {
    const target = e.target!
    if (target.kind === 'builtin') {
      for (const arg of e.args) {
        this.visit(arg)
        if (arg.type.kind !== 'pointer' || target.name === 'arrayLength') continue
        const load = target.name === 'atomicLoad' || target.name === 'workgroupUniformLoad'
        this.place(arg, target.name !== 'atomicStore', !load)
      }
      return
    }
    if (target.kind !== 'function') {
      e.args.forEach((arg) => this.visit(arg))
      return
    }
    const fn = target.decl, { reads, writes } = this.of(fn)
    const pointers: { root: VarDecl, read: boolean, write: boolean, arg: Expr, name: string }[] = []
    for (const [i, arg] of e.args.entries()) {
      const param = fn.params[i]
      if (param.type.kind !== 'pointer') {
        this.visit(arg)
        continue
      }
      const read = reads.has(param)
      const write = writes.has(param)
      const root = rootOf(arg)
      this.place(arg, read, write)
      if (root) pointers.push({ root, read, write, arg, name: param.name })
    }
    for (const [i, one] of pointers.entries()) {
      const other = pointers.slice(0, i).find(({ root, read, write }) =>
        root === one.root && (write && (one.read || one.write) || one.write && read)
      )
      if (other) {
        this.errors.push(
          failAt(
            one.arg,
            `parameters '${other.name}' and '${one.name}' of ${fn.name} both point into '${one.root.name}', and one of `
              + 'them is written: copy what is only read',
          ),
        )
      } else if (writes.has(one.root) && (one.read || one.write) || reads.has(one.root) && one.write) {
        this.errors.push(
          failAt(
            one.arg,
            `${fn.name} uses '${one.root.name}' by its name and through parameter '${one.name}', `
              + 'and writes one of them',
          ),
        )
      }
    }
    for (const decl of reads) if (decl.global) this.found.reads.add(decl)
    for (const decl of writes) if (decl.global) this.found.writes.add(decl)
  }
}
