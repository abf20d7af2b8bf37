// The expressions of WGSL: its operators do not mix as freely as C's. Also the reading of tokens, which parse.ts builds
// upon.
import { failAt } from './lexer.ts'
import type { Token } from './lexer.ts'
import { templateLists } from './templates.ts'
import type { Expr } from './tree.ts'
import { voidType } from './types.ts'

const reserved = new Set(
  ('NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast '
    + 'catch class co_await co_return co_yield coherent column_major common compile compile_fragment '
    + 'concept const_cast consteval constexpr constinit crate debugger decltype delete demote '
    + 'demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough filter '
    + 'final finally friend from fxgroup get goto groupshared highp impl implements import inline '
    + 'instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable '
    + 'namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null '
    + 'nullptr of operator package packoffset partition pass patch pixelfragment precise precision premerge '
    + 'priv protected pub public readonly ref regardless register reinterpret_cast require resource '
    + 'restrict self set shared sizeof smooth snorm static static_assert static_cast std subroutine super '
    + 'target template this thread_local throw trait try type typedef typeid typename typeof union unless '
    + 'unorm unsafe unsized use using varying virtual volatile wgsl where with writeonly yield').split(' '),
)
const keywords = new Set(
  ('alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let '
    + 'loop override requires return struct switch true var while').split(' '),
)

// Nodes are written out field by field: spreading a span into each costs more than all the rest of the parser.
/** Reads expressions and types from tokens. Throws WgslError at the first token that does not fit. */
export class ExpressionParser {
  protected readonly tokens: Token[]
  protected at = 0
  private readonly lists: Map<number, number>
  private readonly closers: Set<number>
  private depth = 0
  protected readonly anyFeature: boolean
  constructor(tokens: Token[], anyFeature: boolean) {
    this.tokens = tokens
    this.lists = templateLists(tokens)
    this.closers = new Set(this.lists.values())
    this.anyFeature = anyFeature
  }

  protected get token(): Token {
    return this.tokens[this.at]
  }
  protected is(text: string): boolean {
    return this.token.text === text && this.token.kind !== 'number' && this.token.kind !== 'end'
  }
  protected accept(text: string): boolean {
    if (!this.is(text)) return false
    this.at++
    return true
  }
  protected expect(text: string, where: string): Token {
    if (!this.is(text)) {
      const before = text === ';' ? this.tokens[this.at - 1] : null // a forgotten ';' belongs behind the token before
      throw failAt(
        before ? { line: before.line, column: before.column + before.length, length: 1 } : this.token,
        `expected '${text}' ${where}, got '${this.token.text}'`,
      )
    }
    return this.tokens[this.at++]
  }
  protected name(what: string): Token {
    const token = this.token
    if (token.kind !== 'name') throw failAt(token, `expected ${what}, got '${token.text}'`)
    if (keywords.has(token.text)) throw failAt(token, `'${token.text}' is a keyword and cannot be ${what}`)
    if (reserved.has(token.text)) throw failAt(token, `'${token.text}' is a reserved word of WGSL: choose another name`)
    this.at++
    return token
  }
  protected nest<T>(inner: () => T): T { // keeps absurdly nested text from overflowing the stack
    if (++this.depth > 200) throw failAt(this.token, 'nested deeper than 200 levels')
    const result = inner()
    this.depth--
    return result
  }

  /** The operator at this point, `>` joined with what follows it. */
  protected joined(): string {
    if (this.token.kind !== 'symbol' || this.token.text !== '>') {
      return this.token.kind === 'symbol'
        ? this.token.text
        : ''
    }
    const [, second, third] = this.tokens.slice(this.at, this.at + 3)
    if (!this.token.tight) return '>'
    if (second.text === '=') return '>='
    if (second.text === '>') return second.tight && third.text === '=' ? '>>=' : '>>'
    return '>'
  }
  protected skipJoined(operator: string) {
    this.at += operator.startsWith('>') ? operator.length : 1
  }
  /** The binary operator here; the `>` that closes a template list is none. */
  private operator(): string {
    return this.closers.has(this.at) ? '' : this.joined()
  }

  expression(): Expr {
    return this.nest(() => {
      const first = this.unary()
      const bitwise = this.operator()
      if (bitwise === '&' || bitwise === '|' || bitwise === '^') {
        let left = first
        while (this.operator() === bitwise) left = this.binary(left, bitwise, () => this.unary())
        const next = this.operator()
        if (
          ['&', '|', '^', '+', '-', '*', '/', '%', '<<', '>>', '==', '!=', '<', '>', '<=', '>=', '&&', '||'].includes(
            next,
          )
        ) {
          throw failAt(this.token, `'${bitwise}' and '${next}' do not mix without parentheses in WGSL`)
        }
        return left
      }
      let left = this.relational(first)
      const logical = this.operator()
      if (logical === '&&' || logical === '||') {
        while (this.operator() === logical) left = this.binary(left, logical, () => this.relational(this.unary()))
        if (this.operator() === '&&' || this.operator() === '||') {
          throw failAt(this.token, "'&&' and '||' do not mix without parentheses in WGSL")
        }
      }
      return left
    })
  }
  private binary(left: Expr, op: string, right: () => Expr): Expr {
    const span = this.token
    this.skipJoined(op)
    return {
      line: span.line,
      column: span.column,
      length: op.length,
      type: voidType,
      stage: 'runtime',
      effects: false,
      kind: 'binary',
      op,
      left,
      right: right(),
    }
  }
  private relational(first: Expr): Expr {
    let left = this.shift(first)
    const op = this.operator()
    if (['<', '>', '<=', '>=', '==', '!='].includes(op)) {
      left = this.binary(left, op, () => this.shift(this.unary()))
      if (['<', '>', '<=', '>=', '==', '!='].includes(this.operator())) {
        throw failAt(this.token, 'comparisons do not chain in WGSL: add parentheses')
      }
    }
    return left
  }
  private shift(first: Expr): Expr {
    const op = this.operator()
    if (op === '<<' || op === '>>') {
      const shifted = this.binary(first, op, () => this.unary())
      const next = this.operator()
      if (['+', '-', '*', '/', '%', '<<', '>>', '&', '|', '^'].includes(next)) {
        throw failAt(this.token, `'${op}' and '${next}' do not mix without parentheses in WGSL`)
      }
      return shifted
    }
    let left = this.multiplicative(first)
    for (let next = this.operator(); next === '+' || next === '-'; next = this.operator()) {
      left = this.binary(left, next, () => this.multiplicative(this.unary()))
    }
    const next = this.operator()
    if (['<<', '>>', '&', '|', '^'].includes(next)) {
      throw failAt(this.token, `'${next}' needs parentheses around its operands here`)
    }
    return left
  }
  private multiplicative(first: Expr): Expr {
    let left = first
    for (let op = this.operator(); op === '*' || op === '/' || op === '%'; op = this.operator()) {
      left = this.binary(left, op, () => this.unary())
    }
    return left
  }

  protected unary(): Expr {
    const token = this.token
    if (token.kind === 'symbol' && ['-', '!', '~', '&', '*'].includes(token.text)) {
      this.at++
      return this.nest((): Expr => ({
        line: token.line,
        column: token.column,
        length: token.length,
        type: voidType,
        stage: 'runtime',
        effects: false,
        kind: 'unary',
        op: token.text as '-',
        operand: this.unary(),
      }))
    }
    if (this.is('++') || this.is('--')) {
      throw failAt(token, `'${token.text}' is a statement in WGSL and comes after the variable`)
    }
    return this.postfix(this.primary())
  }
  private postfix(inner: Expr): Expr {
    for (let expr = inner;;) {
      if (this.accept('[')) {
        const index = this.expression()
        this.expect(']', 'after the index')
        expr = {
          line: expr.line,
          column: expr.column,
          length: expr.length,
          type: voidType,
          stage: 'runtime',
          effects: false,
          kind: 'index',
          base: expr,
          index,
        }
      } else if (this.accept('.')) {
        const name = this.token
        if (name.kind !== 'name') throw failAt(name, `expected a member name after '.', got '${name.text}'`)
        this.at++
        expr = {
          line: name.line,
          column: name.column,
          length: name.length,
          type: voidType,
          stage: 'runtime',
          effects: false,
          kind: 'member',
          base: expr,
          name: name.text,
          member: -1,
          swizzle: null,
        }
      } else return expr
    }
  }
  private primary(): Expr {
    const token = this.token
    if (token.kind === 'number') {
      this.at++
      return {
        line: token.line,
        column: token.column,
        length: token.length,
        type: voidType,
        stage: 'runtime',
        effects: false,
        kind: 'number',
        text: token.text,
        suffix: token.suffix,
        isFloat: token.isFloat,
      }
    }
    if (this.accept('(')) {
      const inner = this.expression()
      this.expect(')', 'to close the parenthesis')
      return inner
    }
    if (this.is('true') || this.is('false')) {
      this.at++
      return {
        line: token.line,
        column: token.column,
        length: token.length,
        type: voidType,
        stage: 'runtime',
        effects: false,
        kind: 'bool',
        truth: token.text === 'true',
      }
    }
    if (token.kind !== 'name') throw failAt(token, `expected an expression, got '${token.text}'`)
    const name = this.name('a name')
    const template = this.templateList(name.text)
    if (!this.is('(')) {
      return {
        line: name.line,
        column: name.column,
        length: name.length,
        type: voidType,
        stage: 'runtime',
        effects: false,
        kind: 'name',
        name: name.text,
        template,
      }
    }
    this.at++
    const args: Expr[] = []
    while (!this.is(')')) {
      args.push(this.expression())
      if (!this.accept(',')) break
    }
    this.expect(')', `to close the arguments of ${name.text}`)
    return {
      line: name.line,
      column: name.column,
      length: name.length,
      type: voidType,
      stage: 'runtime',
      effects: false,
      kind: 'call',
      callee: name.text,
      template,
      args,
    }
  }
  private templateList(name: string): Expr[] | null {
    const end = this.lists.get(this.at)
    if (end === undefined) return null
    this.at++
    const args: Expr[] = []
    while (this.at < end) {
      args.push(this.expression())
      if (!this.accept(',')) break
    }
    if (this.at !== end) throw failAt(this.token, `expected '>' to close ${name}<, got '${this.token.text}'`)
    this.at++
    return args
  }
  protected typeExpression(): Expr {
    return this.nest(() => {
      const name = this.name('a type')
      const template = this.templateList(name.text)
      if (this.is('<')) {
        throw failAt(name, `'${name.text}' takes no template arguments, or is not supported on the embedded device`)
      }
      return {
        line: name.line,
        column: name.column,
        length: name.length,
        type: voidType,
        stage: 'runtime' as const,
        effects: false,
        kind: 'name' as const,
        name: name.text,
        template,
      }
    })
  }
}
