// WASM code of statements, inside one invocation.
import { importedFunction } from './encode.ts'
import { ExprEmitter } from './emit-expr.ts'
import { bodies, operands, visit } from './ir.ts'
import type { Expr, Label, Local, Stmt } from './ir.ts'
import type { Lowered } from './lower.ts'

/** How code is made, and where things lie in the scratch area. */
export interface EmitOptions {
  relaxed: boolean
  permuted: boolean
  /**
   * Byte offsets of private memory (per invocation `privateStride`, 0 if one copy serves all) and of crossing locals.
   */
  privateOffset: number
  privateStride: number
  crossingOffset: number
  /** Sixteen bytes through which vector constants go. */
  constantOffset: number
  /** Every loop looks at the clock, not only those that nothing shows to end soon. */
  watchAll: boolean
  /** Race mode: index of the function that notes an access, of the one that opens a new epoch, else null. */
  traceFunction: number | null
  epochFunction: number | null
}

/** Turns of watched loops between two looks at the clock. */
export const TURNS = 256

const params = 4 // block, scratch, first, last

const hasLoop = (body: Stmt[]): boolean => body.some((s) => s.op === 'loop' || bodies(s).some(hasLoop))

/** Appends statements to `code`; knows the blocks around and which locals are read at all. */
export class StmtEmitter extends ExprEmitter {
  protected readonly lowered: Lowered
  protected readonly options: EmitOptions
  protected readonly labels: (Label | null)[] = []
  /** Turns of watched loops left until the next look at the clock. */
  protected readonly turns: number
  private readonly reads = new Map<Local, number>()

  constructor(lowered: Lowered, options: EmitOptions) {
    super(params, options.relaxed)
    this.lowered = lowered
    this.options = options
    this.turns = this.fresh('i32')
  }

  /** Counts the reads of locals in an expression: one that nobody reads need not be set. */
  protected countExpr(e: Expr): void {
    visit(e, (x) => {
      if (x.op === 'local') this.reads.set(x.local, (this.reads.get(x.local) ?? 0) + 1)
    })
  }

  /** The same for statements. */
  protected countStatements(list: Stmt[]): void {
    for (const s of list) {
      operands(s).forEach((e) => this.countExpr(e))
      if (s.op === 'if') {
        this.countStatements(s.then)
        this.countStatements(s.otherwise)
      }
      if (s.op === 'block' || s.op === 'loop') this.countStatements(s.body)
    }
  }

  /** Once in many turns of watched loops: the host ends the kernel by an exception if its time is over. */
  protected tick(line: number) {
    const { code, turns } = this
    code.get(turns).i32(1).op('i32.sub').tee(turns).op('i32.eqz').if()
    code.i32(line).call(importedFunction.tick).i32(TURNS).set(turns)
    code.end()
  }
  protected nested(label: Label | null, inside: () => void) {
    this.labels.push(label)
    inside()
    this.labels.pop()
  }
  protected depth(label: Label): number {
    const at = this.labels.lastIndexOf(label)
    if (at < 0) throw new Error(`no way out to '${label.name}'`)
    return this.labels.length - 1 - at
  }

  protected list(list: Stmt[]) {
    for (const s of list) this.statement(s)
  }

  protected set(local: Local, value: Expr) {
    if (!this.reads.get(local) && local.input === 'none') return // nobody reads it, and computing has no effect
    this.expr(value)
    this.code.set(this.indexOf(local))
  }

  protected statement(s: Stmt) {
    const { code } = this
    switch (s.op) {
      case 'set':
        this.set(s.local, s.value)
        break
      case 'store':
        this.expr(s.addr)
        this.expr(s.value)
        code.memory(s.name, s.offset, s.lane)
        break
      case 'br':
        code.br(this.depth(s.label))
        break
      case 'if':
        this.ifStatement(s)
        break
      case 'block':
        if (!s.label.used) {
          this.list(s.body)
          break
        }
        code.block()
        this.nested(s.label, () => this.list(s.body))
        code.end()
        break
      case 'loop':
        code.loop()
        this.nested(s.label, () => {
          const { loop } = s.label
          if (loop && (this.options.watchAll || !loop.counted || hasLoop(s.body))) this.tick(loop.line)
          this.list(s.body)
        })
        code.end()
        break
      case 'atomic':
        this.expr(s.addr)
        s.args.forEach((a) => this.expr(a))
        code.memory(s.name, s.offset)
        if (s.name.endsWith('store')) break
        if (s.local) code.set(this.indexOf(s.local))
        else code.byte(0x1a)
        break
      case 'report':
        code.i32(s.kind).i32(s.line)
        this.expr(s.a)
        this.expr(s.b)
        code.call(importedFunction.report)
        break
      case 'trace':
        code.get(1)
        this.expr(s.addr)
        code.i32(s.offset).op('i32.add').i32(s.words).i32(s.write ? 1 : 0).i32(s.line).i32(s.where)
        this.expr(this.lowered.state.inputs.index)
        this.expr(s.base)
        code.call(this.options.traceFunction!)
        break
      case 'barrier':
        throw new Error('a barrier inside a region')
    }
  }

  private ifStatement(s: Extract<Stmt, { op: 'if' }>) {
    const { code } = this
    const jump = s.then.length === 1 && s.then[0].op === 'br' && s.otherwise.length === 0 ? s.then[0] : null
    if (s.cond.op === 'const') {
      this.list(s.cond.value ? s.then : s.otherwise)
      return
    }
    this.expr(s.cond)
    if (jump) {
      code.brIf(this.depth(jump.label))
      return
    }
    code.if()
    this.nested(null, () => this.list(s.then))
    if (s.otherwise.length) {
      code.else()
      this.nested(null, () => this.list(s.otherwise))
    }
    code.end()
  }
}
