// One layout for every TypeScript file: `npm run format` writes it, `npm run format -- --check` names the files that
// differ. And lines of at most 120 columns in everything that is written by hand, kernels too: the layout breaks code,
// but neither comments nor strings, so these are named and left to their writer.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createFromBuffer } from '@dprint/formatter'
import { getPath } from '@dprint/typescript'

const most = 120 // columns
const formatter = createFromBuffer(readFileSync(getPath()))
formatter.setConfig({ lineWidth: most, indentWidth: 2 }, {
  semiColons: 'asi',
  quoteStyle: 'preferSingle',
  quoteProps: 'preserve',
  useBraces: 'whenNotSingleLine',
  singleBodyPosition: 'maintain',
  trailingCommas: 'onlyMultiLine',
  operatorPosition: 'nextLine',
  'arrowFunction.useParentheses': 'force',
  'module.sortImportDeclarations': 'maintain',
  'module.sortExportDeclarations': 'maintain',
  'importDeclaration.sortNamedImports': 'maintain',
  'exportDeclaration.sortNamedExports': 'maintain',
  'typeLiteral.separatorKind': 'comma',
  'importDeclaration.preferHanging': true,
  'exportDeclaration.preferHanging': true,
})

const check = process.argv.includes('--check')
const list = ['ls-files', '--cached', '--others', '--exclude-standard', ':!bench/peers']
const files = execFileSync('git', list, { encoding: 'utf8' }).split('\n').filter((path) => existsSync(path))
const folders = /^(src|models|bench|test|examples)\//
const wrong = []
for (const path of files.filter((path) => folders.test(path) && /\.(ts|mjs)$/.test(path))) {
  const text = readFileSync(path, 'utf8')
  const laidOut = formatter.formatText({ filePath: path, fileText: text })
  if (laidOut === text) continue
  wrong.push(path)
  if (!check) writeFileSync(path, laidOut)
}
for (const path of wrong) console.log(check ? `not laid out: ${path}` : `laid out: ${path}`)

let long = 0
for (const path of files.filter((path) => /\.([mc]?[jt]s|wgsl)$/.test(path))) {
  for (const [i, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if ([...line].length <= most) continue
    console.log(`${path}:${i + 1}: ${[...line].length} columns, at most ${most}`)
    long++
  }
}
if (check && wrong.length) console.log(`${wrong.length} files; run 'npm run format'`)
if (long || (check && wrong.length)) process.exit(1)
