import { expect, test } from 'vitest'
import { plain, quoted, shown } from '../../src/base/quote.ts'

test.each([
  ['a name with blanks and ünïcödé 名前 🙂', 'a name with blanks and ünïcödé 名前 🙂'],
  ['line\nforged: ok', 'line\\nforged: ok'],
  ['\u001b[31mred\u001b[0m', '\\e[31mred\\e[0m'],
  ['\u001b]8;;http://example.org\u0007link', '\\e]8;;http://example.org\\u{7}link'],
  ['\u009b2J', '\\u{9b}2J'],
  ['gpj.\u202exe', 'gpj.\\u{202e}xe'],
  ['zero\u200bwidth\ufeff', 'zero\\u{200b}width\\u{feff}'],
  ['tag\u{e0041}', 'tag\\u{e0041}'],
  ['half \ud800 pair', 'half \\u{d800} pair'],
  ['a\u2028b\r\tc', 'a\\u{2028}b\\r\\tc'],
])('%j is shown as %j', (text, safe) => {
  expect(plain(text)).toBe(safe)
  expect(quoted(text)).toBe(`'${safe}'`)
})

test('a megabyte is cut, and says so', () => {
  const text = plain('x'.repeat(1_000_000))
  expect(text.length).toBeLessThan(260)
  expect(text).toContain('[...999800 characters...]')
  expect(plain('\u001b'.repeat(1_000_000)).length).toBeLessThan(500)
})

test('values of strangers', () => {
  expect(shown({ a: '\u001b[2J' })).toBe('{"a":"\\u001b[2J"}')
  expect(shown('\u202e')).toBe('"\\u{202e}"')
  expect(shown(undefined)).toBe('nothing')
  expect(shown(12n)).toBe('"12n"'.replaceAll('"', ''))
  expect(shown(['x'.repeat(1000)]).length).toBeLessThanOrEqual(80)
  const circle: Record<string, unknown> = {}
  circle.circle = circle
  expect(shown(circle)).toBe('an object')
  const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`) as unknown
  expect(shown(deep)).toBe('a list of 1')
  expect(shown({ a: deep })).toBe('an object')
  expect(shown({ toString: {} })).toBe('{"toString":{}}')
  expect(shown({ toString: {}, deep })).toBe('an object')
  expect(shown(() => 1)).toBe('a function')
})
