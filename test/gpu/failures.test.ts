// Errors that come late belong to what depends on them and to nothing else: the book-keeping, on a device that does
// nothing.
import { expect, test } from 'vitest'
import { KernelError } from '../../src/base/errors.ts'
import type { Buffer } from '../../src/gpu/buffers.ts'
import { Failures, type Step } from '../../src/gpu/failures.ts'

const device = () => {
  const target = new EventTarget()
  let lose!: (info: { reason: string, message: string }) => void
  const lost = new Promise<{ reason: string, message: string }>((resolve) => {
    lose = resolve
  })
  return {
    device: Object.assign(target, { lost }) as unknown as GPUDevice,
    lose: (message: string) => lose({ reason: 'unknown', message }),
  }
}
const failures = () => new Failures(device().device, () => 'the context', (message) => message)
const buffer = () => ({ failure: null, lost: false, checked: true }) as Buffer
const launch = (reads: Buffer[], writes: Buffer[], error: KernelError | null = null): Step => ({
  pipeline: {
    error,
    reflection: { storage: [...reads.map(() => ({ write: false })), ...writes.map(() => ({ write: true }))] },
  },
  buffers: [...reads, ...writes],
})

test('a kernel that turns out not to compile marks what it wrote and what was computed from that', async () => {
  const book = failures(), [a, b, c, d] = [1, 2, 3, 4].map(buffer), error = new KernelError('bad')
  const bad = launch([a], [b]) as { pipeline: { error: KernelError | null } } & Step
  let settle!: (error: KernelError | null) => void
  book.watch(
    new Promise((resolve) => {
      settle = resolve
    }),
  )
  expect(book.unsure).toBe(true)
  book.launched(bad)
  book.launched(launch([b], [c]))
  book.launched(launch([a], [d]))
  const reading = book.reading(c), sound = book.reading(d)
  ;(bad.pipeline as { error: KernelError | null }).error = error
  settle(error)
  await book.settle()
  expect([a, b, c, d].map(({ failure }) => failure)).toEqual([null, error, error, null])
  expect([reading.failure, sound.failure]).toEqual([error, null])
  expect([book.unsure, book.count, book.latest]).toEqual([false, 1, error])
  expect(() => book.reading(c)).toThrow(error)
})

test('a buffer that was written anew is sound again', async () => {
  const book = failures(), [a, b] = [buffer(), buffer()], error = new KernelError('bad')
  book.watch(Promise.resolve(error))
  book.launched(launch([a], [b], error))
  book.renewed(b)
  await book.settle()
  expect(b.failure).toBeNull()
  a.failure = error
  book.renewed(a)
  expect(a.failure).toBeNull()
})

test('an error that nothing explains is final, one of a kernel is not', async () => {
  const book = failures()
  book.watch(Promise.resolve(new KernelError('bad')))
  await book.settle()
  expect(book.failed).toBe(false)
  book.watch(Promise.reject(new Error('no idea')))
  await expect(book.settle()).rejects.toThrow('no idea')
  expect(book.failed).toBe(true)
})

test('the loss of the device is final, unless it was closed', async () => {
  const one = device(), book = new Failures(one.device, () => 'c', (message) => message)
  one.lose('unplugged')
  await one.device.lost
  await Promise.resolve()
  expect(() => book.throwIfAny()).toThrow(/the device was lost \(unknown\): unplugged/)
  const two = device(), closed = new Failures(two.device, () => 'c', (message) => message)
  closed.close()
  two.lose('as asked')
  await two.device.lost
  await Promise.resolve()
  expect(closed.failed).toBe(false)
})
