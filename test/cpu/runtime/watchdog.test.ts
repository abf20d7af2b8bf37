import { spawn } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MOST_STILL, OutOfTime, Watchdog } from '../../../src/cpu/runtime/watchdog.ts'
import { bundleForNode } from '../../support/cli.ts'

/** A watchdog, and its clock in milliseconds, which looks every 50 ms as a loop does. */
function watched(limit: number) {
  const time = { now: 1000 }, dog = new Watchdog(limit, () => time.now)
  dog.begin(time.now)
  const runs = (milliseconds: number) => {
    for (const end = time.now + milliseconds; time.now < end;) {
      time.now += 50
      dog.tick(5)
    }
  }
  return { time, dog, runs }
}

test('before its time is over a kernel goes on, afterwards its loop is named', () => {
  const { dog, runs } = watched(2000)
  runs(2000)
  expect(() => runs(50)).toThrow(OutOfTime)
  expect(() => dog.tick(5)).toThrow('the loop at line 5 did not end within 2 s')
  expect(() => dog.tick(0)).toThrow('one call of the kernel did not end within 2 s')
})

test('a process that stood still, or a machine that slept, has its time after it as before', () => {
  const { time, dog, runs } = watched(2000)
  runs(1000)
  time.now += 3_600_000
  dog.tick(5)
  runs(900)
  time.now += 60_000
  dog.tick(5)
  runs(100)
  expect(() => runs(50)).toThrow(OutOfTime)
})

test('a loop of turns so long that each looks like that ends all the same', () => {
  const { time, dog } = watched(2000)
  const turn = () => {
    time.now += 900
    dog.tick(5)
  }
  for (let i = 0; i < MOST_STILL + 2; i++) turn()
  expect(turn).toThrow(OutOfTime)
  dog.begin(time.now) // the next call has its own
  for (let i = 0; i < MOST_STILL + 2; i++) turn()
})

test('a running process is stopped for longer than the limit and goes on, on all threads', async () => {
  const child = spawn(process.execPath, [await bundleForNode('test/support/busy-program.ts', 'busy-program'), '3'], {
    env: { ...process.env, ESPALIER_TIME_LIMIT: '0.6' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const begun = new Promise<void>((resolve) => {
    child.stdout.on('data', () => {
      resolve()
    })
  })
  child.stderr.on('data', (text: Buffer) => {
    said += text
  })
  await Promise.race([begun, ended])
  for (let i = 0; i < 3; i++) {
    await wait(300 + 50 * i)
    child.kill('SIGSTOP')
    await wait(900)
    child.kill('SIGCONT')
  }
  expect(await ended, said).toBe(0)
}, 120_000)

test('it is an error of WebAssembly, so that it goes through a kernel as one', () => {
  expect(new OutOfTime(1, 1)).toBeInstanceOf(WebAssembly.RuntimeError)
})

test('without a limit, or before a call begins, nothing ends', () => {
  const dog = new Watchdog(Infinity)
  dog.tick(1)
  dog.begin(0)
  dog.tick(1)
})
