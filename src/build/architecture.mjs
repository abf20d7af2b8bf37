// Draws the rooms of the source and who imports whom into docs/architecture.md, from what dependency-cruiser finds:
// `npm run architecture`. An arrow that others imply (a to c where a to b and b to c) is left out, so that the way up
// can be followed. `--check`, which lint runs, fails where an import breaks a rule of .dependency-cruiser.cjs and where
// the drawing is old.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const file = 'docs/architecture.md', start = '<!-- drawing -->', end = '<!-- end of drawing -->'

/** The room of a file: a folder of src, with the parts of the embedded device on their own, or models, or bench. */
function roomOf(path) {
  const api = /^src\/(index|models|cli)\.ts$/.test(path)
  if (api) return path
  return /^(src\/cpu\/\w+(?=\/)|src\/\w+|models|bench)/.exec(path)?.[0].replace(/^src\/cpu$/, 'src/cpu') ?? null
}

const cruise = () => {
  const cli = 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'
  const flags = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src', 'models', 'bench']
  return JSON.parse(execFileSync(process.execPath, [cli, ...flags], { encoding: 'utf8', maxBuffer: 1 << 28 }))
}

/** The rooms, and what each imports. */
function rooms(modules) {
  const found = new Map()
  for (const { source, dependencies } of modules) {
    const room = /(?<!\.d)\.ts$/.test(source) ? roomOf(source) : null
    if (room === null) continue
    const others = found.get(room) ?? new Set()
    found.set(room, others)
    for (const { resolved } of dependencies) {
      const other = roomOf(resolved)
      if (other !== null && other !== room && /\.ts$/.test(resolved)) others.add(other)
    }
  }
  return found
}

/** Whether `to` can be reached from `from` in more than one step. */
function isImplied(found, from, to) {
  const seen = new Set([from]), open = [...found.get(from)].filter((room) => room !== to)
  while (open.length) {
    const room = open.pop()
    if (room === to) return true
    if (seen.has(room)) continue
    seen.add(room)
    open.push(...found.get(room) ?? [])
  }
  return false
}

function drawing(found) {
  const names = [...found.keys()].sort()
  const idOf = (room) => room.replace(/\W/g, '_')
  const nodes = names.map((room) => `  ${idOf(room)}["${room}"]`)
  const arrows = names.flatMap((room) =>
    [...found.get(room)].sort().filter((other) => !isImplied(found, room, other)).map((other) =>
      `  ${idOf(room)} --> ${idOf(other)}`
    )
  )
  return ['```mermaid', 'flowchart TB', ...nodes, ...arrows, '```'].join('\n')
}

const old = readFileSync(file, 'utf8')
const at = old.indexOf(start)
const after = old.indexOf(end)
if (at < 0 || after < at) throw new Error(`${file}: expected the lines ${start} and ${end}`)
const { modules, summary } = cruise()
const text = `${old.slice(0, at + start.length)}\n${drawing(rooms(modules))}\n${old.slice(after)}`
if (process.argv.includes('--check')) {
  for (const { from, to, rule, cycle } of summary.violations) {
    const way = cycle ? [from, ...cycle.map(({ name }) => name)] : [from, to]
    console.log(`${rule.severity} ${rule.name}: ${way.join(' -> ')}`)
  }
  if (text !== old) console.log(`${file}: the drawing is old; npm run architecture draws it anew`)
  if (summary.error || text !== old) process.exit(1)
} else if (text !== old) writeFileSync(file, text)
