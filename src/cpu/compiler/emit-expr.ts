// WASM code of expressions, and the WASM locals they need.
import { Code } from './encode.ts'
import { op, pseudo } from './instructions.ts'
import { children } from './ir.ts'
import type { Expr, Local } from './ir.ts'
import type { WasmType } from './opcodes.ts'

/**
 * Appends expressions to `code`. Locals are numbered from `firstLocal` on; `relaxed` contracts a product and a sum of
 * vectors.
 */
export class ExprEmitter {
  protected readonly code = new Code()
  protected readonly locals: WasmType[] = []
  /** Vector constants that go through memory, with their locals. */
  protected readonly constants = new Map<string, { words: readonly number[], index: number }>()
  private readonly free: Record<WasmType, number[]> = { i32: [], f32: [], v128: [] }
  private readonly firstLocal: number
  private readonly relaxed: boolean

  constructor(firstLocal: number, relaxed: boolean) {
    this.firstLocal = firstLocal
    this.relaxed = relaxed
  }

  /** A new WASM local. */
  protected fresh(type: WasmType): number {
    this.locals.push(type)
    return this.firstLocal + this.locals.length - 1
  }
  /** The WASM local of a variable. */
  protected indexOf(local: Local): number {
    if (local.index < 0) local.index = this.fresh(local.type)
    return local.index
  }
  /** A WASM local for as long as `use` runs. */
  protected borrow<T>(type: WasmType, use: (index: number) => T): T {
    const index = this.free[type].pop() ?? this.fresh(type)
    const result = use(index)
    this.free[type].push(index)
    return result
  }
  private constant(words: readonly number[]) {
    if (words.every((w) => w === 0) || words.every((w) => w === -1)) {
      this.code.v128(words)
      return
    }
    const key = words.join()
    let found = this.constants.get(key)
    if (!found) this.constants.set(key, found = { words, index: this.fresh('v128') })
    this.code.get(found.index)
  }

  /** Leaves the value of an expression on the stack. */
  protected expr(e: Expr): void {
    const { code } = this
    switch (e.op) {
      case 'const':
        if (e.type === 'i32') code.i32(e.value)
        else code.f32(e.value)
        break
      case 'vector':
        this.constant(e.words)
        break
      case 'local':
        code.get(this.indexOf(e.local))
        break
      case 'load':
        this.expr(e.addr)
        if (e.into) this.expr(e.into)
        code.memory(e.name, e.offset, e.lane)
        break
      case 'build':
        this.build(e.parts)
        break
      case 'lazy':
        this.expr(e.cond)
        code.if(e.type)
        this.expr(e.then)
        code.else()
        this.expr(e.otherwise)
        code.end()
        break
      case 'wasm':
        this.instruction(e)
    }
  }

  private instruction(e: Extract<Expr, { op: 'wasm' }>) {
    const { code } = this, { name, args } = e
    if (pseudo.test(name)) {
      this.extreme(e)
      return
    }
    if (name === 'i8x16.shuffle') {
      args.forEach((a) => this.expr(a))
      code.shuffle(e.bytes!)
      return
    }
    if (name === 'select') {
      args.forEach((a) => this.expr(a))
      code.select(e.type)
      return
    }
    if (this.relaxed && (name === 'f32x4.add' || name === 'f32x4.sub')) {
      const isProduct = (x: Expr) => x.op === 'wasm' && x.name === 'f32x4.mul'
      const at = isProduct(args[1]) ? 1 : name === 'f32x4.add' && isProduct(args[0]) ? 0 : -1
      if (at >= 0) {
        for (const factor of children(args[at])) this.expr(factor)
        this.expr(args[1 - at])
        code.op(name === 'f32x4.add' ? 'f32x4.relaxed_madd' : 'f32x4.relaxed_nmadd')
        return
      }
    }
    if (
      (name === 'f32x4.splat' || name === 'i32x4.splat') && args[0].op === 'load'
      && (args[0].name === 'f32.load' || args[0].name === 'i32.load')
    ) {
      this.expr(args[0].addr)
      code.memory('v128.load32_splat', args[0].offset)
      return
    }
    args.forEach((a) => this.expr(a))
    // V8 on x64 takes a scalar root with an instruction of the time before AVX, which costs hundreds of cycles after
    // 256-bit vectors.
    if (name === 'f32.sqrt') code.op('f32x4.splat').op('f32x4.sqrt').op('f32x4.extract_lane', 0)
    else code.op(name, e.lane)
  }

  private extreme(e: Extract<Expr, { op: 'wasm' }>) {
    const { code } = this, [a, b] = e.args, [what, sign] = e.name.slice(4).split('_')
    const simple = (x: Expr) => x.op === 'local' || x.op === 'const'
    const push = (x: Expr, kept: number) => {
      if (simple(x)) this.expr(x)
      else code.get(kept)
    }
    this.borrow('i32', (first) =>
      this.borrow('i32', (second) => {
        if (!simple(a)) {
          this.expr(a)
          code.set(first)
        }
        if (!simple(b)) {
          this.expr(b)
          code.set(second)
        }
        push(a, first)
        push(b, second)
        push(a, first)
        push(b, second)
        code.op(`i32.${what === 'min' ? 'lt' : 'gt'}_${sign}`).select('i32')
      }))
  }

  /** A vector from scalars: constants as a whole, the rest lane by lane; loads go straight into their lanes. */
  private build(parts: Expr[]) {
    const { code } = this
    const isLoad = (p: Expr) => p.op === 'load' && (p.name === 'f32.load' || p.name === 'i32.load')
    const bits = (p: Expr) => {
      if (p.op !== 'const') return 0
      return p.type === 'i32' ? p.value : floatWord(p.value)
    }
    const zeroRest = parts.slice(1).every((p) => p.op === 'const' && bits(p) === 0)
    const alike = parts.every((p) => same(p, parts[0]))
    if (alike) {
      this.instruction(op(`${parts[0].type}x4.splat`, parts[0]) as Extract<Expr, { op: 'wasm' }>)
      return
    }
    if (isLoad(parts[0]) && (zeroRest || parts.slice(1).some(isLoad))) {
      const load = parts[0] as Extract<Expr, { op: 'load' }>
      this.expr(load.addr)
      code.memory('v128.load32_zero', load.offset)
    } else if (parts.some((p) => p.op === 'const')) code.v128(parts.map(bits))
    else {
      this.expr(parts[0])
      code.op(`${parts[0].type}x4.splat`)
    }
    const started = isLoad(parts[0]) && (zeroRest || parts.slice(1).some(isLoad))
    const base = started ? [0, 0, 0, 0] : parts.map(bits), hasConst = parts.some((p) => p.op === 'const')
    for (const [lane, p] of parts.entries()) {
      if (lane === 0 && (started || !hasConst)) continue
      if (p.op === 'const' && (started ? bits(p) === 0 : base[lane] === bits(p))) continue
      if (isLoad(p)) {
        const load = p as Extract<Expr, { op: 'load' }>
        this.borrow('v128', (sum) => {
          code.set(sum)
          this.expr(load.addr)
          code.get(sum).memory('v128.load32_lane', load.offset, lane)
        })
      } else {
        this.expr(p)
        code.op(`${p.type}x4.replace_lane`, lane)
      }
    }
  }
}

const same = (a: Expr, b: Expr): boolean => a === b || (a.op === 'local' && b.op === 'local' && a.local === b.local)
const word = new DataView(new ArrayBuffer(4))
const floatWord = (value: number) => {
  word.setFloat32(0, value)
  return word.getInt32(0)
}
