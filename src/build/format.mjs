// One layout for every TypeScript file: `npm run format` writes it, `npm run format -- --check` names the files that differ.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createFromBuffer } from '@dprint/formatter'
import { getPath } from '@dprint/typescript'

const formatter = createFromBuffer(readFileSync(getPath()))
formatter.setConfig({ lineWidth: 120, indentWidth: 2 }, {
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

const folders = ['src', 'models', 'bench', 'test', 'examples']
const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...folders], {
  encoding: 'utf8',
})
const check = process.argv.includes('--check')
const wrong = []
for (const path of listed.split('\n').filter((name) => /\.(ts|mjs)$/.test(name))) {
  const text = readFileSync(path, 'utf8')
  const laidOut = formatter.formatText({ filePath: path, fileText: text })
  if (laidOut === text) continue
  wrong.push(path)
  if (!check) writeFileSync(path, laidOut)
}
for (const path of wrong) console.log(check ? `not laid out: ${path}` : `laid out: ${path}`)
if (check && wrong.length) {
  console.log(`${wrong.length} files; run 'npm run format'`)
  process.exit(1)
}
