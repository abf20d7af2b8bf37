// Empty projects with the packed package in them, as `npm install espalier` leaves them; and one bundler each.
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync,
  writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url)), app = fileURLToPath(new URL('./app', import.meta.url))

/** The tarball that `npm pack` makes of a built checkout, unpacked among the modules of an empty folder. */
export function packedPackage(built = root) {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-packed-'))
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: built })
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz'))
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'espalier'), { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', join(modules, 'espalier'), '--strip-components=1'])
  return { folder, modules, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** A folder with the app's two scripts, a page, its files, and `espalier` among its modules. */
export function emptyProject({ modules }, { script = 'main.js', files = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-project-'))
  mkdirSync(join(folder, 'src'))
  mkdirSync(join(folder, 'public'))
  copyFileSync(join(app, 'page.js'), join(folder, 'src', 'index.js'))
  copyFileSync(join(app, 'story.js'), join(folder, 'src', 'story.js'))
  writeFileSync(join(folder, 'src', 'readme.js'), readmeExample())
  cpSync(modules, join(folder, 'node_modules'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  writeFileSync(join(folder, 'index.html'), pageOf(script))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, 'public', name), content)
  return folder
}

/** The page's module in README.md, under "In a page". */
function readmeExample() {
  return /### In a page[^]*?```js\n([^]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))[1]
}

/** A page with one module script. */
export const pageOf = (script) =>
  `<!doctype html><title>espalier</title><script type="module" src="${script}"></script>`

/** Links a checkout's dependency into a project, for Node. */
export function linkDependencies(project) {
  for (const name of readdirSync(join(root, 'node_modules')).filter((each) => !each.startsWith('.'))) {
    const target = join(project, 'node_modules', name)
    if (!existsSync(target)) symlinkSync(join(root, 'node_modules', name), target)
  }
}

/**
 * Each bundler as it comes, without a configuration file: gives what it said. `from` is a folder in whose node_modules
 * the bundlers are. The result lies in dist/.
 */
export const bundlers = {
  'vite build': (project, from) => run(project, [bin(from, 'vite', 'bin/vite.js'), 'build']),
  'esbuild': (project, from) =>
    run(project, [bin(from, 'esbuild', 'bin/esbuild'), 'src/index.js', '--bundle', '--outfile=dist/main.js']),
  'esbuild, as modules, minified': (project, from) =>
    run(project, [
      bin(from, 'esbuild', 'bin/esbuild'),
      'src/index.js',
      '--bundle',
      '--minify',
      '--splitting',
      '--format=esm',
      '--outdir=dist',
      '--entry-names=main',
    ]),
  'webpack': (project, from) => run(project, ['--input-type=module', '-e', webpackScript(from)]),
  'rollup, one file': (project, from) => rollup(project, from, ['-o', 'dist/main.js', '-f', 'iife', '--name', 'app']),
  'rollup, a folder': (project, from) =>
    rollup(project, from, ['-d', 'dist', '-f', 'es', '--entryFileNames', 'main.js']),
}

const bin = (from, name, path) => join(from, 'node_modules', name, path)

function rollup(project, from, flags) {
  const plugin = createRequire(join(from, 'package.json')).resolve('@rollup/plugin-node-resolve')
  return run(project, [bin(from, 'rollup', 'dist/bin/rollup'), 'src/index.js', '-p', plugin, ...flags])
}

/** `webpack()` with its defaults: the entry is src/index.js, the result dist/main.js. */
function webpackScript(from) {
  const at = pathToFileURL(createRequire(join(from, 'package.json')).resolve('webpack')).href
  return `import webpack from ${JSON.stringify(at)}
  webpack({ context: process.cwd(), mode: 'production' }, (error, stats) => {
    if (error) throw error
    console.log(stats.toString({ colors: false, assets: false, modules: false }))
    if (stats.hasErrors()) process.exitCode = 1
  })`
}

function run(cwd, args) {
  // esbuild's bin is the program itself where its installer could put it there
  const [file, ...rest] = args[0].endsWith('bin/esbuild') ? args : [process.execPath, ...args]
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_ENV: '' } })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (part) => {
        said += part
      })
    }
    child.on('error', reject)
    child.on(
      'close',
      (code) => code ? reject(new Error(`${args.join(' ')} ended with ${code}:\n${said}`)) : resolve(said),
    )
  })
}

/** Starts vite's development server in a project; gives its address and a way to end it. */
export function viteDev(project, from) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin(from, 'vite', 'bin/vite.js'), '--port', '0', '--host', '127.0.0.1'], {
      cwd: project,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    })
    let said = ''
    const hear = (part) => {
      said += part
      const address = /http:\/\/127\.0\.0\.1:\d+\//.exec(said)?.[0]
      if (address) resolve({ address, stop: () => child.kill(), said: () => said })
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', reject)
    child.on('close', () => reject(new Error(`vite ended:\n${said}`)))
  })
}
