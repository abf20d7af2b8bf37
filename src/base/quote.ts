// Text that is not ours (file names, tensor names, class names, JSON of strangers) on its way to a terminal or a log.
// Control characters would move the cursor, forge a second line or open links; bidirectional marks reorder what is
// read; a megabyte of it buries the message.

// C0 and C1 controls, line and paragraph separators, bidirectional and zero-width format characters, lone surrogates,
// byte order mark, interlinear marks and tags.
const unsafe = new RegExp(
  '[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff'
    + '\\ufff9-\\ufffb]|[\\u{e0000}-\\u{e007f}]|[\\ud800-\\udfff]',
  'gu',
)

const short: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u001b': '\\e' }

const escaped = (character: string) => short[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`

/**
 * The text on one line, without a character that a terminal obeys: those are written as escapes (`\e`, `\n`,
 * `\u202e`); what is longer than `limit` characters is cut in the middle, which is said.
 */
export function plain(text: string, limit = 200): string {
  const escape = (part: string) => part.replace(unsafe, escaped)
  if (text.length <= limit) return escape(text)
  const head = Math.ceil(limit * 2 / 3), tail = limit - head
  return `${escape(text.slice(0, head))}[...${text.length - limit} characters...]${
    escape(text.slice(text.length - tail))
  }`
}

/** Text of several lines, each safe: only line feeds and tabs stay as they are. For what is ours and quotes others. */
export function printable(text: string): string {
  return text.replace(unsafe, (character) => character === '\n' || character === '\t' ? character : escaped(character))
}

/** JSON on one line whose strings hold no character that a terminal obeys; it reads back as the same value. */
export function printableJson(value: unknown): string {
  const unit = (code: number) => `\\u${code.toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(
    unsafe,
    (character) => Array.from({ length: character.length }, (_, i) => unit(character.charCodeAt(i))).join(''),
  )
}

/** As `plain`, in single quotes: `'layer\n1'`. For names inside a sentence. */
export function quoted(text: string, limit = 200): string {
  return `'${plain(text, limit)}'`
}

/**
 * A value of unknown origin as JSON, safe and at most `limit` characters long; what JSON cannot hold is described, and
 * where there is none it is `nothing`.
 */
export function shown(value: unknown, limit = 80): string {
  const safe = plain(textOf(value), limit * 2)
  return safe.length > limit ? `${safe.slice(0, limit - 3)}...` : safe
}

// Neither JSON nor String is safe: both run out of stack in deep nesting, and an object may bring a toString of its
// own.
function textOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'bigint') return `${value}n`
  try {
    const text = JSON.stringify(value)
    if (text !== undefined) return text
  } catch {
    // told by its kind
  }
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}
