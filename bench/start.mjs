// `npm run bench`: starts `espalier bench` with the Node that `npm run peers` installs beside the other peers, where
// the one at hand is too old to join vectors (docs/embedded-device.md). `npm run espalier -- bench` keeps to the one at
// hand.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const windows = process.platform === 'win32', name = `node-${windows ? 'win' : process.platform}-${process.arch}`
const pinned = fileURLToPath(new URL(`peers/node_modules/${name}/bin/node${windows ? '.exe' : ''}`, import.meta.url))
const switched = parseInt(process.versions.v8) < 13 && process.env.ESPALIER_WIDE !== '0' && existsSync(pinned)
  && spawnSync(pinned, ['--version']).status === 0
if (switched) {
  console.error(`bench: with the Node of bench/peers, because this one (${process.version}) cannot join vectors`)
}
const { status, signal, error } = spawnSync(switched ? pinned : process.execPath, [
  fileURLToPath(new URL('../dist/src/cli.js', import.meta.url)),
  'bench',
  ...process.argv.slice(2),
], { stdio: 'inherit' })
if (error) throw error
if (signal) process.kill(process.pid, signal)
process.exitCode = status ?? 1
