// The library in a browser: one bundle of src/index.ts, loaded where there is nothing of Node.
import { createContext, runInContext } from 'node:vm'
import { beforeAll, expect, test } from 'vitest'
import { bundleForBrowser } from '../../src/build/browser.mjs'
import { packageVersion } from '../../src/files/package.ts'

async function bundle(format: 'esm' | 'iife') {
  const result = await bundleForBrowser({
    entryPoints: ['src/index.ts'],
    outfile: 'bundle.js',
    write: false,
    format,
    globalName: format === 'iife' ? 'espalier' : undefined,
    logLevel: 'silent',
  })
  expect([...result.errors, ...result.warnings]).toEqual([])
  return { text: result.outputFiles[0].text, meta: result.metafile }
}

let esm: Awaited<ReturnType<typeof bundle>>, script: Awaited<ReturnType<typeof bundle>>
beforeAll(async () => {
  ;[esm, script] = await Promise.all([bundle('esm'), bundle('iife')])
})

test('nothing is imported: not Node, not dawn, not a file beside', () => {
  const [output] = Object.values(esm.meta.outputs)
  expect(output.imports).toEqual([])
  expect(esm.text).not.toMatch(/["'`]node:|["'`]webgpu["'`]|import\.meta/)
})

test('no Node-only file of ours is in the bundle', () => {
  const nodeOnly = ['src/cli.ts', 'src/files/output.ts', 'src/files/package.ts', 'src/gpu/entry.ts']
  expect(Object.keys(esm.meta.inputs).filter((file) => nodeOnly.includes(file) || file.startsWith('src/commands/')))
    .toEqual([])
})

test('it loads in a page that has no Node and no WebGPU, and init says so', async () => {
  // A context has the language's own globals only; a page adds these.
  const page = {
    console,
    performance,
    TextEncoder,
    TextDecoder,
    URL,
    setTimeout,
    clearTimeout,
    queueMicrotask,
    structuredClone,
    navigator: {},
    crypto,
    EventTarget,
    Event,
    DOMException,
    MessageChannel,
    AbortController,
  }
  const context = createContext({ ...page })
  runInContext('globalThis.self = globalThis', context)
  expect(runInContext('[typeof process, typeof require, typeof Buffer, typeof module].join()', context)).toBe(
    'undefined,undefined,undefined,undefined',
  )
  runInContext(script.text, context, { filename: 'espalier.js' })
  const names: string[] = runInContext('Object.keys(espalier)', context)
  expect(names).toContain('init')
  expect(runInContext('espalier.version', context)).toBe(packageVersion())
  const outcome: string = await runInContext(
    `espalier.init({ adapter: 'no such adapter' }).then(() => 'opened', (error) => error.name)`,
    context,
  )
  expect(outcome).toBe('AdapterError')
})
