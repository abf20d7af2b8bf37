// What must not stay behind when the process ends early: half-written files, locks. Node only.
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const cleanups = new Set<() => void>()

function cleanUp(): void {
  for (const each of [...cleanups]) each()
}

// Handlers live only while there is something to clean, so a program that uses the library keeps its own Ctrl-C.
function interrupted(signal: NodeJS.Signals): void {
  cleanUp()
  cleanups.clear()
  unwatch()
  // With no other handler left the process ends by the signal itself, so a shell loop stops as well.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
}

function unwatch(): void {
  for (const signal of signals) process.off(signal, interrupted)
  process.off('exit', cleanUp)
}

/** Calls `cleanup` if the process exits, or is ended by a signal that can be caught, before the answer is called. */
export function atEnd(cleanup: () => void): () => void {
  if (!cleanups.size) {
    for (const signal of signals) process.on(signal, interrupted)
    process.on('exit', cleanUp)
  }
  cleanups.add(cleanup)
  return () => {
    if (cleanups.delete(cleanup) && !cleanups.size) unwatch()
  }
}
