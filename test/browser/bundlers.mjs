// The packed package in an empty project under each bundler, as it comes: the page computes in headless Chromium, and
// its answers must be Node's. Also without any bundler, in an isolated page, and under a strict
// Content-Security-Policy.
//   node test/browser/bundlers.mjs [part of a bundler's name]        after npm run build
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { encode as encodePng } from 'fast-png'
import jpeg from 'jpeg-js'
import { isolation, visit } from './chromium.mjs'
import { bundlers, emptyProject, linkDependencies, packedPackage, pageOf, viteDev } from './project.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url)),
  from = fileURLToPath(new URL('./bundlers', import.meta.url))
const types = { '.js': 'text/javascript', '.html': 'text/html', '.wasm': 'application/wasm' }
const typeOf = (path) => types[extname(path)] ?? 'application/octet-stream'
const strict = {
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src blob:",
}

/** A colour picture of 80 x 64, made here. */
function pictures() {
  const width = 80, height = 64, data = new Uint8Array(width * height * 4)
  for (let i = 0; i < width * height; i++) {
    const x = i % width, y = Math.floor(i / width)
    data.set([3 * x, 255 - 2 * y, 128 + 100 * Math.sin(x * y / 300), 255], 4 * i)
  }
  return {
    'photo.jpg': jpeg.encode({ width, height, data }, 90).data,
    'photo.png': encodePng({ width, height, data: data.filter((_, i) => i % 4 < 3), channels: 3, depth: 8 }),
    'resnet20.safetensors': readFileSync(join(root, 'models/data/cifar10/resnet20.safetensors')),
  }
}

/** Files of some folders, the first that has one; `page` for /. */
function serving(folders, page, headers = {}) {
  return (path) => {
    const name = decodeURIComponent(path).replace(/^\/+/, '')
    if (!name && page) return { body: page, type: 'text/html', headers }
    const file = folders.map((folder) => join(folder, name || 'index.html')).find(existsSync)
    return file && { body: readFileSync(file), type: typeOf(file), headers }
  }
}

/** What differs between a page's findings and Node's, in words. */
function differences(found, expected, isolated) {
  if (found.error) return [found.stack]
  const wrong = []
  const same = (what, got, want) => {
    if (JSON.stringify(got) !== JSON.stringify(want)) {
      wrong.push(`${what}: expected ${JSON.stringify(want)}, got ${JSON.stringify(got)}`)
    }
  }
  same('adapter', found.adapter, expected.adapter)
  same('isolated', found.isolated, isolated)
  for (const [name, { logits, sum, ...exact }] of Object.entries(expected.answers)) {
    const { logits: got, sum: gotSum, ...rest } = found.answers[name]
    same(name, rest, exact)
    const error = Math.max(...logits.map((value, i) => Math.abs(value - got[i])), Math.abs(sum - gotSum))
    if (!(error < 1e-3)) wrong.push(`${name}: logits differ by ${error}`)
  }
  same('sources', new Set(Object.values(found.sources)).size, 1)
  same('drawing', found.drawing, expected.drawing)
  same("the README's page", found.readme, [expected.answers['photo.jpg'].best, 448])
  return wrong
}

const only = process.argv[2] ?? '', files = pictures(), packed = packedPackage(), made = []
const project = (options) => {
  const folder = emptyProject(packed, { files, ...options })
  made.push(folder)
  return folder
}
let expected
const check = async (name, isolated, visiting) => {
  if (!name.includes(only)) return
  const start = performance.now()
  let wrong
  try {
    wrong = differences(await visiting(), expected, isolated)
  } catch (error) {
    wrong = [error.message]
  }
  console.log(
    JSON.stringify({
      bundler: name,
      seconds: Number(((performance.now() - start) / 1000).toFixed(1)),
      failures: wrong.length,
    }),
  )
  for (const each of wrong) console.error(`FAILED ${name}: ${each}`)
  if (wrong.length) process.exitCode = 1
}

try {
  if (!existsSync(join(from, 'node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', from], { stdio: 'inherit' })
  }
  const inNode = project()
  linkDependencies(inNode)
  const { story, drawn } = await import(pathToFileURL(join(inNode, 'src/story.js')).href)
  const pixel = (x, y) => [...drawn().data.subarray(4 * (8 * y + x), 4 * (8 * y + x) + 4)]
  expected = {
    ...await story((name) => files[name], { adapter: 'cpu' }),
    drawing: { size: [8, 8], red: pixel(0, 0), blue: pixel(7, 0), white: pixel(0, 7) },
  }
  for (const [name, bundle] of Object.entries(bundlers)) {
    await check(name, false, async () => {
      const folder = project({ script: name === 'vite build' ? '/src/index.js' : 'main.js' })
      const said = await bundle(folder, from)
      if (/warn/i.test(said.replace(/.*(entrypoint|asset) size limit[^]*|.*chunks are larger[^]*/i, ''))) {
        console.log(said)
      }
      const page = name === 'vite build' ? undefined : pageOf('main.js')
      return visit({ answer: serving([join(folder, 'dist'), join(folder, 'public')], page) })
    })
  }
  await check('vite dev', false, async () => {
    const server = await viteDev(project({ script: '/src/index.js' }), from)
    try {
      return await visit({ page: (here) => `${server.address}?post=${here}` })
    } finally {
      server.stop()
    }
  })
  const plain = project(),
    imports = JSON.stringify({
      imports: {
        'espalier': '/node_modules/espalier/dist/browser/index.js',
        'espalier/models': '/node_modules/espalier/dist/browser/models.js',
      },
    })
  const page = pageOf('/src/index.js').replace('<script', `<script type="importmap">${imports}</script><script`)
  const folders = [plain, join(plain, 'public')]
  await check('no bundler', false, () => visit({ answer: serving(folders, page) }))
  await check('no bundler, isolated', true, () => visit({ answer: serving(folders, page, isolation) }))
  if ('strict policy'.includes(only) || only.includes('policy')) {
    const folder = project()
    await bundlers.esbuild(folder, from)
    const served = [join(folder, 'dist'), join(folder, 'public'), join(folder, 'node_modules/espalier/dist/browser')]
    for (const headers of [strict, { ...strict, ...isolation }]) {
      const answer = serving(served, pageOf('main.js'), headers), isolated = headers !== strict
      await check(
        `strict policy${isolated ? ', isolated' : ''}`,
        isolated,
        () => visit({ answer, page: '/?worker=/worker.js' }),
      )
      await check(`strict policy${isolated ? ', isolated' : ''}: without worker`, isolated, async () => {
        const { error = 'no error' } = await visit({ answer })
        return /init\(\{ worker/.test(error)
          ? { ...expected, sources: [0], readme: [expected.answers['photo.jpg'].best, 448], isolated }
          : { stack: error, error }
      })
    }
  }
} finally {
  packed.remove()
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
}
