// The binary format of WASM: a growing byte buffer with LEB128 numbers, and a module of a few functions.
import { memoryOps, opcodes } from './opcodes.ts'
import type { WasmType } from './opcodes.ts'

const typeByte: Record<WasmType, number> = { i32: 0x7f, f32: 0x7d, v128: 0x7b }
const floatBytes = new DataView(new ArrayBuffer(4))

/** Bytes of a function body or section, appended in order. */
export class Code {
  bytes: Uint8Array = new Uint8Array(1024)
  length = 0
  byte(value: number): this {
    if (this.length === this.bytes.length) {
      const larger = new Uint8Array(2 * this.length)
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.bytes[this.length++] = value
    return this
  }
  /** Unsigned LEB128, up to 32 bits. */
  u(value: number): this {
    let rest = value >>> 0
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    return this.byte(rest)
  }
  /** Signed LEB128 of an i32. */
  s(value: number): this {
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && !(low & 0x40)) || (rest === -1 && low & 0x40)) return this.byte(low)
      this.byte(low | 0x80)
    }
  }
  append(other: Code): this {
    for (let i = 0; i < other.length; i++) this.byte(other.bytes[i])
    return this
  }
  text(value: string): this {
    const bytes = new TextEncoder().encode(value)
    this.u(bytes.length)
    for (const b of bytes) this.byte(b)
    return this
  }
  /** An instruction without immediates, or with one lane index. */
  op(name: string, lane?: number): this {
    const found = opcodes.get(name)
    if (!found) throw new Error(`unknown instruction ${name}`)
    if (found.prefix) this.byte(found.prefix).u(found.code)
    else this.byte(found.code)
    return lane === undefined ? this : this.byte(lane)
  }
  memory(name: string, offset: number, lane?: number): this {
    const found = memoryOps[name]
    if (found.prefix) this.byte(found.prefix).u(found.code)
    else this.byte(found.code)
    this.u(found.align).u(offset)
    return lane === undefined ? this : this.byte(lane)
  }
  i32(value: number): this {
    return this.byte(0x41).s(value)
  }
  f32(value: number): this {
    floatBytes.setFloat32(0, value, true)
    this.byte(0x43)
    for (let i = 0; i < 4; i++) this.byte(floatBytes.getUint8(i))
    return this
  }
  /** A vector constant from four 32-bit patterns. */
  v128(words: readonly number[]): this {
    this.byte(0xfd).u(12)
    for (const word of words) for (let i = 0; i < 4; i++) this.byte((word >>> (8 * i)) & 255)
    return this
  }
  shuffle(bytes: readonly number[]): this {
    this.byte(0xfd).u(13)
    for (const b of bytes) this.byte(b)
    return this
  }
  get(local: number): this {
    return this.byte(0x20).u(local)
  }
  set(local: number): this {
    return this.byte(0x21).u(local)
  }
  tee(local: number): this {
    return this.byte(0x22).u(local)
  }
  select(type: WasmType): this {
    return type === 'v128' ? this.byte(0x1c).u(1).byte(typeByte.v128) : this.byte(0x1b)
  }
  block(): this {
    return this.byte(0x02).byte(0x40)
  }
  loop(): this {
    return this.byte(0x03).byte(0x40)
  }
  if(result?: WasmType): this {
    return this.byte(0x04).byte(result ? typeByte[result] : 0x40)
  }
  else(): this {
    return this.byte(0x05)
  }
  end(): this {
    return this.byte(0x0b)
  }
  br(depth: number): this {
    return this.byte(0x0c).u(depth)
  }
  brIf(depth: number): this {
    return this.byte(0x0d).u(depth)
  }
  call(index: number): this {
    return this.byte(0x10).u(index)
  }
  /** memory.fill: destination, value, count on the stack. */
  fill(): this {
    return this.byte(0xfc).u(11).byte(0)
  }
}

/** A function: its parameters, the types of its further locals in order, and its body without the closing end. */
export interface WasmFunction {
  params: WasmType[]
  results: WasmType[]
  locals: WasmType[]
  body: Code
}

/** Numbers of the functions every module imports: `tick(line)`, and `report` in the modes that report. */
export const importedFunction = { tick: 0, report: 1 } as const

/**
 * Assembles a module that imports `env.memory` (and `env.report`, as function 0) and exports the last function as
 * `run`.
 */
export function encodeModule(
  functions: WasmFunction[],
  options: { sharedMemory: boolean, report: boolean },
): Uint8Array {
  const out = new Code()
  for (const b of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(b)
  const section = (id: number, fill: (code: Code) => void) => {
    const content = new Code()
    fill(content)
    out.byte(id).u(content.length).append(content)
  }
  const imported = options.report ? 2 : 1
  section(1, (code) => {
    code.u(functions.length + imported)
    code.byte(0x60).u(1).byte(0x7f).u(0)
    if (options.report) code.byte(0x60).u(4).byte(0x7f).byte(0x7f).byte(0x7f).byte(0x7f).u(0)
    for (const fn of functions) {
      code.byte(0x60).u(fn.params.length)
      for (const p of fn.params) code.byte(typeByte[p])
      code.u(fn.results.length)
      for (const r of fn.results) code.byte(typeByte[r])
    }
  })
  section(2, (code) => {
    code.u(1 + imported)
    code.text('env').text('memory').byte(2).byte(options.sharedMemory ? 3 : 1).u(1).u(65536)
    code.text('env').text('tick').byte(0).u(importedFunction.tick)
    if (options.report) code.text('env').text('report').byte(0).u(importedFunction.report)
  })
  section(3, (code) => {
    code.u(functions.length)
    functions.forEach((_, i) => code.u(i + imported))
  })
  section(7, (code) => code.u(1).text('run').byte(0).u(functions.length - 1 + imported))
  section(10, (code) => {
    code.u(functions.length)
    for (const fn of functions) {
      const body = new Code()
      const groups: { type: WasmType, count: number }[] = []
      for (const type of fn.locals) {
        if (groups.at(-1)?.type === type) groups.at(-1)!.count++
        else groups.push({ type, count: 1 })
      }
      body.u(groups.length)
      for (const g of groups) body.u(g.count).byte(typeByte[g.type])
      body.append(fn.body).end()
      code.u(body.length).append(body)
    }
  })
  return out.bytes.slice(0, out.length)
}
