// Pictures and data sets.
import { gzipSync } from 'node:zlib'
import type { HostileCase } from './case.ts'
import { spoil } from './checkpoints.ts'
import { assemble, type Material, pngChunk, pngHead, pngOf, pngStart, zeros } from './material.ts'
import { drawer } from './random.ts'

/** A picture that is damaged, or a bomb. */
export function pictureCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `picture ${i}`)
  const original = Buffer.from(draw.pick([material.png, material.jpeg]))
  const end = pngChunk('IEND', Buffer.alloc(0))
  const makers: [string, () => Buffer][] = [
    ['cut', () => original.subarray(0, draw.below(original.length))],
    ['flipped', () => {
      for (let flips = 1 + draw.below(8); flips > 0; flips--) {
        original[draw.below(original.length)] ^= 1 << draw.below(8)
      }
      return original
    }],
    [
      'claims more than it has',
      () =>
        Buffer.concat([
          pngStart,
          pngHead(draw.pick([0, 1, 30_000, 2 ** 31 - 1, 2 ** 32 - 1]), draw.pick([1, 2, 30_000, 2 ** 31])),
          pngChunk('IDAT', zeros(1000)),
          end,
        ]),
    ],
    ['thin', () => draw.pick([pngOf(2, 30_000), pngOf(30_000, 2), pngOf(1, 60_000)])],
    ['no palette', () => pngOf(20, 20, { colour: 3 })],
    [
      'odd depth',
      () => pngOf(20, 20, { depth: draw.pick([0, 3, 5, 16, 32, 255]), colour: draw.pick([0, 1, 2, 3, 4, 5, 6, 7]) }),
    ],
    [
      'profile bomb',
      () =>
        Buffer.concat([
          pngStart,
          pngHead(8, 8),
          pngChunk('iCCP', Buffer.concat([Buffer.from('p\0\0'), zeros(2 ** 26)])),
          pngChunk('IDAT', zeros(25 * 8)),
          end,
        ]),
    ],
    ['data bomb', () => pngOf(8, 8, { data: zeros(2 ** 26) })],
    ['many scans', () => scansOf(material.progressive, draw.pick([2, 100, 3000, 20_000]), draw.pick([64, 1000, 5000]))],
    [
      'large',
      () => draw.pick([pngOf(8192, 8192, { depth: 16 }), pngOf(16_384, 4096), pngOf(6000, 6000, { colour: 6 })]),
    ],
    ['interlace', () => pngOf(9, 7, { interlaced: draw.pick([1, 2, 255]) })],
    [
      'random',
      () => Buffer.concat([draw.pick([pngStart, Buffer.from([0xff, 0xd8, 0xff])]), draw.bytes(draw.below(2000))]),
    ],
    [
      'another format',
      () => Buffer.from(draw.pick(['GIF89a', 'RIFF0000WEBPVP8 ', '<html>', '%PDF-1.4', 'BM', '', '\0\0\0 ftypavif'])),
    ],
  ]
  const [what, make] = draw.pick(makers)
  const resize = draw.pick<string[]>([[], [], [], ['--resize', '256'], ['--resize', '16384'], ['--resize', '0'], [
    '--crop',
    '100000',
  ]])
  return {
    kind: 'pictures',
    name: `${i} ${what} ${resize.join(' ')}`,
    files: { ...material.base, 'a.png': make() },
    args: ['explain', '$/net.safetensors', '--image', '$/a.png', ...resize, '--adapter', 'cpu'],
    codes: [0, 2],
  }
}

/** A progressive JPEG of that side that draws its last scan so many times over. */
function scansOf(progressive: Buffer, times: number, side: number): Buffer {
  const frame = progressive.indexOf(Buffer.from([0xff, 0xc2])),
    scan = progressive.lastIndexOf(Buffer.from([0xff, 0xda]))
  const start = Buffer.from(progressive.subarray(0, -2))
  start.writeUInt16BE(side, frame + 5)
  start.writeUInt16BE(side, frame + 7)
  const again = progressive.subarray(scan, -2)
  return Buffer.concat([start, ...Array.from({ length: times }, () => again), progressive.subarray(-2)])
}

/** Lists, idx and CIFAR files, tensors, folders. */
export function dataCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `data ${i}`)
  const idx = (magic: number, sizes: number[], body: number) => {
    const head = Buffer.alloc(4 + 4 * sizes.length)
    head.writeUInt32BE(magic >>> 0, 0)
    sizes.forEach((size, j) => head.writeUInt32BE(size >>> 0, 4 + 4 * j))
    return gzipSync(Buffer.concat([head, Buffer.alloc(body)]))
  }
  const u8 = (shape: number[], from: number, to: number) => ({ dtype: 'U8', shape, data_offsets: [from, to] })
  const list = [{ file: 'a.png', label: 0 }, { file: 'b.png', label: 1 }]
  const makers: (() => [string, Record<string, Uint8Array | string>])[] = [
    () => ['cifar10:$/d.bin', { 'd.bin': material.cifar.subarray(0, draw.below(material.cifar.length)) }],
    () => ['cifar10:$/d.bin', { 'd.bin': draw.bytes(draw.pick([0, 1, 3072, 3073, 3074, 6146])) }],
    () => [`cifar10:$/ten.bin#${draw.pick(['5-2', '0-99', '-1-3', 'x', '1e9', '0-', '10-10', '3-3'])}`, {}],
    () => [`idx:$/i.gz,$/l.gz`, {
      'i.gz': idx(draw.pick([0x803, 0x801, 0, 0xffffffff]), [
        draw.pick([1, 2, 2 ** 31]),
        draw.pick([32, 0, 65535]),
        draw.pick([32, 1]),
      ], draw.below(5000)),
      'l.gz': idx(0x801, [draw.pick([1, 2, 2 ** 31])], draw.below(4)),
    }],
    () => ['idx:$/i.gz,$/l.gz', { 'i.gz': gzipSync(Buffer.alloc(2 ** 25)), 'l.gz': 'no gzip' }],
    () => ['images:$/l.json', {
      'l.json': JSON.stringify(spoil(list, draw)),
      'l/a.png': material.png,
      'l/b.png': material.png,
    }],
    () => ['images:$/l.json', {
      'l.json': draw.pick([
        '',
        '[]',
        'null',
        '{',
        '[{"file":"../../../../etc/passwd","label":0}]',
        '[{"file":"\\u001b[31m.png","label":0}]',
        '['.repeat(100_000),
        '[{"file":"a.png","label":"\\n"}]',
      ]),
      'l/a.png': material.png,
    }],
    () => ['tensors:$/t.safetensors', {
      't.safetensors': assemble({
        images: u8(draw.pick([[2, 3, 32, 32], [2, 32, 32], [0, 3, 32, 32], [2, 3, 32, 2 ** 40], [6144]]), 0, 6144),
        labels: { dtype: draw.pick(['I32', 'U8', 'I64', 'F32']), shape: [2], data_offsets: [6144, 6152] },
      }, Buffer.alloc(6152, draw.below(256))),
    }],
    () => ['folder:$/f', {
      'f/a/0.png': draw.pick([material.png, Buffer.from('x')]),
      'f/\u001b[31mb/0.png': material.png,
      'f/.hidden/0.png': material.png,
    }],
    () => [
      draw.pick([
        '',
        'cifar10:',
        'folder:$/none',
        'nothing:$/x',
        'images:$',
        'cifar10:$',
        'tensors:$/net.safetensors',
        '$/ten.bin',
        'cifar10:$/ten.bin,',
        'cifar10:\u001b[2J',
      ]),
      {},
    ],
  ]
  const [source, files] = draw.pick(makers)()
  return {
    kind: 'data',
    name: `${i} ${source}`,
    files: { ...material.base, ...files },
    args: ['eval', '$/net.safetensors', '--data', source, '--adapter', 'cpu', '--resize', '32', '--crop', '32'],
    codes: [0, 2],
  }
}
