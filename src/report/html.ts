// HTML as tagged templates: whatever is put into one is escaped unless it came out of one.

/** Text that is HTML already. */
export class Html {
  readonly text: string

  /** `text` is taken as it is. */
  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a template. Null, undefined and false leave nothing; lists are joined. */
export type Part = Html | string | number | null | undefined | false | readonly Part[]

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text as HTML shows it, between tags and in quoted attributes. Characters that HTML does not allow become U+FFFD. */
export const escape = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd').replace(
    /[&<>"']/g,
    (each) => entities[each],
  )

/** A template of HTML: html`<td>${name}</td>`. Attributes must stand in double quotes. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(strings.map((text, i) => text + (i < parts.length ? render(parts[i]) : '')).join(''))
}

function render(part: Part): string {
  if (part === null || part === undefined || part === false) return ''
  if (part instanceof Html) return part.text
  return Array.isArray(part) ? part.map(render).join('') : escape(String(part))
}
