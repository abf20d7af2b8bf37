import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { barLine, besideBars, progress } from '../../src/commands/progress.ts'

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

test.each([20, 40, 80, 200])('a bar is never wider than a terminal of %i columns', (columns) => {
  for (
    const [what, note] of [['images', ''], ['scoring by relevance', 'x'.repeat(60)], ['n'.repeat(300), 'loss 0.5']]
  ) {
    const line = barLine({ what, note, share: 0.4, count: '40/100', pace: '3.2/s  19 s left' }, columns)
    expect(line.length).toBeLessThan(columns)
  }
})

test('a bar within a bar has the line to itself, and what is printed in between stands alone', () => {
  const { stream, text } = collect()
  const acts: string[] = []
  Object.assign(stream, { isTTY: true, columns: 80, cursorTo() {}, clearLine() {} })
  const outer = progress('curve', 4, { stream })
  const inner = progress('scoring', 4, { stream })
  inner.update(2)
  besideBars(() => acts.push('printed'))
  inner.stop()
  outer.stop()
  expect(acts).toEqual(['printed'])
  expect(text()).not.toMatch(/\u001b\[\?25l|\u001b\[\?7l/) // no hidden cursor, no mode left behind
  expect(text().indexOf('scoring')).toBeGreaterThan(text().indexOf('curve'))
})

test('nothing is said of the time left before anything is done', () => {
  const { stream, text } = collect()
  progress('case', 3, { stream, every: 0 }).update(0, 'matmul')
  expect(text()).toBe('case: 0/3, matmul\n')
})

test('a bar tells no pace from what was done at once', async () => {
  const { stream, text } = collect()
  Object.assign(stream, { isTTY: true, columns: 80, cursorTo() {}, clearLine() {} })
  const shown = progress('curve', 3, { stream })
  shown.update(1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(text()).toContain('1/3  -/s')
  expect(text()).not.toContain('left')
  await new Promise((resolve) => setTimeout(resolve, 1000))
  shown.update(2)
  shown.stop()
  expect(text()).toMatch(/2\/3 {2}[\d.]+\/s {2}[01] s left/)
})
