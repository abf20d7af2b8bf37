import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { progress } from '../../src/commands/progress.ts'

function collect(): { stream: NodeJS.WriteStream, text: () => string } {
  let text = ''
  const stream = new Writable({
    write(chunk, _, done) {
      text += chunk
      done()
    },
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text }
}

test('without a terminal: a line now and then, and always the last', () => {
  const { stream, text } = collect()
  const shown = progress('images', 100, { stream, every: 1e9 })
  for (let i = 1; i <= 100; i++) shown.update(i, i === 100 ? 'loss 0.5' : '')
  shown.update(100)
  shown.stop()
  expect(text()).toMatch(/^images: 100\/100, [\d.]+\/s, loss 0\.5\n$/)
})

test('lines in between tell what is left', () => {
  const { stream, text } = collect()
  const shown = progress('images', 4, { stream, every: 0 })
  shown.update(1)
  expect(text()).toMatch(/^images: 1\/4, [\d.]+\/s, \d+ s left\n$/)
})

test('quiet says nothing', () => {
  const { stream, text } = collect()
  progress('images', 1, { stream, quiet: true, every: 0 }).update(1)
  expect(text()).toBe('')
})

test('on a terminal: one bar, with count and note', () => {
  const { stream, text } = collect()
  Object.assign(stream, { isTTY: true, columns: 120, cursorTo() {}, clearLine() {} })
  const shown = progress('images', 2, { stream })
  shown.update(2, 'done')
  shown.stop()
  expect(text()).toContain('images')
  expect(text()).toContain('2/2')
  expect(text()).toContain('done')
})
