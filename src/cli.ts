#!/usr/bin/env node
// Starts the command line, and sees to its streams; the commands themselves are loaded where a failure can still be
// said.

// `espalier … | head` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  process.stderr.write(`espalier: its answer cannot be written (${error.code ?? error.message}); is the device full?\n`)
  process.exit(1)
})
process.stderr.on('error', () => {}) // nobody listens: the work goes on

try {
  const { withoutDriverLines } = await import('./commands/driver-lines.ts')
  const words = process.argv.slice(2)
  process.exitCode = await withoutDriverLines(words, async () => (await import('./commands/main.ts')).main(words))
} catch (error) {
  // Where a file of the package itself cannot be opened (`ulimit -n`, a damaged installation), no module of ours may
  // help.
  const { code, message } = error as NodeJS.ErrnoException
  const reason = code === 'EMFILE' || code === 'ENFILE'
    ? 'this process may open no more files; raise `ulimit -n`'
    : `${String(message).replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300)}; install it anew`
  process.stderr.write(`espalier: cannot start, ${reason}\n`)
  process.exitCode = 1
}
