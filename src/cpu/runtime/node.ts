// The built-in modules of Node that this device needs, reached without an import. The build of the package for browsers
// takes node.browser.ts in this file's place.

interface NodeModules {
  'node:fs': typeof import('node:fs')
  'node:os': typeof import('node:os')
  'node:v8': typeof import('node:v8')
  'node:worker_threads': typeof import('node:worker_threads')
}

/** A started thread; `stop` ends it at once, whatever it does. */
export interface Thread {
  stop(): void
}

/** Node's `process`, undefined in browsers. */
export const node = (globalThis as { process?: NodeJS.Process }).process

function builtin<K extends keyof NodeModules>(name: K): NodeModules[K] | undefined {
  return node?.getBuiltinModule?.(name) as NodeModules[K] | undefined
}

/** What Node knows of the machine, undefined in browsers. */
export const os = (): NodeModules['node:os'] | undefined => builtin('node:os')

/** The text of a file of the system, undefined where there is none, and in browsers. */
export function systemText(path: string): string | undefined {
  try {
    return builtin('node:fs')?.readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** V8's switches, undefined in browsers. */
export const v8 = (): NodeModules['node:v8'] | undefined => builtin('node:v8')

/** Starts a thread of Node whose script calls `body` of `source` with `data`; undefined in browsers. */
export function startNodeThread(source: string, data: unknown): Thread | undefined {
  const threads = builtin('node:worker_threads')
  if (!threads) return undefined
  const worker = new threads.Worker(source + `body(require('node:worker_threads').workerData)`, {
    eval: true,
    workerData: data,
    execArgv: [],
    stdin: false,
  })
  worker.unref()
  worker.on(
    'error',
    (error) => console.error(`espalier: a worker thread of the embedded device ended: ${error.message}`),
  )
  return { stop: () => void worker.terminate() }
}
