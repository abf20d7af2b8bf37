// Tokens to a syntax tree, by recursive descent along WGSL's grammar.
import { failAt, tokenize } from './lexer.ts'
import { newVar, spanOf, StatementParser } from './parse-stmt.ts'
import type { Attribute, Decl, Expr, FunctionDecl, Program, StructDecl, VarDecl } from './tree.ts'
import { voidType } from './types.ts'

// The tree that was only looked at last: whoever compiles the text next takes it over, for parsing is slow while the
// parser is cold.
let seen: { source: string, program: Program } | null = null

/**
 * Parses a module. Throws WgslError at the first thing that is not WGSL, and at an `enable` of what the embedded device
 * has not.
 */
export function parse(source: string): Program {
  const known = seen?.source === source && [...seen.program.enables].every((feature) => feature === 'f16')
    ? seen.program
    : null
  if (known) seen = null // a tree is checked, which writes types into it, only once
  return known ?? new Parser(tokenize(source), false).program()
}

/**
 * The tree of a module of any features, to be read and left as it is. Throws WgslError at the first thing that is not
 * WGSL.
 */
export function parseTree(source: string): Program {
  const program = new Parser(tokenize(source), true).program()
  seen = { source, program }
  return program
}

/** Reads declarations. */
class Parser extends StatementParser {
  program(): Program {
    const program: Program = { decls: [], asserts: [], enables: new Set(), scope: new Map() }
    while (this.is('enable') || this.is('requires') || this.is('diagnostic')) this.directive(program)
    while (this.token.kind !== 'end') {
      if (this.accept(';')) continue
      if (this.is('const_assert')) {
        program.asserts.push(this.constAssert())
        continue
      }
      if (this.is('enable') || this.is('requires') || this.is('diagnostic')) {
        throw failAt(this.token, `'${this.token.text}' must come before all declarations: move it to the top`)
      }
      program.decls.push(this.globalDecl())
    }
    return program
  }

  private directive(program: Program) {
    const keyword = this.tokens[this.at++]
    if (keyword.text === 'diagnostic') this.parenthesised()
    else {
      do {
        const feature = this.name('a feature name')
        if (keyword.text === 'enable') {
          if (feature.text !== 'f16' && !this.anyFeature) {
            throw failAt(feature, `enable ${feature.text}: not supported on the embedded device (only f16 is)`)
          }
          program.enables.add(feature.text)
        }
      } while (this.accept(',') && !this.is(';'))
    }
    this.expect(';', `after ${keyword.text}`)
  }
  private globalDecl(): Decl {
    const attributes = this.attributes()
    const token = this.token
    if (this.is('fn')) return this.functionDecl(attributes)
    if (this.is('var') || this.is('override') || this.is('const')) {
      const decl = this.varDecl(attributes, true)
      this.expect(';', `after the declaration of '${decl.name}'`)
      return decl
    }
    if (attributes.length) throw failAt(attributes[0], `@${attributes[0].name} cannot stand before '${token.text}'`)
    if (this.accept('struct')) return this.structDecl()
    if (this.accept('alias')) {
      const name = this.name('a type name')
      this.expect('=', `after alias ${name.text}`)
      const typeExpr = this.typeExpression()
      this.expect(';', `after alias ${name.text}`)
      return { ...spanOf(name), kind: 'alias', name: name.text, typeExpr }
    }
    if (this.is('let')) {
      throw failAt(
        token,
        "'let' only stands inside functions: use 'const', 'override' or 'var<private>' at module scope",
      )
    }
    throw failAt(token, `expected a declaration (fn, var, struct, const, override, alias), got '${token.text}'`)
  }

  private structDecl(): StructDecl {
    const name = this.name('a struct name')
    const members: StructDecl['members'] = []
    this.expect('{', `after struct ${name.text}`)
    while (!this.is('}')) {
      const attributes = this.attributes()
      const member = this.name('a member name')
      this.expect(':', `after member ${member.text}`)
      members.push({ ...spanOf(member), name: member.text, attributes, typeExpr: this.typeExpression() })
      if (!this.accept(',')) break
    }
    this.expect('}', `to close struct ${name.text}`)
    return { ...spanOf(name), kind: 'struct', name: name.text, members }
  }

  private functionDecl(attributes: Attribute[]): FunctionDecl {
    this.expect('fn', 'here')
    const name = this.name('a function name')
    this.expect('(', `after fn ${name.text}`)
    const params: VarDecl[] = []
    while (!this.is(')')) {
      const attributes = this.attributes()
      const param = this.name('a parameter name')
      this.expect(':', `after parameter ${param.text}`)
      params.push(newVar('param', param, this.typeExpression(), null, attributes, false))
      if (!this.accept(',')) break
    }
    this.expect(')', `to close the parameters of ${name.text}`)
    let resultExpr: Expr | null = null
    if (this.accept('->')) {
      this.attributes()
      resultExpr = this.typeExpression()
    }
    this.attributes()
    const body = this.block(`as the body of ${name.text}`)
    return {
      ...spanOf(name),
      kind: 'function',
      name: name.text,
      params,
      resultExpr,
      result: voidType,
      body,
      attributes,
      workgroupSize: null,
      calls: new Map(),
      globals: new Set(),
      mustUse: attributes.some((a) => a.name === 'must_use'),
      checked: false,
    }
  }
}
