// Checkpoints: the file format, the records of pruned networks, metadata of others.
import type { HostileCase } from './case.ts'
import { type Draw, drawer } from './random.ts'
import { assemble, type Material, parts } from './material.ts'

type Header = Record<string, { dtype: string, shape: number[], data_offsets: [number, number] }>

const data = ['--data', 'cifar10:$/ten.bin', '--adapter', 'cpu']

/** A command that reads the network, in turn. */
function commandOn(draw: Draw): { args: string[], leaves?: string[] } {
  return draw.pick([
    { args: ['inspect', '$/net.safetensors'] },
    { args: ['inspect', '$/net.safetensors', '--units', '--json'] },
    { args: ['inspect', '$/net.safetensors', '--json'] },
    { args: ['eval', '$/net.safetensors', ...data] },
    { args: ['explain', '$/net.safetensors', '--image', '$/a.png', '--adapter', 'cpu'] },
  ])
}

const texts = [
  '',
  '\u001b[31m',
  'a\nb: ok',
  '\u202etxt.exe',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  '\u0000',
  'x'.repeat(5000),
  '🙂',
]
const junk: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  2 ** 53,
  1e308,
  -0,
  '',
  'x',
  [],
  {},
  [null],
  { toString: {} },
  [[]],
  'x'.repeat(100_000),
]

/** A JSON value with one place changed to junk. */
export function spoil(value: unknown, draw: Draw): unknown {
  if (typeof value !== 'object' || value === null || draw.chance(0.15)) return draw.pick(junk)
  const copy = structuredClone(value) as Record<string, unknown> & unknown[]
  const keys = Object.keys(copy)
  if (!keys.length) return draw.pick(junk)
  const key = draw.pick(keys)
  const action = draw.below(10)
  if (action === 0) delete copy[key as never]
  else if (action === 1) copy[draw.pick(texts) as never] = draw.pick(junk) as never
  else if (action === 2 && Array.isArray(copy)) copy.push(structuredClone(copy[key as never]))
  else copy[key as never] = spoil(copy[key as never], draw) as never
  return copy
}

/** Changes of the format itself: lengths, offsets, shapes, types, names. */
export function safetensorsCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `safetensors ${i}`)
  const file = Buffer.from(material.small)
  const { header, data: body } = parts(file)
  const kind = draw.below(12)
  const names = Object.keys(header).filter((name) => name !== '__metadata__'), name = draw.pick(names)
  const edited = structuredClone(header) as unknown as Header
  let bytes: Buffer, what: string
  if (kind === 0) [what, bytes] = ['cut', file.subarray(0, draw.below(file.length))]
  else if (kind === 1) {
    file.writeBigUInt64LE(
      draw.pick([0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, BigInt(draw.below(100_000))]),
      0,
    )
    ;[what, bytes] = ['length', file]
  } else if (kind === 2) {
    const length = 8 + Number(file.readBigUInt64LE(0))
    for (let flips = 1 + draw.below(3); flips > 0; flips--) file[8 + draw.below(length - 8)] ^= 1 << draw.below(8)
    ;[what, bytes] = ['bit of the header', file]
  } else if (kind === 3) {
    edited[name].shape = draw.pick([
      [-1],
      [2 ** 53],
      [2 ** 32, 2 ** 32],
      [0],
      [],
      [1.5],
      [1e308],
      Array.from({ length: 1000 }, () => 1),
      null as never,
    ])
    ;[what, bytes] = ['shape', assemble(edited, body)]
  } else if (kind === 4) {
    const [from, to] = edited[name].data_offsets
    edited[name].data_offsets = draw.pick([
      [to, from],
      [from, to + 4],
      [from - 4, to],
      [0, 2 ** 53],
      [-4, 0],
      [from + 1, to + 1],
      [NaN, to] as never,
      'x' as never,
    ])
    ;[what, bytes] = ['offsets', assemble(edited, body)]
  } else if (kind === 5) {
    edited[name].dtype = draw.pick(['F64', 'F16', 'BF16', 'I8', 'F7', 'constructor', '', 'f32', 3 as never, 'F8_E4M3'])
    ;[what, bytes] = ['dtype', assemble(edited, body)]
  } else if (kind === 6) {
    const weird = draw.pick(texts)
    const { [name]: entry, ...rest } = edited
    ;[what, bytes] = ['name', assemble({ ...rest, [weird]: entry }, body)]
  } else if (kind === 7) {
    const view = Buffer.from(body), at = 4 * draw.below(view.length / 4)
    view.writeFloatLE(draw.pick([NaN, Infinity, -Infinity, 3.4e38, 1e-45]), at)
    ;[what, bytes] = ['weight', assemble(edited, view)]
  } else if (kind === 8) {
    const depth = draw.pick([100, 10_000, 200_000])
    ;[what, bytes] = [`nested ${depth}`, assemble(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`, Buffer.alloc(0))]
  } else if (kind === 9) {
    ;[what, bytes] = [
      'long string',
      assemble({ __metadata__: { note: 'x'.repeat(draw.pick([1e5, 1e7])) }, ...edited }, body),
    ]
  } else if (kind === 10) [what, bytes] = ['random bytes', draw.bytes(draw.below(5000))]
  else [what, bytes] = ['junk', assemble(spoil(edited, draw) as object ?? 'null', body)]
  const refusedAlways = kind === 10
  return {
    kind: 'safetensors',
    name: `${i} ${what}`,
    files: { ...material.base, 'net.safetensors': bytes },
    codes: refusedAlways ? [2] : [0, 1, 2],
    ...commandOn(draw),
  }
}

/** Changes of our own record: architecture, preprocessing, kept indices, scatters, constants. */
export function recordCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `record ${i}`), { header, data: body } = parts(material.pruned)
  const metadata = (header as unknown as { __metadata__: { espalier: string } }).__metadata__
  const record = JSON.parse(metadata.espalier) as {
    pruning: { units: { kept: unknown }[], scatters: Record<string, unknown> },
  }
  const which = draw.below(5)
  let changed: unknown
  if (which === 0) {
    const unit = draw.pick(record.pruning.units)
    unit.kept = draw.pick<unknown>([
      [],
      [0, 0],
      [1, 0],
      [-1],
      [0.5],
      [2 ** 53],
      [99],
      null,
      'all',
      Array.from({ length: 10_000 }, (_, j) => j),
      { length: 3 },
    ])
    changed = record
  } else if (which === 1) {
    record.pruning.units = draw.pick<never[]>([
      [null] as never[],
      [],
      [{}] as never[],
      [...record.pruning.units, ...record.pruning.units] as never[],
      [{ name: 'nobody', size: 8, kept: [0] }] as never[],
      record.pruning.units.slice(1) as never[],
    ])
    changed = record
  } else changed = spoil(record, draw)
  const text = which === 4 && draw.chance(0.5)
    ? draw.pick(['', '{', 'null', '[]', '1', '{"format":2}', `${'['.repeat(50_000)}`])
    : JSON.stringify(changed)
  const file = assemble({ ...header, __metadata__: { ...metadata, espalier: text } }, body)
  return {
    kind: 'records',
    name: `${i}`,
    files: { ...material.base, 'net.safetensors': file },
    codes: [0, 1, 2],
    ...commandOn(draw),
  }
}

/** An architecture that asks for more than there is. */
export function architectureCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `architecture ${i}`), { header, data: body } = parts(material.small)
  const type = draw.pick(['vit', 'swin', 'resnet', 'vgg', 'mlp', 'flatten-pvt', 'vit-compact', 'no-such', '__proto__'])
  const big = draw.pick<unknown>([512, 1024, 4096, 16384, 2 ** 20, 2 ** 31, 2 ** 53, -1, 0, 1.5, 'x', null, [], [
    512,
    512,
  ], {}])
  const option = draw.pick([
    'depth',
    'depths',
    'width',
    'hidden',
    'heads',
    'classes',
    'image',
    'patch',
    'layers',
    'plan',
    'windows',
    'inputs',
    'toString',
    '__proto__',
  ])
  const architecture = draw.chance(0.2)
    // tables of relative positions and masks of shifted windows grow with the fourth power of these
    ? {
      type: 'swin',
      image: draw.pick([4096, 32_768, 2 ** 20]),
      patch: 1,
      windows: draw.pick([512, 4096, 2 ** 16]),
      ...draw.chance(0.5) ? { fit: 'pad' } : {},
    }
    : { type, [option]: big, ...draw.chance(0.3) ? { depth: 512, width: 1024 } : {} }
  if (draw.chance(0.5)) {
    return {
      kind: 'architectures',
      name: `${i} --arch`,
      files: material.base,
      args: ['inspect', '$/net.safetensors', '--arch', JSON.stringify(architecture)],
      codes: [2],
    }
  }
  const file = assemble({
    ...header,
    __metadata__: { espalier: JSON.stringify({ format: 1, naming: 'espalier', architecture }) },
  }, body)
  return {
    kind: 'architectures',
    name: `${i} metadata`,
    files: { ...material.base, 'net.safetensors': file },
    args: ['inspect', '$/net.safetensors'],
    codes: [2],
  }
}
