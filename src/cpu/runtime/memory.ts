// One linear memory for every buffer, kernel and scratch area of a device, and the allocator over it.
//
// Free ranges lie in bins by size class, eight classes to a power of two. An allocation takes the first range of the
// first bin whose ranges are all large enough, and gives back what it does not need; neighbours join when they are
// freed. All bookkeeping is on the JavaScript side, so a kernel that writes outside its buffers cannot destroy it.

const PAGE = 65536
const ALIGN = 64 // a cache line, so that two buffers never share one between threads
/** Bytes at the beginning that no allocation gets: the scheduler's control block. */
export const RESERVED = 4096
const LARGEST = 2 ** 32

/**
 * Size class of a range: its leading bit and the three bits below. Ranges of a class hold at least `floor` of the
 * class.
 */
function classOf(size: number): number {
  const power = 31 - Math.clz32(size / ALIGN)
  return power < 3 ? size / ALIGN : (power - 2) * 8 + (Math.floor(size / ALIGN / 2 ** (power - 3)) & 7)
}

/** The smallest class all of whose ranges hold `size`. */
function classFor(size: number): number {
  const power = 31 - Math.clz32(size / ALIGN)
  const step = power < 3 ? ALIGN : ALIGN * 2 ** (power - 3)
  return classOf(Math.ceil(size / step) * step)
}

interface Range {
  start: number
  end: number
}

function firstFit(ranges: Iterable<Range>, need: number, looks: number): Range | undefined {
  for (const range of ranges) {
    if (range.end - range.start >= need) return range
    if (--looks <= 0) return undefined
  }
  return undefined
}

// (func fill (param to value count)), (func copy (param to from count)): faster than TypedArray methods on shared
// memory
const bulkModule = (shared: boolean, maximumPages: number): Uint8Array => {
  const leb = (value: number): number[] =>
    value < 128 ? [value] : [(value & 127) | 128, ...leb(Math.floor(value / 128))]
  const section = (id: number, body: number[]): number[] => [id, ...leb(body.length), ...body]
  const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)]
  const code = (op: number[]): number[] => [12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, ...op, 0x0b]
  return new Uint8Array([
    0,
    97,
    115,
    109,
    1,
    0,
    0,
    0,
    ...section(1, [1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0]),
    ...section(2, [1, ...name('env'), ...name('memory'), 2, ...(shared ? [3, 0, ...leb(maximumPages)] : [0, 0])]),
    ...section(3, [2, 0, 0]),
    ...section(7, [2, ...name('fill'), 0, 0, ...name('copy'), 0, 1]),
    ...section(10, [2, ...code([11, 0]).with(0, 11), ...code([10, 0, 0])]),
  ])
}

/** The memory of one device: allocation, and views that follow its growth. */
export class LinearMemory {
  /** What kernels import as `env.memory`. */
  readonly wasm: WebAssembly.Memory
  /** Whether worker threads can see it. */
  readonly shared: boolean
  /** Most bytes it can ever hold. */
  readonly limit: number
  /** Bytes in use, in blocks of 64. */
  used = 0
  /** Most bytes that were in use at once. */
  peak = 0
  private readonly bins = new Map<number, Set<Range>>()
  private readonly byStart = new Map<number, Range>()
  private readonly byEnd = new Map<number, Range>()
  private top = RESERVED // beyond the last block in use or in a bin
  private touched = RESERVED // everything from here on was never handed out, so it is still zero
  private byteView: Uint8Array
  private wordView: Uint32Array
  private readonly bulk: {
    fill(to: number, value: number, count: number): void,
    copy(to: number, from: number, count: number): void,
  }

  /**
   * @param limit most bytes to hold, at most 4 GiB; where the system does not even reserve the addresses, half of it,
   * and so on
   * @param shared whether other threads take part
   */
  constructor(limit: number, shared: boolean) {
    this.shared = shared
    let pages = Math.max(2, Math.min(LARGEST / PAGE, Math.floor(limit / PAGE)))
    for (;;) {
      try {
        this.wasm = new WebAssembly.Memory({ initial: 2, maximum: pages, shared })
        break
      } catch (error) {
        if (pages < 1024) {
          throw new RangeError(
            `no addresses for the linear memory (${
              (error as Error).message
            }); it takes about 11 GB of them, though not of `
              + 'memory: raise `ulimit -v`',
            { cause: error },
          )
        }
        pages = Math.floor(pages / 2)
      }
    }
    this.limit = pages * PAGE
    this.byteView = new Uint8Array(this.wasm.buffer)
    this.wordView = new Uint32Array(this.wasm.buffer)
    const bytes = bulkModule(shared, LARGEST / PAGE) as Uint8Array<ArrayBuffer>
    this.bulk = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: this.wasm } }).exports as never
  }

  /** All bytes. Ask anew after every allocation: growth replaces the view. */
  get bytes(): Uint8Array {
    return this.byteView
  }

  /** The same as unsigned 32-bit words. */
  get words(): Uint32Array {
    return this.wordView
  }

  /**
   * Address of `size` zeroed bytes, a multiple of 64; undefined when the limit (or the machine) has no room for them.
   */
  allocate(size: number): number | undefined {
    const need = Math.max(1, Math.ceil(size / ALIGN)) * ALIGN
    if (need > this.limit) return undefined
    const range = this.take(need)
    if (!range && !this.reach(this.top + need)) return undefined
    const start = range ? range.start : this.top
    if (!range) this.top += need
    const dirty = Math.min(start + need, this.touched) - start
    if (dirty > 0) this.bulk.fill(start, 0, dirty)
    this.touched = Math.max(this.touched, this.top)
    this.used += need
    this.peak = Math.max(this.peak, this.used)
    return start
  }

  /** Gives back what `allocate(size)` gave at this address. */
  free(address: number, size: number): void {
    const need = Math.max(1, Math.ceil(size / ALIGN)) * ALIGN
    this.used -= need
    const before = this.byEnd.get(address), after = this.byStart.get(address + need)
    if (before) this.remove(before)
    if (after) this.remove(after)
    const start = before ? before.start : address, end = after ? after.end : address + need
    if (end === this.top) this.top = start
    else this.insert({ start, end })
  }

  /** Sets `count` bytes to `value`. */
  fill(address: number, value: number, count: number): void {
    this.bulk.fill(address, value, count)
  }

  /** Moves `count` bytes; the ranges may overlap. */
  copy(to: number, from: number, count: number): void {
    this.bulk.copy(to, from, count)
  }

  /** A copy of `count` bytes, outside the linear memory. */
  read(address: number, count: number): ArrayBuffer {
    const copy = new Uint8Array(count)
    copy.set(this.byteView.subarray(address, address + count))
    return copy.buffer
  }

  private take(need: number): Range | undefined {
    // ranges of the class that `need` itself lies in may or may not do, but one may be just what was freed a moment ago
    const own = this.bins.get(classOf(need)) ?? []
    let best = firstFit(own, need, 8)
    if (!best) {
      let bestClass = Infinity
      const least = classFor(need)
      for (const [sizeClass, bin] of this.bins) {
        if (sizeClass < least || sizeClass >= bestClass) continue
        bestClass = sizeClass
        best = bin.values().next().value
      }
    }
    best ??= firstFit(own, need, Infinity)
    if (!best) return undefined
    this.remove(best)
    if (best.end - best.start > need) this.insert({ start: best.start + need, end: best.end })
    return best
  }

  private insert(range: Range): void {
    const sizeClass = classOf(range.end - range.start)
    const bin = this.bins.get(sizeClass) ?? new Set()
    this.bins.set(sizeClass, bin.add(range))
    this.byStart.set(range.start, range)
    this.byEnd.set(range.end, range)
  }

  private remove(range: Range): void {
    const sizeClass = classOf(range.end - range.start), bin = this.bins.get(sizeClass)!
    bin.delete(range)
    if (bin.size === 0) this.bins.delete(sizeClass)
    this.byStart.delete(range.start)
    this.byEnd.delete(range.end)
  }

  private reach(end: number): boolean {
    const have = this.byteView.length
    if (end <= have) return true
    if (end > this.limit) return false
    const least = Math.ceil((end - have) / PAGE)
    const wish = Math.min(Math.max(least, Math.ceil(have / 8 / PAGE), 16), (this.limit - have) / PAGE)
    for (const pages of [wish, least]) {
      try {
        this.wasm.grow(pages)
        this.byteView = new Uint8Array(this.wasm.buffer)
        this.wordView = new Uint32Array(this.wasm.buffer)
        return true
      } catch { /* the machine has no more: try without the reserve, then say so */ }
    }
    return false
  }
}
