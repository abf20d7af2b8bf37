// The decoders in a browser's surroundings: bundled for browsers, run in a context without process, require and Buffer.
import { readFileSync } from 'node:fs'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { expect, it } from 'vitest'
import { parseSafetensors } from '../../src/files/safetensors.ts'

const entry = `
  export { decodeImage, setJpegWasm } from './src/data/images.ts'
  export { openDataset } from './src/data/datasets.ts'
  export { pull } from './src/checkpoint/hub.ts'`

it('a browser bundle decodes JPEG and PNG, opens data sets from memory, imports node: nowhere statically', async () => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: entry, resolveDir: new URL('../..', import.meta.url).pathname, loader: 'ts' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'io',
    external: ['node:*'],
    write: false,
    metafile: true,
    define: { 'import.meta.url': '"https://example.org/espalier.js"' },
    logLevel: 'error',
  })
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports).filter((i) =>
    i.path.startsWith('node:')
  )
  expect(imports.length).toBeGreaterThan(0)
  // Modules that are loaded when called (files, locks) may import node: themselves; those that load with the page not.
  const atOnce = new Set(['<stdin>'])
  for (const file of atOnce) {
    for (const { path, kind } of metafile.inputs[file]?.imports ?? []) if (kind !== 'dynamic-import') atOnce.add(path)
  }
  expect([...atOnce].filter((path) => path.startsWith('src/')).length).toBeGreaterThan(10)
  expect([...atOnce].filter((path) => path.startsWith('node:'))).toEqual([])

  const wasm = readFileSync(new URL('../../node_modules/@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm', import.meta.url))
  class ImageData {
    data: Uint8ClampedArray
    width: number
    height: number
    constructor(data: Uint8ClampedArray, width: number, height: number) {
      this.data = data
      this.width = width
      this.height = height
    }
  }
  const page: Record<string, unknown> = {
    WebAssembly,
    TextDecoder,
    TextEncoder,
    Blob,
    DecompressionStream,
    ReadableStream,
    URL,
    ImageData,
    console,
    fetch,
    document: {},
    setTimeout,
  }
  page.window = page.self = page
  const context = createContext(page)
  runInContext(`${outputFiles[0].text}; this.io = io`, context)
  const io = page.io as typeof import('../../src/data/images.ts') & typeof import('../../src/data/datasets.ts')
  io.setJpegWasm(await WebAssembly.compile(wasm))

  // a page's bytes are of the page's own Uint8Array
  const PageBytes = runInContext('Uint8Array', context) as Uint8ArrayConstructor
  const fixtures = parseSafetensors(readFileSync(new URL('../fixtures/images.safetensors', import.meta.url))).tensors
  for (const name of ['420.jpg', 'progressive.jpg', 'rgba.png', 'palette.png', 'cmyk.jpg']) {
    const image = await io.decodeImage(PageBytes.from(fixtures.get(`file.${name}`)!.data as Uint8Array), name)
    const expected = fixtures.get(`rgb.${name}`)!.data as Uint8Array
    const largest = image.data.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0)
    expect(largest).toBeLessThanOrEqual(name === 'cmyk.jpg' ? 1 : 0)
  }

  const files = {
    read: async () => new PageBytes(3073 * 2),
    list: async () => [],
    exists: async () => false,
  }
  const preprocessing = {
    resize: null,
    crop: null,
    interpolation: 'bilinear',
    mean: [0],
    std: [1],
    channels: 3,
    cropRounding: 'floor',
  } as const
  const data = await io.openDataset('cifar10:anything.bin', { preprocessing, files })
  for await (const batch of data.batches({ size: 2 })) expect([...batch.shape]).toEqual([2, 3, 32, 32])
})
