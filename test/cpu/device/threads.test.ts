// Worker threads: the same bits whatever their number, under growth, many kernels and changing sizes; and how they end.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildSync } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { affine, embedded, inPass, readWords, setUp, wordsBuffer } from '../../support/gpus.ts'

const affineOf = (value: number): number => (Math.imul(value, 3) + 1) >>> 0
const ramp = (n: number, from = 0): Uint32Array<ArrayBuffer> => Uint32Array.from({ length: n }, (_, i) => i + from)

describe('threads', () => {
  test('a worker takes part once a result was read', async () => {
    const device = await embedded({ threads: 2 })
    const n = 1 << 20
    const x = wordsBuffer(device, ramp(n)), y = wordsBuffer(device, new Uint32Array(n))
    const bind = setUp(device, affine, [x, y])
    for (let round = 0; round < 400 && device.chunksHelped === 0; round++) {
      inPass(device, (pass) => {
        bind(pass)
        pass.dispatchWorkgroups(n / 64)
      })
      await device.queue.onSubmittedWorkDone()
    }
    expect(device.chunksHelped).toBeGreaterThan(0)
    expect((await readWords(device, y)).every((word, i) => word === affineOf(i))).toBe(true)
    device.destroy()
  })

  test('one, two and five threads give the same bits over dispatches of all sizes', async () => {
    const results: Uint32Array[] = []
    for (const threads of [1, 2, 5]) {
      const device = await embedded({ threads })
      const n = 1 << 17
      const a = wordsBuffer(device, ramp(n)), b = wordsBuffer(device, new Uint32Array(n))
      const there = setUp(device, affine, [a, b]), back = setUp(device, affine, [b, a])
      let seed = 1
      for (let submit = 0; submit < 12; submit++) {
        inPass(device, (pass) => {
          for (let i = 0; i < 20; i++) {
            seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
            // sizes from one workgroup to all 2048, most of them small
            const groups = 1 + ((seed >>> 8) % 2048 >>> ((seed >>> 20) % 12))
            ;(i % 2 ? back : there)(pass)
            pass.dispatchWorkgroups(groups)
          }
        })
        if (submit % 4 === 0) await device.queue.onSubmittedWorkDone()
      }
      results.push(await readWords(device, a))
      device.destroy()
    }
    expect(results[1]).toEqual(results[0])
    expect(results[2]).toEqual(results[0])
  })

  test('memory that grows while workers run, and many kernels', async () => {
    const device = await embedded({ threads: 3 })
    for (let k = 0; k < 40; k++) {
      const n = 60_000 + k * 1000
      const x = wordsBuffer(device, ramp(n, k)), y = wordsBuffer(device, new Uint32Array(n))
      // a text of its own each time, so that every round brings a kernel the workers have not seen
      const bind = setUp(device, `// ${k}\n${affine}`, [x, y])
      inPass(device, (pass) => {
        for (let i = 0; i < 5; i++) {
          bind(pass)
          pass.dispatchWorkgroups(Math.ceil(n / 64))
        }
      })
      const words = await readWords(device, y)
      expect(words.findIndex((word, i) => word !== affineOf(i + k))).toBe(-1)
      if (k % 3 === 0) {
        x.destroy()
        y.destroy()
      }
    }
    expect(device.memoryUse.used).toBeGreaterThan(10e6)
    device.destroy()
  })
})

describe('a process that uses the device', () => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-device-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  beforeAll(() => {
    const source = new URL('../../support/gpus.ts', import.meta.url).pathname
    const script = join(folder, 'work.ts')
    writeFileSync(
      script,
      `
      import { affine, embedded, inPass, readWords, setUp, wordsBuffer } from ${JSON.stringify(source)}
      const device = await embedded({ threads: 3 })
      const n = 1 << 20
      const x = wordsBuffer(device, new Uint32Array(n)), y = wordsBuffer(device, new Uint32Array(n))
      const bind = setUp(device, affine, [x, y])
      for (let round = 0; round < 400 && device.chunksHelped === 0; round++) {
        inPass(device, (pass) => { for (let i = 0; i < 5; i++) { bind(pass); pass.dispatchWorkgroups(n / 64) } })
        await device.queue.onSubmittedWorkDone()
      }
      const ok = (await readWords(device, y)).every((word) => word === 1)
      await new Promise((resolve) => setTimeout(resolve, 300))
      const before = process.cpuUsage()
      await new Promise((resolve) => setTimeout(resolve, 600))
      const { user, system } = process.cpuUsage(before)
      if (process.argv[2] === 'destroy') device.destroy()
      console.log(JSON.stringify({ ok, helped: device.chunksHelped, idleMilliseconds: (user + system) / 1000 }))
    `,
    )
    // dawn is not part of this: a native add-on cannot be bundled, and the script does not ask for it
    buildSync({
      entryPoints: [script],
      outfile: join(folder, 'work.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      external: ['webgpu'],
      keepNames: true,
      logLevel: 'error',
      minify: true,
    })
  })

  // minified and with kept names, as an application's bundler might do it: the worker's source is a function's text
  test.each(['leave', 'destroy'])('idles without CPU and ends by itself (%s)', async (how) => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'work.mjs'), how], { timeout: 30_000 })
    const { ok, helped, idleMilliseconds } = JSON.parse(stdout) as {
      ok: boolean,
      helped: number,
      idleMilliseconds: number,
    }
    expect(ok).toBe(true)
    expect(helped).toBeGreaterThan(0)
    // one spinning worker alone would have used 600
    expect(idleMilliseconds).toBeLessThan(200)
  })
})
