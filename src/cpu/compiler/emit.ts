// WASM code from the tree of regions: the frame around the kernel and the loops over invocations.
import { epochKind } from './debug.ts'
import { Code } from './encode.ts'
import type { WasmFunction } from './encode.ts'
import { StmtEmitter, TURNS } from './emit-stmt.ts'
import type { EmitOptions } from './emit-stmt.ts'
import { get } from './ir.ts'
import type { Expr, Local } from './ir.ts'
import type { Lowered } from './lower.ts'
import type { Group, RegionTree, Region } from './regions.ts'

/** Emits `run`. */
export function emitKernel(lowered: Lowered, tree: RegionTree, options: EmitOptions): WasmFunction {
  return new Emitter(lowered, tree, options).run()
}

class Emitter extends StmtEmitter {
  private readonly crossing = new Map<Local, { offset: number, wide: boolean }>()
  private readonly wideBytes: number
  private readonly tree: RegionTree
  private readonly ids: { x: number, y: number, z: number, index: number, narrow: number, wide: number }

  constructor(lowered: Lowered, tree: RegionTree, options: EmitOptions) {
    super(lowered, options)
    this.tree = tree
    this.countReads(tree.groups)
    const { inputs } = lowered.state
    const id = (e: Expr) => e.op === 'local' ? this.indexOf(e.local) : this.fresh('i32')
    const [x, y, z] = inputs.local.map(id)
    const count = lowered.size[0] * lowered.size[1] * lowered.size[2]
    this.ids = {
      x,
      y,
      z,
      index: inputs.index.op === 'local' ? this.indexOf(inputs.index.local) : this.fresh('i32'),
      narrow: this.fresh('i32'),
      wide: this.fresh('i32'),
    }
    // The vectors of an invocation lie side by side, where an engine may take two at once; the scalars lie invocation
    // after invocation.
    const wide = tree.crossing.filter((local) => local.type === 'v128')
    this.wideBytes = 16 * wide.length
    wide.forEach((local, i) => this.crossing.set(local, { offset: options.crossingOffset + 16 * i, wide: true }))
    tree.crossing.filter((local) => local.type !== 'v128')
      .forEach((local, i) =>
        this.crossing.set(local, { offset: options.crossingOffset + count * (this.wideBytes + 4 * i), wide: false })
      )
  }

  private countReads(groups: Group[]) {
    for (const g of groups) {
      if (g.op === 'set') this.countExpr(g.value)
      else if (g.op === 'if') {
        this.countExpr(g.cond)
        this.countReads(g.then)
        this.countReads(g.otherwise)
      } else if (g.op === 'block' || g.op === 'loop') this.countReads(g.body)
      else if (g.op === 'region') {
        this.countStatements(g.body)
        g.again.forEach((a) => this.countExpr(a.value))
        for (const local of [...g.store, ...g.restore]) this.countExpr(get(local))
        if (g.from) this.countExpr(g.from)
        if (g.to) this.countExpr(g.to)
      }
    }
  }

  run(): WasmFunction {
    const { code, lowered: { state } } = this, { groups, group } = state.inputs
    const at = (e: Expr) => e.op === 'local' ? this.indexOf(e.local) : -1
    const [block, scratch, first, last] = [0, 1, 2, 3]
    code.get(first).get(last).op('i32.ge_u').if().byte(0x0f).end()
    groups.forEach((g, i) => code.get(block).memory('i32.load', 4 * i).set(at(g)))
    for (const slot of state.slots.values()) {
      code.get(block).memory('i32.load', 16 + 8 * slot.index).set(this.indexOf(slot.address))
      code.get(block).memory('i32.load', 20 + 8 * slot.index).set(this.indexOf(slot.bytes))
    }
    code.get(scratch).set(this.indexOf(state.inputs.workgroupBase))
    for (const s of state.prologue) this.statement(s)
    if (this.options.epochFunction !== null) code.get(scratch).i32(epochKind.run).call(this.options.epochFunction)
    code.i32(TURNS).set(this.turns)
    const head = code.length, now = this.fresh('i32')
    if (this.options.permuted) code.get(last).set(now)
    else code.get(first).set(now)
    code.loop()
    if (this.options.permuted) code.get(now).i32(1).op('i32.sub').set(now)
    code.get(now).get(at(groups[0])).op('i32.rem_u').set(at(group[0]))
    code.get(now).get(at(groups[0])).op('i32.div_u').get(at(groups[1])).op('i32.rem_u').set(at(group[1]))
    code.get(now).get(at(groups[0])).op('i32.div_u').get(at(groups[1])).op('i32.div_u').set(at(group[2]))
    this.tick(0)
    if (state.workgroupBytes) code.get(scratch).i32(0).i32(state.workgroupBytes).fill()
    if (this.options.epochFunction !== null) {
      code.get(scratch).i32(epochKind.nextWorkgroup).call(
        this.options.epochFunction,
      )
    }
    this.labels.push(null)
    this.groups(this.tree.groups)
    this.labels.pop()
    if (this.options.permuted) code.get(now).get(first).op('i32.gt_u').brIf(0)
    else code.get(now).i32(1).op('i32.add').tee(now).get(last).op('i32.lt_u').brIf(0)
    code.end()
    return { params: ['i32', 'i32', 'i32', 'i32'], results: [], locals: this.locals, body: this.withConstants(head) }
  }

  /**
   * A vector constant inside a loop is four instructions each time it is used. Taken through memory once, the engine
   * cannot know it for a constant and keeps it in a register or on the stack.
   */
  private withConstants(head: number): Code {
    const { code, options } = this, whole = new Code()
    for (let i = 0; i < head; i++) whole.byte(code.bytes[i])
    for (const { words, index } of this.constants.values()) {
      whole.get(1).v128(words).memory('v128.store', options.constantOffset)
      whole.get(1).memory('v128.load', options.constantOffset).set(index)
    }
    for (let i = head; i < code.length; i++) whole.byte(code.bytes[i])
    return whole
  }
  private groups(list: Group[]) {
    const { code } = this
    for (const g of list) {
      switch (g.op) {
        case 'region':
          this.region(g)
          break
        case 'set':
          this.set(g.local, g.value)
          break
        case 'br':
          code.br(this.depth(g.label))
          break
        case 'barrier':
          if (this.options.epochFunction !== null) {
            const kind = g.what === 'storageBarrier' ? epochKind.storageBarrier : epochKind.workgroupBarrier
            code.get(1).i32(kind).call(this.options.epochFunction)
          }
          break
        case 'if':
          this.expr(g.cond)
          code.if()
          this.nested(null, () => this.groups(g.then))
          if (g.otherwise.length) {
            code.else()
            this.nested(null, () => this.groups(g.otherwise))
          }
          code.end()
          break
        default:
          if (g.op === 'loop') code.loop()
          else code.block()
          this.nested(g.label, () => {
            if (g.op === 'loop' && g.label.loop) this.tick(g.label.loop.line)
            this.groups(g.body)
          })
          code.end()
      }
    }
  }
  /** The loop over invocations: x inside y inside z, or backwards if permuted. */
  private region(region: Region) {
    const { code, ids, lowered: { size } } = this
    if (region.looped) {
      this.list(region.body)
      return
    }
    const saved = region.restore.map((local) => {
      const copy = this.fresh(local.type)
      code.get(this.indexOf(local)).set(copy)
      return { local, copy }
    })
    const wide = size.map((s) => s > 1), dims = [ids.x, ids.y, ids.z]
    const flat = wide.filter(Boolean).length <= 1, only = wide.indexOf(true)
    const step = this.options.permuted ? -1 : 1
    if (!flat) code.i32(this.options.permuted ? size[0] * size[1] * size[2] - 1 : 0).set(ids.index)
    if (only < 0) {
      this.invocation(region, saved, true)
      return
    }
    if (flat) {
      const id = dims[only]
      if (region.to) {
        this.borrow('i32', (end) => {
          this.expr(region.to!)
          code.set(end)
          this.shortLoop(region, saved, id, end)
        })
        return
      }
      code.i32(step > 0 ? 0 : size[only] - 1).set(id).loop()
      this.nested(null, () => this.invocation(region, saved, true))
      this.advance(id, size[only], step)
      code.end()
      return
    }
    const nest = (d: number) => {
      if (d < 0) {
        this.invocation(region, saved, false)
        code.get(ids.index).i32(step).op('i32.add').set(ids.index)
        return
      }
      if (!wide[d]) {
        nest(d - 1)
        return
      }
      code.i32(step > 0 ? 0 : size[d] - 1).set(dims[d]).loop()
      this.nested(null, () => nest(d - 1))
      this.advance(dims[d], size[d], step)
      code.end()
    }
    nest(2)
  }
  private advance(id: number, count: number, step: number) {
    const { code } = this
    code.get(id).i32(step).op('i32.add').tee(id)
    if (step > 0) code.i32(count).op('i32.lt_u')
    else code.i32(0).op('i32.ge_s')
    code.brIf(0)
  }
  private shortLoop(region: Region, saved: { local: Local, copy: number }[], id: number, end: number) {
    const { code } = this
    if (region.from) this.expr(region.from)
    else code.i32(0)
    code.set(id)
    code.get(id).get(end).op('i32.lt_u').if()
    this.labels.push(null)
    code.loop()
    this.nested(null, () => this.invocation(region, saved, true))
    code.get(id).i32(1).op('i32.add').tee(id).get(end).op('i32.lt_u').brIf(0)
    code.end()
    this.labels.pop()
    code.end()
  }

  private invocation(region: Region, saved: { local: Local, copy: number }[], flat: boolean) {
    const { code, ids, options, lowered: { state, size } } = this
    const index = flat ? [ids.x, ids.y, ids.z][Math.max(0, size.findIndex((s) => s > 1))] : ids.index
    const single = size.every((s) => s === 1)
    const pushIndex = () => {
      if (single) code.i32(0)
      else code.get(index)
    }
    if (state.privateBytes) {
      code.get(1).i32(options.privateOffset).op('i32.add')
      if (options.privateStride) {
        pushIndex()
        code.i32(options.privateStride).op('i32.mul').op('i32.add')
      }
      code.set(this.indexOf(state.inputs.privateBase))
    }
    const crossing = [...region.load, ...region.store]
    for (const wide of [true, false]) {
      if (!crossing.some((local) => this.crossing.get(local)!.wide === wide)) continue
      pushIndex()
      code.i32(wide ? this.wideBytes : 4).op('i32.mul').get(1).op('i32.add').set(wide ? ids.wide : ids.narrow)
    }
    for (const { local, copy } of saved) code.get(copy).set(this.indexOf(local))
    for (const local of region.load) {
      const { offset, wide } = this.crossing.get(local)!
      code.get(wide ? ids.wide : ids.narrow).memory(`${local.type}.load`, offset).set(this.indexOf(local))
    }
    for (const { local, value } of region.again) this.set(local, value)
    if (region.end.used) {
      code.block()
      this.nested(region.end, () => this.list(region.body))
      code.end()
    } else this.list(region.body)
    for (const local of region.store) {
      const { offset, wide } = this.crossing.get(local)!
      code.get(wide ? ids.wide : ids.narrow).get(this.indexOf(local)).memory(`${local.type}.store`, offset)
    }
  }
}
