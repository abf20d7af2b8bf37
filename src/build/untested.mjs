// Lists source files with logic that have no test file at the same place under test/ and that no other test imports:
// `npm run untested`. A file may still be run by the tests of what uses it; the list is where to look first.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const filesOf = (folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)))
const sources = filesOf('src').filter((path) =>
  /\.ts$/.test(path) && !/\.(generated|d|browser)\.ts$|index\.ts$/.test(path)
)

const imported = new Set(
  filesOf('test').filter((path) => /\.m?ts$/.test(path)).flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/from '(\.[^']+)'/g)].map(([, name]) => join(dirname(path), name))
  ),
)
const hasLogic = (path) => /=>|\bfunction\b|\bclass\b/.test(readFileSync(path, 'utf8'))
const hasTest = (path) => existsSync(path.replace(/^src/, 'test').replace(/\.ts$/, '.test.ts')) || imported.has(path)

const missing = sources.filter((path) => hasLogic(path) && !hasTest(path)).sort()
for (const path of missing) console.log(path)
console.log(`${missing.length} of ${sources.length} source files are imported by no test`)
