// What `import 'espalier'` gives in Node: the entries of src/build/bundle.mjs, bundled here from the sources as they
// are.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runNode } from '../support/cli.ts'

const root = fileURLToPath(new URL('../..', import.meta.url)), folder = `${root}.espalier/test/package`

test('both entries share one device, and its worker threads run', async () => {
  expect(await runNode(`${root}src/build/bundle.mjs`, [folder])).toMatchObject({ code: 0, stderr: '' })
  const file = `${folder}/use.mjs`
  writeFileSync(
    file,
    `import { close, gpu, init, initialize, matmul, tensor, version } from './node/index.js'
    import { MLP } from './node/models.js'
    await init({ adapter: 'cpu', threads: 2 })
    const net = initialize(new MLP({ inputs: 4, hidden: [3], classes: 2 }), 1)
    const logits = net.call(tensor(new Float32Array(4).fill(1), [1, 4]))
    const a = tensor(new Float32Array(512 * 512).fill(1), [512, 512])
    const until = Date.now() + 20_000
    let sum = 0
    while (sum === 0 || (gpu().device.chunksHelped === 0 && Date.now() < until)) sum = (await matmul(a, a).data())[0]
    const finite = (await logits.data()).every(Number.isFinite), helped = gpu().device.chunksHelped > 0
    console.log(JSON.stringify({ version, shape: logits.shape, finite, sum, helped }))
    await close()`,
  )
  const { stdout, stderr, code } = await runNode(file, [])
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
  expect(JSON.parse(stdout)).toEqual({ version, shape: [1, 2], finite: true, sum: 512, helped: true })
}, 60_000)

test('package.json names the entries that the build makes', () => {
  const { exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
    exports: Record<string, Record<string, string>>,
  }
  for (const entry of ['.', './models']) {
    // The order counts: the first condition that holds is taken. Whatever is not Node gets what needs nothing of Node.
    expect(Object.keys(exports[entry])).toEqual(['types', 'browser', 'node', 'default'])
    expect(exports[entry].default).toBe(exports[entry].browser)
    for (const condition of ['browser', 'node']) {
      expect(exports[entry][condition]).toMatch(new RegExp(`^\\./dist/${condition}/\\w+\\.js$`))
      expect(existsSync(`${folder}/${exports[entry][condition].replace('./dist/', '')}`)).toBe(true)
    }
  }
  expect(existsSync(`${folder}/${String(exports['./worker']).replace('./dist/', '')}`)).toBe(true)
})
