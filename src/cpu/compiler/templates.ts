// Which `<` open template lists. WGSL decides that before it parses, by brackets alone: `pick(a < b, c > d)` is a call
// with one argument, the list `a<b, c>` followed by `d`, even where a, b and c are numbers.
import type { Token } from './lexer.ts'

/** Indices of the tokens that open a template list, each with the index of the `>` that closes it. */
export function templateLists(tokens: Token[]): Map<number, number> {
  const lists = new Map<number, number>()
  let pending: { at: number, depth: number }[] = [], depth = 0
  const closeDeeper = () => {
    while (pending.length > 0 && pending.at(-1)!.depth >= depth) pending.pop()
  }
  for (let at = 0; at < tokens.length; at++) {
    const { kind, text } = tokens[at]
    if (kind === 'name') {
      // `a <<` and `a <=` are tokens of their own
      if (tokens[at + 1].kind === 'symbol' && tokens[at + 1].text === '<') pending.push({ at: ++at, depth })
      continue
    }
    if (kind !== 'symbol') continue
    if (text === '>') {
      const open = pending.at(-1)
      if (open?.depth === depth) {
        lists.set(open.at, at)
        pending.pop()
      } else if (tokens[at].tight && tokens[at + 1].text === '=') at++ // `>=`
    } else if (text === '(' || text === '[') depth++
    else if (text === ')' || text === ']') {
      closeDeeper()
      depth = Math.max(0, depth - 1)
    } else if (text === ';' || text === '{' || text === ':' || /^([-+*/%&|^]|<<)?=$/.test(text)) {
      depth = 0
      pending = []
    } else if (text === '&&' || text === '||') closeDeeper()
  }
  return lists
}
