// Modules of the user's own, wherever a name is expected: `--method ./mine.ts`. TypeScript is transformed by esbuild,
// whatever Node runs it, and `import … from 'espalier'` is the very package that loads the module, however that was
// bundled: a second copy would have a device of its own. Node only.
import { existsSync } from 'node:fs'
import { createRequire, register } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'

/** What a module may import by name: `espalier`, `espalier/models`. */
export type PluginApi = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** Whether a name is a file of the user's own: it ends in .ts, .mts, .js or .mjs. */
export const isPluginPath = (name: string): boolean => /\.m?[tj]s$/i.test(name)

/**
 * Loads a module and picks what it exports: the default export, or the first other one that `accept` does not answer
 * with null.
 * @throws InputError, one sentence, for a file that is not there, does not run, or exports nothing of the kind.
 */
export async function loadPlugin<T>(
  path: string,
  kind: string,
  accept: (value: unknown) => T | null,
  api: PluginApi,
): Promise<T> {
  const file = resolve(path), name = plain(path)
  if (!existsSync(file)) {
    throw new InputError(`${name}: there is no such file; expected a module that exports a ${kind}`)
  }
  offer(api)
  const module = await load(file, name)
  const { default: first, ...others } = module
  for (const value of [first, ...Object.values(others)]) {
    const found = accept(value)
    if (found !== null) return found
  }
  const exported = Object.keys(module).map((each) => plain(each)).join(', ') || 'nothing'
  throw new InputError(`${name}: expected a module that exports a ${kind}, it exports ${exported}`)
}

async function load(file: string, name: string): Promise<Record<string, unknown>> {
  try {
    return await import(/* @vite-ignore */ pathToFileURL(file).href) as Record<string, unknown>
  } catch (error) {
    if (error instanceof InputError) throw error
    const [sentence] = String((error as Error).message).split('\n').filter((line) => line.trim())
    throw new InputError(`${name}: it cannot be loaded: ${plain(sentence)}`, { cause: error })
  }
}

const shared = Symbol.for('espalier.plugin-api')
let offered = false

/** Makes the package known to modules that are loaded later, once. */
function offer(api: PluginApi): void {
  ;(globalThis as Record<symbol, unknown>)[shared] = api
  if (offered) return
  offered = true
  const esbuild = pathToFileURL(createRequire(import.meta.url).resolve('esbuild')).href
  const names = Object.fromEntries(Object.entries(api).map(([entry, values]) => [entry, Object.keys(values)]))
  register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: { esbuild, names } })
}

// Runs in the thread of Node's module loader, hence as text.
const hooks = `
import { readFile } from 'node:fs/promises'
let esbuild, names
export function initialize(data) { ({ esbuild, names } = data) }
export function resolve(specifier, context, next) {
  return Object.hasOwn(names, specifier)
    ? { url: 'espalier-api:' + specifier, format: 'module', shortCircuit: true }
    : next(specifier, context)
}
export async function load(url, context, next) {
  if (url.startsWith('espalier-api:')) {
    const entry = url.slice(13)
    const source = 'const api = globalThis[Symbol.for("espalier.plugin-api")][' + JSON.stringify(entry) + ']\\n'
      + names[entry].map((name) => 'export const ' + name + ' = api.' + name).join('\\n')
    return { format: 'module', source, shortCircuit: true }
  }
  if (!/^file:.*[.]m?ts$/i.test(url) || url.includes('/node_modules/')) return next(url, context)
  const { default: { transform } } = await import(esbuild)
  const { code } = await transform(await readFile(new URL(url), 'utf8'), {
    loader: 'ts', format: 'esm', target: 'node20', sourcefile: new URL(url).pathname,
    sourcemap: 'inline', logLevel: 'silent'
  })
  return { format: 'module', source: code, shortCircuit: true }
}
`
