import { expect, test } from 'vitest'
import { OutOfTime, Watchdog } from '../../../src/cpu/runtime/watchdog.ts'

test('before its time is over a kernel goes on, afterwards its loop is named', () => {
  const dog = new Watchdog(2000)
  dog.begin(performance.now())
  dog.tick(5)
  dog.begin(performance.now() - 3000)
  expect(() => dog.tick(5)).toThrow(OutOfTime)
  expect(() => dog.tick(5)).toThrow('the loop at line 5 did not end within 2 s')
  expect(() => dog.tick(0)).toThrow('one call of the kernel did not end within 2 s')
})

test('it is an error of WebAssembly, so that it goes through a kernel as one', () => {
  expect(new OutOfTime(1, 1)).toBeInstanceOf(WebAssembly.RuntimeError)
})

test('without a limit, or before a call begins, nothing ends', () => {
  const dog = new Watchdog(Infinity)
  dog.tick(1)
  dog.begin(0)
  dog.tick(1)
})
