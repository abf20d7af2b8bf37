// What `check-kernel` feeds a kernel: buffers filled by type, with sizes, parameters and grid from a small JSON file
// beside the kernel, or guessed where there is none.
import type { BindingInfo } from '../cpu/abi.ts'
import { type Program, type VarDecl, walk } from '../cpu/compiler/tree.ts'
import { elementScalar, sizeOf, strideOf, type Type, typeName } from '../cpu/compiler/types.ts'
import { InputError } from '../base/errors.ts'
import { plain, quoted, shown } from '../base/quote.ts'

/**
 * One way to start a kernel: everything may be left out. The JSON beside a kernel holds one of these, or an array of
 * them.
 */
export interface Setup {
  /** Entry point; default every one of the file. */
  entry?: string
  /** Workgroups along x, y, z. */
  grid?: number[]
  /** Elements of storage arrays without a fixed size, by variable. */
  sizes?: Record<string, number>
  /** Fields of uniform structs, and uniform scalars, by name. */
  params?: Record<string, number>
  /** First numbers of a buffer; generated ones fill the rest. */
  values?: Record<string, number[]>
  /**
   * Least and greatest generated number of a buffer; default -1 to 1, and 0 to 3 for integers, which are mostly
   * indices.
   */
  ranges?: Record<string, [number, number]>
  overrides?: Record<string, number>
  /** Marker comments replaced before anything else: by text, or by a file beside the kernel if it ends with .wgsl. */
  splice?: Record<string, string>
}

/** A buffer ready to be bound. */
export interface Input {
  binding: BindingInfo
  type: string
  elements: number
  bytes: Uint8Array<ArrayBuffer>
}

/** A start of one entry point with everything decided. */
export interface Inputs {
  grid: [number, number, number]
  buffers: Input[]
}

const known: Record<keyof Setup, 'string' | 'numbers' | 'table' | 'texts' | 'lists'> = {
  entry: 'string',
  grid: 'numbers',
  sizes: 'table',
  params: 'table',
  values: 'lists',
  ranges: 'lists',
  overrides: 'table',
  splice: 'texts',
}

/** Reads a kernel's JSON. @throws InputError that names the file and the field. */
export function readSetups(text: string, file: string): Setup[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new InputError(`${file}: expected JSON, found something else: ${plain((error as Error).message, 120)}`)
  }
  const list: unknown[] = Array.isArray(parsed) ? parsed : [parsed]
  for (const setup of list) {
    if (typeof setup !== 'object' || setup === null || Array.isArray(setup)) {
      throw new InputError(`${file}: expected an object or an array of objects, found ${shown(setup)}`)
    }
    for (const [field, value] of Object.entries(setup)) {
      if (!Object.hasOwn(known, field)) {
        throw new InputError(
          `${file}: there is no field ${quoted(field, 60)}; expected ${Object.keys(known).join(', ')}`,
        )
      }
      if (!fits(known[field as keyof Setup], value)) {
        throw new InputError(
          `${file}: field '${field}' is ${shown(value)}, expected ${wanted[known[field as keyof Setup]]}`,
        )
      }
    }
    const { grid = [], sizes = {} } = setup as Setup
    if (grid.length > 3 || grid.some((n) => !Number.isInteger(n) || n < 1 || n > 65535)) {
      throw new InputError(`${file}: grid is [${grid}], expected one to three whole numbers from 1 to 65535`)
    }
    for (const [name, n] of Object.entries(sizes)) {
      if (!Number.isInteger(n) || n < 1 || n > 2 ** 26) {
        throw new InputError(
          `${file}: the size of ${quoted(name, 60)} is ${n}, expected a whole number from 1 to ${2 ** 26}`,
        )
      }
    }
  }
  return list as Setup[]
}

const wanted = {
  string: 'a string',
  numbers: 'an array of numbers',
  table: 'an object of numbers',
  texts: 'an object of strings',
  lists: 'an object of arrays of numbers',
}

function fits(what: keyof typeof wanted, value: unknown): boolean {
  const numbers = (list: unknown) => Array.isArray(list) && list.every((n) => typeof n === 'number')
  const each = (test: (one: unknown) => boolean) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(test)
  switch (what) {
    case 'string':
      return typeof value === 'string'
    case 'numbers':
      return numbers(value)
    case 'table':
      return each((n) => typeof n === 'number' && Number.isFinite(n))
    case 'texts':
      return each((text) => typeof text === 'string')
    case 'lists':
      return each(numbers)
  }
}

/** Every whole-number field of the uniforms an entry point uses. */
function wholeParams(decls: VarDecl[]): string[] {
  const fields = decls.filter(({ space }) => space === 'uniform').flatMap(({ name, type }) =>
    type.kind === 'struct' ? type.members.map((member) => ({ name: member.name, type: member.type })) : [{ name, type }]
  )
  return fields.filter(({ type }) => type.kind === 'scalar' && (type.name === 'u32' || type.name === 'i32')).map((
    { name },
  ) => name)
}

/**
 * Buffers and grid for one entry point. What the setup leaves open is guessed so that sizes, parameters and grid fit
 * together: without whole-number parameters every array has as many elements as there are invocations, and a few less
 * where the kernel asks for its length, which is its guard; with one parameter it is nearly that many and the arrays'
 * length; with several each is 4 and arrays have room for their product.
 * @throws InputError where the setup names a variable or field that the kernel does not have.
 */
export function makeInputs(
  program: Program,
  bindings: BindingInfo[],
  workgroup: [number, number, number],
  setup: Setup,
  file: string,
): Inputs {
  const decls = bindings.map(({ name }) => program.scope.get(name) as VarDecl)
  const whole = wholeParams(decls)
  const all = new Set(
    decls.flatMap(({ name, type, space }) =>
      space === 'uniform' && type.kind === 'struct' ? type.members.map((member) => member.name) : [name]
    ),
  )
  for (const field of ['sizes', 'params', 'values', 'ranges'] as const) {
    const stray = Object.keys(setup[field] ?? {}).find((name) =>
      !all.has(name) && !decls.some((decl) => decl.name === name)
    )
    if (stray) {
      throw new InputError(
        `${file}: ${field} names ${quoted(stray, 60)}, which the kernel does not use; it has ${[...all].join(', ')}`,
      )
    }
  }
  const free = whole.filter((name) => setup.params?.[name] === undefined)
  const given = setup.grid
  const grid: [number, number, number] = given
    ? [given[0] ?? 1, given[1] ?? 1, given[2] ?? 1]
    : [whole.length > 1 ? 4 : 3, workgroup[1] > 1 ? 4 : 1, workgroup[2] > 1 ? 4 : 1]
  const invocations = grid[0] * grid[1] * grid[2] * workgroup[0] * workgroup[1] * workgroup[2]
  // a few less than the grid covers, so that a missing guard shows
  const guess = whole.length > 1 ? 4 : Math.max(1, invocations - (invocations > 8 ? 5 : 0))
  const params: Record<string, number> = { ...Object.fromEntries(free.map((name) => [name, guess])), ...setup.params }
  const product = whole.reduce((sum, name) => sum * Math.max(1, params[name]), 1)
  const asked = whole.length ? new Set<string>() : lengthsAsked(program)
  const roomOf = (name: string): number =>
    setup.sizes?.[name]
      ?? (whole.length ? Math.min(product, 1 << 20) : asked.has(name) ? guess : invocations)
  const sizeAt = (decl: VarDecl, i: number): number =>
    runtimeArray(decl.type)
      ? sizeOf(decl.type, undefined, roomOf(decl.name))
      : bindings[i].minSize
  const taken = decls.reduce((sum, decl, i) => sum + sizeAt(decl, i), 0)
  if (taken > BYTES_LIMIT) {
    throw new InputError(
      `${file}: the buffers would take ${taken} bytes, more than ${BYTES_LIMIT}; give smaller sizes in the setup`,
    )
  }
  const buffers = decls.map((decl, i): Input => {
    const tail = runtimeArray(decl.type)
    const elements = roomOf(decl.name)
    const size = sizeAt(decl, i)
    const bytes = new Uint8Array(Math.ceil(size / 4) * 4)
    const range = setup.ranges?.[decl.name]
    fill(new DataView(bytes.buffer), decl.type, 0, {
      tail: elements,
      params: decl.space === 'uniform' ? params : null,
      name: decl.name,
      next: numbers(decl.name, setup.values?.[decl.name] ?? [], range && [range[0], range[1]]),
    })
    return { binding: bindings[i], type: typeName(decl.type), elements: tail ? elements : 1, bytes }
  })
  return { grid, buffers }
}

/** The arrays that a module calls `arrayLength` on. */
function lengthsAsked({ decls }: Program): Set<string> {
  const asked = new Set<string>()
  for (const decl of decls) {
    if (decl.kind !== 'function') continue
    walk(decl.body, (node) => {
      if (node.kind !== 'call' || !('callee' in node) || node.callee !== 'arrayLength') return
      for (const arg of node.args) walk(arg, (part) => void (part.kind === 'name' && asked.add(part.name)))
    })
  }
  return asked
}

/** Most bytes of all buffers of a run. */
const BYTES_LIMIT = 2 ** 29

const runtimeArray = (type: Type): boolean =>
  type.kind === 'array' ? type.count === null : type.kind === 'struct' && runtimeArray(type.members.at(-1)!.type)

/** The given numbers, then seeded ones of a range; integers are smaller, because they are mostly indices. */
function numbers(name: string, given: number[], range: [number, number] | undefined) {
  let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0, 7)
  let at = 0
  return (whole: boolean): number => {
    if (at < given.length) return given[at++]
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const [low, high] = range ?? (whole ? [0, 3] : [-1, 1])
    const value = low + state / 2 ** 32 * (high - low + (whole ? 1 : 0))
    return whole ? Math.floor(value) : value
  }
}

interface Filling {
  tail: number
  params: Record<string, number> | null
  name: string
  next: (whole: boolean) => number
}

/** Writes a value of a type at an offset, scalar by scalar. */
function fill(view: DataView, type: Type, at: number, filling: Filling): void {
  switch (type.kind) {
    case 'atomic':
    case 'scalar': {
      const scalar = elementScalar(type)!.name
      const set = filling.params?.[filling.name]
      const value = set
        ?? (filling.params && scalar === 'f32' ? 0.5 : filling.next(scalar !== 'f32' && scalar !== 'f16'))
      if (scalar === 'f32') view.setFloat32(at, value, true)
      else if (scalar === 'f16') view.setUint16(at, halfBits(value), true)
      else view.setInt32(at, value, true)
      return
    }
    case 'vec': {
      const each = sizeOf(type.of)
      for (let i = 0; i < type.size; i++) fill(view, type.of, at + i * each, filling)
      return
    }
    case 'mat': {
      const each = sizeOf(type) / type.columns, scalar = sizeOf(type.of)
      for (let c = 0; c < type.columns; c++) {
        for (let r = 0; r < type.rows; r++) fill(view, type.of, at + c * each + r * scalar, filling)
      }
      return
    }
    case 'array': {
      const count = type.count === null ? filling.tail : Number(type.count), each = strideOf(type)
      for (let i = 0; i < count; i++) fill(view, type.of, at + i * each, filling)
      return
    }
    case 'struct':
      for (const member of type.members) {
        fill(view, member.type, at + member.offset, { ...filling, name: filling.params ? member.name : filling.name })
      }
      return
    default:
  }
}

/** The f16 bits of a number of ordinary size, cut off; enough for test data. */
function halfBits(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0]
  const exponent = ((bits >>> 23) & 255) - 112
  return (bits >>> 16 & 0x8000) | (exponent <= 0 ? 0 : Math.min(exponent, 30) << 10 | (bits >>> 13 & 1023))
}
