// WGSL text to tokens. `<` and `>` come out one character at a time where they might close a template list; the parser
// joins them again, because only it knows whether `>>` is a shift or the end of `array<vec4<f32>>`.
import { WgslError } from '../abi.ts'

/** Where a construct begins and how long it is. */
export interface Span {
  line: number
  column: number
  length: number
}

/**
 * `value` holds literals: `suffix` is '', 'i', 'u', 'f' or 'h'; `isFloat` says which abstract type it has without one.
 */
export interface Token extends Span {
  kind: 'name' | 'number' | 'symbol' | 'end'
  text: string
  suffix: string
  isFloat: boolean
  /** True if no blank stands between this token and the next. */
  tight: boolean
}

const symbols = [
  '<<=',
  '&&',
  '||',
  '->',
  '==',
  '!=',
  '<=',
  '<<',
  '+=',
  '-=',
  '*=',
  '/=',
  '%=',
  '&=',
  '|=',
  '^=',
  '++',
  '--',
]
const second = new Set(symbols.map((s) => s[1]))
const single = '()[]{}<>;:,.@=!+-*/%&|^~_'
// WGSL's own blankspace and line breaks: JavaScript's \s takes more for a blank (a byte order mark) and less (U+0085)
const lineBreak = /[\n\v\f\r\u0085\u2028\u2029]/
const blank = /[ \t\n\v\f\r\u0085\u200e\u200f\u2028\u2029]/
const namePart = /[\p{XID_Continue}]/u
// The common case first: a name of ASCII letters is far cheaper to find than one of any alphabet.
const asciiName = /[A-Za-z_][A-Za-z0-9_]*/y
// without what Unicode 15.1 added to XID_Continue: WGSL keeps to Unicode 14
const anyName = /[\p{XID_Start}_](?:(?![\u200c\u200d\u30fb\uff65])\p{XID_Continue})*/uy
const blanks = /[ \t\n\v\f\r\u0085\u200e\u200f\u2028\u2029]+/y
const numberPattern = new RegExp(
  [
    '0[xX][0-9a-fA-F]*\\.[0-9a-fA-F]*(?:[pP][+-]?[0-9]+)?[fh]?',
    '0[xX][0-9a-fA-F]+[pP][+-]?[0-9]+[fh]?',
    '0[xX][0-9a-fA-F]+[iu]?',
    '[0-9]*\\.[0-9]+(?:[eE][+-]?[0-9]+)?[fh]?',
    '[0-9]+\\.[0-9]*(?:[eE][+-]?[0-9]+)?[fh]?',
    '[0-9]+[eE][+-]?[0-9]+[fh]?',
    '[0-9]+[iufh]?',
  ].join('|'),
  'y',
)

/** The error thrown for a span. */
export function failAt(span: Span, message: string): WgslError {
  return new WgslError(message, span.line, span.column, span.length)
}

/** All tokens of a shader, comments and blanks left out, closed by one of kind `end`. Throws WgslError. */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  let at = 0, line = 1, lineStart = 0
  if (source.includes('\0')) {
    const before = source.slice(0, source.indexOf('\0')).split('\n')
    throw failAt(
      { line: before.length, column: before.at(-1)!.length + 1, length: 1 },
      'a shader must not contain the character U+0000',
    )
  }
  const advance = (count: number) => {
    for (let i = 0; i < count; i++, at++) {
      if (source[at] === '\n' || (lineBreak.test(source[at]) && !source.startsWith('\r\n', at))) {
        line++
        lineStart = at + 1
      }
    }
  }
  const push = (kind: Token['kind'], text: string, suffix = '', isFloat = false) => {
    tokens.push({
      kind,
      text,
      suffix,
      isFloat,
      line,
      column: at - lineStart + 1,
      length: text.length + suffix.length,
      tight: false,
    })
    advance(text.length + suffix.length)
    tokens[tokens.length - 1].tight = at < source.length && !blank.test(source[at])
  }
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0]
  }
  while (at < source.length) {
    const here = { line, column: at - lineStart + 1, length: 1 }
    const gap = match(blanks)
    if (gap) advance(gap.length)
    else if (source.startsWith('//', at)) {
      while (at < source.length && !lineBreak.test(source[at])) at++
    } else if (source.startsWith('/*', at)) {
      let depth = 0
      do { // block comments nest in WGSL
        if (source.startsWith('/*', at)) {
          depth++
          advance(2)
        } else if (source.startsWith('*/', at)) {
          depth--
          advance(2)
        } else advance(1)
      } while (depth > 0 && at < source.length)
      if (depth > 0) throw failAt(here, 'block comment is never closed: add */')
    } else {
      numberPattern.lastIndex = at
      const digit = /[0-9]/.test(source[at]) || (source[at] === '.' && /[0-9]/.test(source[at + 1] ?? ''))
      const found = digit ? numberPattern.exec(source)?.[0] : undefined
      const ascii = found === undefined ? match(asciiName) : undefined
      const name = ascii !== undefined && !(source.charCodeAt(at + ascii.length) >= 128)
        ? ascii
        : found === undefined
        ? match(anyName) ?? ascii
        : undefined
      if (found !== undefined) pushNumber(found, here)
      else if (name !== undefined && name !== '_') {
        if (name.startsWith('__')) {
          throw failAt({ ...here, length: name.length }, `'${name}': names must not begin with two underscores`)
        }
        push('name', name)
      } else {
        const character = String.fromCodePoint(source.codePointAt(at)!)
        const double = second.has(source[at + 1]) ? symbols.find((s) => source.startsWith(s, at)) : undefined
        const symbol = double ?? (single.includes(character) ? character : undefined)
        if (character === '\ufeff') {
          throw failAt(here, 'a byte order mark (U+FEFF) has no meaning in WGSL: save the file as UTF-8 without one')
        }
        if (symbol === undefined) throw failAt(here, `character '${character}' has no meaning in WGSL`)
        push('symbol', symbol)
      }
    }
  }
  tokens.push({
    kind: 'end',
    text: 'end of file',
    suffix: '',
    isFloat: false,
    line,
    column: at - lineStart + 1,
    length: 0,
    tight: false,
  })
  return tokens

  function pushNumber(found: string, here: Span) {
    const hex = /^0[xX]/.test(found)
    const hasSuffix = hex ? /[pP.].*[fh]$|[iu]$/.test(found) : /[iufh]$/.test(found)
    const text = hasSuffix ? found.slice(0, -1) : found
    const suffix = hasSuffix ? found.at(-1)! : ''
    const isFloat = hex ? /[pP.]/.test(text) : /[.eE]/.test(text)
    const after = source[at + found.length] ?? ''
    if (namePart.test(after)) throw failAt({ ...here, length: found.length + 1 }, `'${found}${after}' is not a number`)
    if (!isFloat && !hex && /^0[0-9]/.test(text)) {
      throw failAt({ ...here, length: found.length }, `'${found}': no leading zeros in WGSL integers`)
    }
    push('number', text, suffix, isFloat || suffix === 'f' || suffix === 'h')
  }
}

/** The exact double of a number token's text; hexadecimal floats included. */
export function numberValue(text: string): number {
  if (!/^0[xX]/.test(text) || !/[pP.]/.test(text)) return Number(text)
  const [, whole, part = '', exponent = '0'] = /^0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?[0-9]+))?$/.exec(
    text,
  )!
  return Number(BigInt(`0x${whole}${part}` === '0x' ? 0 : `0x${whole}${part}`))
    * 2 ** (Number(exponent) - 4 * part.length)
}
