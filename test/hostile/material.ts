// Good files to start from, made by the product itself: a small network, the same pruned, pictures, data sets.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import { bundleForNode, runNode } from '../support/cli.ts'
import { packageFile } from '../../src/files/package.ts'

/** What generators change and commands read. */
export interface Material {
  cli: string
  small: Buffer
  pruned: Buffer
  /** The small network as ONNX. */
  onnx: Buffer
  /** Ten CIFAR-10 records. */
  cifar: Buffer
  png: Buffer
  jpeg: Buffer
  /** A JPEG in scans. */
  progressive: Buffer
  kernel: string
  /** Entries of the folder that most cases share. */
  base: { 'net.safetensors': Buffer, 'ten.bin': Buffer, 'a.png': Buffer }
}

const network = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":8,"classes":10}'

/** Trains and prunes a small network in `folder` with the command line as it is. */
export async function makeMaterial(folder: string): Promise<Material> {
  const cli = await bundleForNode('src/cli.ts', 'hostile', true)
  const { writeFileSync } = await import('node:fs')
  const cifar = readFileSync(packageFile('models/data/cifar10/test200.bin')).subarray(0, 10 * 3073)
  const at = (name: string) => join(folder, name)
  writeFileSync(at('ten.bin'), cifar)
  const run = async (...args: string[]) => {
    const ended = await runNode(cli, [...args, '--adapter', 'cpu', '--quiet', '--overwrite'])
    if (ended.code !== 0) throw new Error(`${args.join(' ')}: ${ended.stderr}`)
  }
  const data = ['--data', `cifar10:${at('ten.bin')}`]
  await run('train', network, ...data, '--epochs', '1', '--batch', '5', '--out', at('small.safetensors'))
  await run(
    'prune',
    at('small.safetensors'),
    '--method',
    'magnitude',
    ...data,
    '--keep',
    '0.5',
    '--out',
    at('pruned.safetensors'),
  )
  await run('export', at('small.safetensors'), '--out', at('small.onnx'))
  const fixture = readFileSync(packageFile('test/fixtures/images.safetensors'))
  const small = readFileSync(at('small.safetensors')), png = pngOf(40, 36)
  return {
    cli,
    small,
    pruned: readFileSync(at('pruned.safetensors')),
    onnx: readFileSync(at('small.onnx')),
    cifar,
    png,
    jpeg: tensorOf(fixture, 'file.420.jpg'),
    progressive: tensorOf(fixture, 'file.progressive.jpg'),
    kernel: readFileSync(packageFile('kernels/fill.wgsl'), 'utf8'),
    base: { 'net.safetensors': small, 'ten.bin': cifar, 'a.png': png },
  }
}

/** The parts of a safetensors file. */
export function parts(file: Buffer): { header: Record<string, never>, data: Buffer } {
  const length = Number(file.readBigUInt64LE(0))
  return {
    header: JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<string, never>,
    data: file.subarray(8 + length),
  }
}

/** A safetensors file of a header (an object, or text as it shall stand there) and data. */
export function assemble(header: object | string, data: Buffer): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const padded = Buffer.concat([text, Buffer.alloc((8 - text.length % 8) % 8, 0x20)])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  return Buffer.concat([length, padded, data])
}

function tensorOf(file: Buffer, name: string): Buffer {
  const { header, data } = parts(file)
  const [from, to] = (header[name] as { data_offsets: [number, number] }).data_offsets
  return data.subarray(from, to)
}

/** A chunk of a PNG with its checksum. */
export function pngChunk(type: string, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + body.length)
  bytes.writeUInt32BE(body.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(body, 8)
  let crc = ~0
  for (const byte of bytes.subarray(4, 8 + body.length)) {
    crc ^= byte
    for (let k = 0; k < 8; k++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0)
  }
  bytes.writeUInt32BE(~crc >>> 0, 8 + body.length)
  return bytes
}

/** The header chunk of a PNG. */
export function pngHead(width: number, height: number, depth = 8, colour = 2, interlaced = 0): Buffer {
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width, 0)
  head.writeUInt32BE(height, 4)
  head.set([depth, colour, 0, 0, interlaced], 8)
  return pngChunk('IHDR', head)
}

/** The first eight bytes of a PNG. */
export const pngStart = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10])

const packed = new Map<number, Buffer>()

/** So many zero bytes, compressed; large ones are kept, since they take seconds. */
export function zeros(bytes: number): Buffer {
  const known = packed.get(bytes) ?? deflateSync(Buffer.alloc(bytes), { level: bytes > 2 ** 24 ? 1 : 6 })
  if (bytes > 2 ** 24) packed.set(bytes, known)
  return known
}

/** A PNG of these sizes; black, unless `data` holds other compressed rows. */
export function pngOf(
  width: number,
  height: number,
  { depth = 8, colour = 2, interlaced = 0, data = null as Buffer | null } = {},
): Buffer {
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour] ?? 3
  const rows = () => zeros((Math.ceil(width * samples * depth / 8) + 1) * height)
  return Buffer.concat([
    pngStart,
    pngHead(width, height, depth, colour, interlaced),
    pngChunk('IDAT', data ?? rows()),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}
