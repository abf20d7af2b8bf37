// What the documents point to is there: files, and headings in them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
]

/** Headings as the addresses that hubs make of them. */
const anchors = (text: string) =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
  )

test.each(documents)('%s', (name) => {
  const text = readFileSync(name, 'utf8'), missing: string[] = []
  for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(link)) continue
    const [path, anchor] = link.split('#'), file = path ? join(dirname(name), path) : name
    if (!existsSync(file)) missing.push(link)
    else if (anchor && !anchors(readFileSync(file, 'utf8')).includes(anchor)) missing.push(link)
  }
  expect(missing).toEqual([])
})
