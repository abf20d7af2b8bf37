// Lists source files with logic that no test uses: `npm run untested`. A file is tested where a test file stands at
// the same place under test/, or where any file of the tests uses one of its exports: names are followed through re-
// exports, types do not count, nor does a name that is imported and not used. Of a folder that is a registry the test
// of its name reads all files. A file may still be run by the tests of what uses it; the list is where to look first.
// `--most 106`, which lint runs, fails where the list is longer.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'

const filesOf = (folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name)))
const isSource = (path) => /\.ts$/.test(path) && !/\.(generated|d|browser)\.ts$/.test(path)
const parse = (path) => ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true)
const isRelative = (node) => node && ts.isStringLiteral(node) && node.text.startsWith('.')

/** What a file exports: its own values, and for those of other files where from and by what name (`*`: all). */
function exportsOf(tree) {
  const own = new Set(), passed = []
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement)) {
      if (statement.isTypeOnly) continue
      const from = isRelative(statement.moduleSpecifier)
        ? join(dirname(tree.fileName), statement.moduleSpecifier.text)
        : null
      if (!statement.exportClause) passed.push({ from, name: '*', inner: '*' })
      else if (ts.isNamedExports(statement.exportClause)) {
        for (const one of statement.exportClause.elements) {
          if (one.isTypeOnly) continue
          const inner = (one.propertyName ?? one.name).text
          if (statement.moduleSpecifier) passed.push({ from, name: one.name.text, inner })
          else own.add(one.name.text)
        }
      }
    } else if (statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) {
      if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) continue
      const named = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement]
      for (const { name } of named) {
        if (name && ts.isIdentifier(name)) own.add(name.text)
        else name?.elements?.forEach((element) => own.add(element.name.text))
      }
    }
  }
  return { own, passed }
}

/** The names of other files that a file uses: `{ from, name }`. */
function usesOf(tree) {
  const found = [], spaces = new Map(), local = new Map()
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement) && isRelative(statement.moduleSpecifier)) {
      const from = join(dirname(tree.fileName), statement.moduleSpecifier.text)
      for (const one of statement.exportClause?.elements ?? []) {
        found.push({ from, name: (one.propertyName ?? one.name).text })
      }
    }
    if (!ts.isImportDeclaration(statement) || !isRelative(statement.moduleSpecifier)) continue
    const from = join(dirname(tree.fileName), statement.moduleSpecifier.text), clause = statement.importClause
    if (!clause || clause.isTypeOnly || !clause.namedBindings) continue
    if (ts.isNamespaceImport(clause.namedBindings)) spaces.set(clause.namedBindings.name.text, from)
    else {
      for (const one of clause.namedBindings.elements) {
        if (!one.isTypeOnly) local.set(one.name.text, { from, name: (one.propertyName ?? one.name).text })
      }
    }
  }
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return
    if (ts.isIdentifier(node) && local.has(node.text) && !isLabel(node)) found.push(local.get(node.text))
    if (ts.isPropertyAccessExpression(node) && spaces.has(node.expression.text)) {
      found.push({ from: spaces.get(node.expression.text), name: node.name.text })
    }
    const [argument] = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
      ? node.arguments
      : []
    if (isRelative(argument)) found.push(...ofDynamic(node, join(dirname(tree.fileName), argument.text)))
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

/** Whether an identifier is only the name of a property. */
const isLabel = ({ parent, text }) =>
  ts.isPropertyAccessExpression(parent) && parent.name.text === text && parent.expression.text !== text
  || ts.isPropertyAssignment(parent) && parent.name.text === text && parent.initializer.text !== text

/** The names that `await import(...)` takes, where it takes them at once. */
function ofDynamic(call, from) {
  let outer = call.parent
  while (ts.isAwaitExpression(outer) || ts.isParenthesizedExpression(outer)) outer = outer.parent
  if (ts.isPropertyAccessExpression(outer)) return [{ from, name: outer.name.text }]
  if (!ts.isVariableDeclaration(outer) || !ts.isObjectBindingPattern(outer.name)) return []
  return outer.name.elements.map((one) => ({ from, name: (one.propertyName ?? one.name).text }))
}

const sources = filesOf('src').filter(isSource)
const exported = new Map(
  [...sources, ...filesOf('models').filter(isSource)].map((path) => [path, exportsOf(parse(path))]),
)

/** The file in which an export is written. */
function origin(from, name, seen = new Set()) {
  const { own, passed } = exported.get(from) ?? { own: new Set(), passed: [] }
  if (own.has(name)) return from
  if (seen.has(from)) return null
  seen.add(from)
  for (const one of passed) {
    if (one.from === null || (one.name !== '*' && one.name !== name)) continue
    const found = origin(one.from, one.name === '*' ? name : one.inner, seen)
    if (found) return found
  }
  return null
}

const used = new Set(
  filesOf('test').filter((path) => /\.m?ts$/.test(path)).flatMap((path) =>
    usesOf(parse(path)).map(({ from, name }) => origin(from, name))
  ),
)
const hasLogic = (path) => /=>|\bfunction\b|\bclass\b/.test(readFileSync(path, 'utf8'))
// What exports nothing but types is started as a process or a worker, or has no logic.
const hasValues = (path) => exported.get(path).own.size > 0
const registered = new Set(
  filesOf('src').filter((path) => /\.generated\.ts$/.test(path)).flatMap((path) =>
    parse(path).statements.filter((one) => ts.isImportDeclaration(one) && isRelative(one.moduleSpecifier))
      .map(({ moduleSpecifier }) => join(dirname(path), moduleSpecifier.text))
  ),
)
const isTested = (path) =>
  used.has(path) || registered.has(path) && existsSync(`${dirname(path).replace(/^src/, 'test')}.test.ts`)
const hasTest = (path) => isTested(path) || existsSync(path.replace(/^src/, 'test').replace(/\.ts$/, '.test.ts'))

const missing = sources.filter((path) => hasLogic(path) && hasValues(path) && !hasTest(path)).sort()
for (const path of missing) console.log(path)
console.log(`${missing.length} of ${sources.length} source files are used by no test`)

const at = process.argv.indexOf('--most')
if (at > 0 && missing.length > Number(process.argv[at + 1])) {
  console.log(`expected at most ${process.argv[at + 1]}: write a test that uses what the new file exports`)
  process.exitCode = 1
}
