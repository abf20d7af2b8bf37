// Work in order, in slices of a turn; what only tells of the end is told even where the work is dropped.
import { expect, test } from 'vitest'
import { WorkQueue } from '../../../src/cpu/runtime/work.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))
/** A step of `parts`, one each time it is asked, that says so. */
const step = (name: string, parts: number, said: string[]) => () => {
  said.push(name)
  return --parts === 0
}

test('short work is done at once, long work goes on in later turns, in order', async () => {
  const queue = new WorkQueue(true), said: string[] = []
  queue.add(step('a', 1, said))
  expect([said, queue.idle]).toEqual([['a'], true])
  queue.add(step('b', 3, said))
  queue.add(step('c', 1, said))
  expect(queue.idle).toBe(false)
  expect(said).not.toContain('c')
  for (let i = 0; i < 20 && !queue.idle; i++) await turn()
  expect(said).toEqual(['a', 'b', 'b', 'b', 'c'])
})

test('a step that adds work puts it behind', () => {
  const queue = new WorkQueue(false), said: string[] = []
  queue.add(() => {
    said.push('a')
    queue.add(step('c', 1, said))
    queue.add(step('d', 1, said))
    said.push('b')
    return true
  })
  expect(said).toEqual(['a', 'b', 'c', 'd'])
})

test('finish does all that waits in this turn', () => {
  const queue = new WorkQueue(true), said: string[] = []
  queue.add((until) => until === Infinity && said.push('a') > 0)
  expect(said).toEqual([])
  queue.finish()
  expect([said, queue.idle]).toEqual([['a'], true])
})

test('dropped work tells of its end and does nothing', () => {
  const queue = new WorkQueue(true), said: string[] = []
  queue.add((until) => until === Infinity && said.push('work') > 0)
  queue.add(() => said.push('end') > 0, true)
  queue.clear()
  expect([said, queue.idle]).toEqual([['end'], true])
})
