// The shell of every HTML file that is written: it fetches nothing and runs no script.
import { html, type Html } from './html.ts'
import { style } from './style.ts'

/** Names with their values; what has none is left out. */
export const definitions = (list: readonly (readonly [string, string | null | undefined])[]): Html =>
  html`<dl>${list.map(([name, value]) => (value ?? null) !== null && html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`

/** A document with these sections. Every text in it is escaped. */
export const page = (title: string, version: string, sections: Html | readonly Html[]): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Espalier ${version}">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${sections}
</main>
</body>
</html>
`.text
