// Syntax trees of WGSL: precedence, statements, and where a mistake is said to be.
import { describe, expect, test } from 'vitest'
import { WgslError } from '../../../src/cpu/abi.ts'
import { parse, parseTree } from '../../../src/cpu/compiler/parse.ts'
import { type Expr, walk } from '../../../src/cpu/compiler/tree.ts'

/** An expression with all its brackets. */
function shown(e: Expr): string {
  switch (e.kind) {
    case 'binary':
      return `(${shown(e.left)}${e.op}${shown(e.right)})`
    case 'unary':
      return `(${e.op}${shown(e.operand)})`
    case 'name':
      return e.name
    case 'number':
      return e.text
    case 'index':
      return `${shown(e.base)}[${shown(e.index)}]`
    case 'member':
      return `${shown(e.base)}.m`
    case 'call':
      return `${e.callee}(${e.args.map(shown).join()})`
    default:
      return e.kind
  }
}
const inits = (source: string) =>
  parseTree(source).decls.map((decl) => 'init' in decl && decl.init ? shown(decl.init) : decl.kind)

describe('precedence', () => {
  test.each([
    ['a + b * c', '(a+(b*c))'],
    ['a - b - c', '((a-b)-c)'],
    ['-a * b', '((-a)*b)'],
    ['a < b && c > d', '((a<b)&&(c>d))'],
    ['(a + b) * c', '((a+b)*c)'],
    ['a[b + 1].x', 'a[(b+1)].m'],
    ['f(a, b * 2)', 'f(a,(b*2))'],
    ['!a || b', '((!a)||b)'],
  ])('%s', (source, expected) => expect(inits(`const x = ${source};`)).toEqual([expected]))

  test('what WGSL wants brackets for is refused without', () => {
    for (const source of ['a & b | c', 'a && b || c', 'a << b + c', 'a < b < c']) {
      expect(() => parse(`const x = ${source};`), source).toThrow(WgslError)
    }
  })
})

test('statements of every kind', () => {
  const { decls: [fn] } = parseTree(`fn f() {
    var a = 1; let b = 2; a += b; a++; _ = a; g();
    if (a < b) { return; } else if (a > b) { } else { }
    for (var i = 0; i < 4; i++) { continue; }
    while (true) { break; }
    loop { continuing { a--; break if a == 0; } }
    switch (a) { case 1, 2: { } default { } }
  }`)
  if (fn.kind !== 'function') throw new Error('no function')
  expect(fn.body.body.map(({ kind }) => kind)).toEqual(
    ['decl', 'decl', 'assign', 'step', 'assign', 'call', 'if', 'for', 'for', 'loop', 'switch'],
  )
  const names = new Set<string>()
  walk(fn.body, (node) => {
    if (node.kind === 'name') names.add(node.name)
  })
  expect([...names].sort()).toEqual(['a', 'b', 'i'])
})

describe('mistakes stand where they are', () => {
  test.each([
    ['fn f() {\n  let a = ;\n}', 2, 11],
    ['const a = 1', 1, 12],
    ['fn f() { if (a) { }', 1, 8],
    ['struct S { a: f32\n  b: f32 }', 2, 3],
    ['enable subgroups;', 1, 8],
  ])('%j', (source, line, column) => {
    expect(() => parse(source)).toThrow(expect.objectContaining({ line, column }) as Error)
  })

  test('a feature nobody has is still a tree for those who only look', () => {
    expect(parseTree('enable subgroups;').enables).toEqual(new Set(['subgroups']))
  })
})
