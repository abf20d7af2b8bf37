// Statements and what they share with declarations: attributes, variables, blocks.
import { failAt } from './lexer.ts'
import type { Span, Token } from './lexer.ts'
import { ExpressionParser } from './parse-expr.ts'
import type { Attribute, Block, CallExpr, Expr, IfStmt, Stmt, VarDecl } from './tree.ts'
import { voidType } from './types.ts'

const assignOps = ['=', '+=', '-=', '*=', '/=', '%=', '&=', '|=', '^=', '<<=', '>>=']

/** Reads statements. */
export class StatementParser extends ExpressionParser {
  protected parenthesised() {
    this.expect('(', 'here')
    for (let depth = 1; depth > 0; this.at++) {
      if (this.at >= this.tokens.length - 1) throw failAt(this.token, "expected ')'")
      depth += this.is('(') ? 1 : this.is(')') ? -1 : 0
    }
  }

  protected attributes(): Attribute[] {
    const list: Attribute[] = []
    while (this.accept('@')) {
      const token = this.token
      if (token.kind !== 'name') throw failAt(token, `expected an attribute name after '@', got '${token.text}'`)
      this.at++
      const args: Expr[] = []
      if (token.text === 'diagnostic') this.parenthesised()
      else if (this.accept('(')) {
        while (!this.is(')')) {
          args.push(this.expression())
          if (!this.accept(',')) break
        }
        this.expect(')', `to close @${token.text}`)
      }
      list.push({ name: token.text, args, line: token.line, column: token.column, length: token.length })
    }
    return list
  }

  protected varDecl(attributes: Attribute[], global: boolean): VarDecl {
    const kind = this.tokens[this.at++].text as VarDecl['kind']
    const spaceNames: string[] = []
    if (kind === 'var' && this.accept('<')) {
      while (!this.is('>')) {
        spaceNames.push(this.name('an address space').text)
        if (!this.accept(',')) break
      }
      this.expect('>', 'after the address space')
    }
    const name = this.name('a variable name')
    const typeExpr = this.accept(':') ? this.typeExpression() : null
    const init = this.accept('=') ? this.expression() : null
    const decl = newVar(kind, name, typeExpr, init, attributes, global)
    decl.spaceNames = spaceNames
    if (!init && (kind === 'let' || kind === 'const')) {
      throw failAt(name, `${kind} ${name.text} needs a value: add '= ...'`)
    }
    if (!init && !typeExpr) throw failAt(name, `'${name.text}' needs a type or a value`)
    return decl
  }

  protected constAssert() {
    const token = this.expect('const_assert', 'here')
    const condition = this.expression()
    this.expect(';', 'after const_assert')
    return { ...spanOf(token), kind: 'const_assert' as const, condition }
  }

  protected block(where: string): Block {
    return this.nest(() => {
      this.attributes()
      const open = this.expect('{', where)
      const body: Stmt[] = []
      while (!this.is('}')) {
        if (this.token.kind === 'end') throw failAt(open, "this '{' is never closed")
        const statement = this.statement()
        if (statement) body.push(statement)
      }
      this.at++
      return { ...spanOf(open), kind: 'block' as const, body }
    })
  }

  private statement(): Stmt | null {
    if (this.accept(';')) return null
    const attributes = this.attributes()
    const token = this.token, span = spanOf(token)
    if (this.is('{')) return this.block('here')
    if (attributes.length && !['if', 'switch', 'loop', 'for', 'while'].includes(token.text)) {
      throw failAt(attributes[0], `@${attributes[0].name} cannot stand before this statement`)
    }
    switch (token.kind === 'name' ? token.text : '') {
      case 'if':
        return this.ifStatement()
      case 'switch':
        return this.switchStatement()
      case 'loop':
        return this.loopStatement()
      case 'for':
        return this.forStatement()
      case 'while': {
        this.at++
        const condition = this.expression()
        return { ...span, kind: 'for', init: null, condition, update: null, body: this.block('after while') }
      }
      case 'const_assert':
        return this.constAssert()
      case 'discard':
        throw failAt(token, 'discard belongs to fragment shaders: not supported on the embedded device')
      case 'break':
      case 'continue': {
        this.at++
        if (token.text === 'break' && this.is('if')) throw failAt(token, "'break if' may only end a continuing block")
        this.expect(';', `after ${token.text}`)
        return { ...span, kind: token.text as 'break' }
      }
      case 'return': {
        this.at++
        const value = this.is(';') ? null : this.expression()
        this.expect(';', 'after return')
        return { ...span, kind: 'return', value }
      }
      case 'continuing':
        throw failAt(token, "'continuing' must be the last thing in a loop body")
      case 'fn':
      case 'struct':
      case 'override':
      case 'alias':
        throw failAt(token, `'${token.text}' belongs at module scope`)
    }
    const simple = this.simpleStatement()
    this.expect(';', 'after the statement')
    return simple
  }

  /** What may stand in a for header: declarations, assignments, steps, calls. */
  private simpleStatement(): Stmt {
    const token = this.token, span = spanOf(token)
    if (this.is('var') || this.is('let') || this.is('const')) {
      return { ...span, kind: 'decl', decl: this.varDecl([], false) }
    }
    if (this.is('_')) {
      this.at++
      this.expect('=', "after '_'")
      return { ...span, kind: 'assign', target: null, op: '', value: this.expression() }
    }
    const target = this.unary()
    const ahead = this.joined()
    if (ahead === '++' || ahead === '--') {
      this.at++
      return { ...span, kind: 'step', target, by: ahead === '++' ? 1 : -1 }
    }
    if (assignOps.includes(ahead)) {
      this.skipJoined(ahead)
      return { ...span, kind: 'assign', target, op: ahead.slice(0, -1), value: this.expression() }
    }
    if (target.kind !== 'call') throw failAt(token, 'expected a statement: an assignment, a call or a declaration')
    return { ...span, kind: 'call', call: target as CallExpr }
  }

  private ifStatement(): IfStmt {
    return this.nest(() => {
      const span = spanOf(this.expect('if', 'here'))
      const condition = this.expression()
      const then = this.block('after the condition')
      let otherwise: IfStmt['otherwise'] = null
      if (this.accept('else')) otherwise = this.is('if') ? this.ifStatement() : this.block('after else')
      return { ...span, kind: 'if' as const, condition, then, otherwise }
    })
  }

  private switchStatement(): Stmt {
    const span = spanOf(this.expect('switch', 'here'))
    const value = this.expression()
    const clauses: { selectors: (Expr | null)[], body: Block }[] = []
    this.attributes()
    this.expect('{', 'after switch')
    while (!this.accept('}')) {
      const selectors: (Expr | null)[] = []
      if (this.accept('default')) selectors.push(null)
      else {
        this.expect('case', 'in switch')
        while (!this.is(':') && !this.is('{')) {
          selectors.push(this.accept('default') ? null : this.expression())
          if (!this.accept(',')) break
        }
      }
      this.accept(':')
      clauses.push({ selectors, body: this.block('after case') })
    }
    return { ...span, kind: 'switch', value, clauses }
  }

  private loopStatement(): Stmt {
    const span = spanOf(this.expect('loop', 'here'))
    this.attributes()
    const open = this.expect('{', 'after loop')
    const body: Stmt[] = []
    let continuing: Block | null = null, breakIf: Expr | null = null
    while (!this.is('}')) {
      if (this.token.kind === 'end') throw failAt(open, "this '{' is never closed")
      if (!this.accept('continuing')) {
        const statement = this.nest(() => this.statement())
        if (statement) body.push(statement)
        continue
      }
      this.attributes()
      const opened = this.expect('{', 'after continuing')
      const inner: Stmt[] = []
      while (!this.is('}')) {
        if (this.tokens[this.at].kind === 'end') throw failAt(opened, "this '{' is never closed")
        if (this.is('break') && this.tokens[this.at + 1].text === 'if') {
          this.at += 2
          breakIf = this.expression()
          this.expect(';', 'after break if')
          if (!this.is('}')) throw failAt(this.token, "'break if' must be the last statement of continuing")
        } else {
          const statement = this.statement()
          if (statement) inner.push(statement)
        }
      }
      this.at++
      continuing = { ...spanOf(opened), kind: 'block', body: inner }
      if (!this.is('}')) throw failAt(this.token, "'continuing' must be the last thing in a loop body")
    }
    this.at++
    return { ...span, kind: 'loop', body: { ...spanOf(open), kind: 'block', body }, continuing, breakIf }
  }

  private forStatement(): Stmt {
    const span = spanOf(this.expect('for', 'here'))
    this.expect('(', 'after for')
    const init = this.is(';') ? null : this.simpleStatement()
    this.expect(';', 'after the first part of for')
    const condition = this.is(';') ? null : this.expression()
    this.expect(';', 'after the condition of for')
    const update = this.is(')') ? null : this.simpleStatement()
    if (update?.kind === 'decl') throw failAt(update, 'a declaration cannot be the last part of for')
    this.expect(')', 'to close for')
    return { ...span, kind: 'for', init, condition, update, body: this.block('after for') }
  }
}

/** Where something stands, without the thing. */
export const spanOf = (span: Span): Span => ({ line: span.line, column: span.column, length: span.length })

/** A variable, constant, override or parameter that nothing is known of but its text. */
export function newVar(
  kind: VarDecl['kind'],
  name: Token,
  typeExpr: Expr | null,
  init: Expr | null,
  attributes: Attribute[],
  global: boolean,
): VarDecl {
  return {
    line: name.line,
    column: name.column,
    length: name.length,
    kind,
    name: name.text,
    typeExpr,
    init,
    attributes,
    spaceNames: [],
    global,
    type: voidType,
    space: 'function',
    access: 'read_write',
    stage: 'runtime',
    assigned: false,
    group: -1,
    binding: -1,
    id: null,
    builtin: null,
  }
}
