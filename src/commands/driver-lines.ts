// Dawn and the drivers below it write lines of their own to the process's stderr (limits they lower, libraries they
// miss), past everything that JavaScript could hold back. So a command that loads dawn runs in a process of its own,
// whose stderr passes through here; everything but those lines goes on byte by byte. ESPALIER_DEBUG=1 lets them
// through.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mayHaveGpu } from '../gpu/entry.ts'

/** Tells the inner process that it is one, and how wide the terminal is; 0 where stderr is none. */
const variable = 'ESPALIER_STDERR_COLUMNS'

/** How lines begin that are not ours. */
const markers = [
  'Warning: maxDynamic',
  "Warning: Couldn't load Vulkan",
  "Error: Couldn't load Vulkan",
  'WARNING: lavapipe is not a conformant vulkan implementation',
  'MESA: ',
  'MESA-LOADER: ',
  'MESA-INTEL: ',
]

/** Takes lines that begin with a marker out of a stream, wherever in a line of ours they begin. */
export class LineFilter {
  private pending = ''
  private dropping = false

  /** What of the stream so far may be passed on. Bytes go through as they are. */
  push(bytes: Buffer): Buffer {
    let text = this.pending + bytes.toString('latin1'), out = ''
    this.pending = ''
    while (text) {
      if (this.dropping) {
        const end = text.indexOf('\n')
        if (end < 0) break
        text = text.slice(end + 1)
        this.dropping = false
      }
      const found = markers.map((marker) => text.indexOf(marker)).filter((at) => at >= 0)
      if (found.length) {
        const at = Math.min(...found)
        out += text.slice(0, at)
        text = text.slice(at)
        this.dropping = true
        continue
      }
      const keep = unfinished(text)
      out += text.slice(0, text.length - keep)
      this.pending = text.slice(text.length - keep)
      break
    }
    return Buffer.from(out, 'latin1')
  }

  /** What was held back because it might have become a marker. */
  flush(): Buffer {
    const { pending } = this
    this.pending = ''
    return Buffer.from(pending, 'latin1')
  }
}

/** Length of the longest end of the text that a marker begins with. */
function unfinished(text: string): number {
  for (let length = Math.min(text.length, Math.max(...markers.map((marker) => marker.length))); length > 0; length--) {
    const end = text.slice(text.length - length)
    if (markers.some((marker) => marker.startsWith(end))) return length
  }
  return 0
}

/** Runs `main` here if dawn stays out of it, else in a process of its own; the exit code. */
export async function withoutDriverLines(args: readonly string[], main: () => Promise<number>): Promise<number> {
  const columns = process.env[variable]
  if (columns !== undefined) {
    delete process.env[variable] // processes that this one starts have a stderr of their own
    actAsInner(Number(columns))
    return main()
  }
  return process.env.ESPALIER_DEBUG || !await loadsDawn(args) ? main() : runInner(args)
}

const computing = new Set([
  'doctor',
  'eval',
  'explain',
  'prune',
  'sweep',
  'search',
  'train',
  'export',
  'import',
  'bench',
  'demo',
  'check-kernel',
])

/** Whether a command line will load dawn: it names an adapter other than the embedded device, or a GPU may be here. */
export async function loadsDawn(args: readonly string[]): Promise<boolean> {
  if (process.platform === 'win32' || !computing.has(args[0]) || args.includes('--help') || args.includes('-h')) {
    return false
  }
  if (args[0] === 'check-kernel') return !args.includes('--no-dawn')
  const at = args.findLastIndex((word) => word === '--adapter' || word.startsWith('--adapter='))
  const name = at < 0 ? undefined : args[at].includes('=') ? args[at].slice(10) : args[at + 1] as string | undefined
  if (name !== undefined) return name.toLowerCase() !== 'cpu'
  if (args[0] === 'export' || args[0] === 'import') return false // on the embedded device, unless told otherwise
  if (args[0] === 'doctor') return true // it measures every adapter there is
  if (args[0] === 'bench' && (args.includes('embedded') || args.some((word) => word.startsWith('--against')))) {
    return true
  }
  return mayHaveGpu()
}

/** stderr is a pipe here and a terminal behind it; and nothing goes on once the outer process has gone. */
function actAsInner(columns: number) {
  const resize = (to: number) => Object.assign(process.stderr, { isTTY: true, columns: to })
  if (columns) resize(columns)
  process.on('message', (message) => {
    if (typeof message === 'number') resize(message)
  })
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  process.channel?.unref()
}

async function runInner(args: readonly string[]): Promise<number> {
  const { stderr } = process, columns = () => stderr.isTTY ? stderr.columns || 80 : 0
  // In a session of its own, so that Ctrl-C reaches it once, from here, and not a second time from the terminal.
  const inner = spawn(process.execPath, [...process.execArgv, process.argv[1], ...args], {
    detached: true,
    stdio: ['inherit', 'inherit', 'pipe', 'ipc'],
    env: { ...process.env, [variable]: String(columns()) },
  })
  const filter = new LineFilter()
  let waiting: NodeJS.Timeout | undefined
  inner.stderr!.on('data', (bytes: Buffer) => {
    clearTimeout(waiting)
    stderr.write(filter.push(bytes))
    waiting = setTimeout(() => stderr.write(filter.flush()), 50) // a line of ours may end like this
  })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGCONT'] as const
  const pass = (signal: NodeJS.Signals) => inner.kill(signal)
  for (const signal of signals) process.on(signal, pass)
  const stop = () => {
    inner.kill('SIGSTOP')
    process.kill(process.pid, 'SIGSTOP')
  }
  process.on('SIGTSTP', stop)
  stderr.on('resize', () => inner.connected && inner.send(columns()))
  const [code, signal] = await once(inner, 'close') as [number | null, NodeJS.Signals | null]
  clearTimeout(waiting)
  stderr.write(filter.flush())
  for (const each of signals) process.off(each, pass)
  process.off('SIGTSTP', stop)
  if (signal) process.kill(process.pid, signal) // ends as the inner one did, so that a shell's loop stops as well
  return code ?? 1
}
