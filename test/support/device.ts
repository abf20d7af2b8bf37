// Runs a suite once per adapter at hand: dawn's (lavapipe or a GPU) and the embedded device.
import { afterAll, beforeAll, describe } from 'vitest'
import { close, init } from '../../src/gpu/device.ts'
import { noDawn } from './dawn.ts'

/** Adapters to test on, by name: ESPALIER_TEST_ADAPTERS=dawn,cpu picks some. */
const adapters: { name: string, adapter: string | undefined, missing: string }[] = [
  { name: 'dawn', adapter: 'dawn', missing: noDawn },
  { name: 'cpu', adapter: 'cpu', missing: '' },
]

const picked = process.env.ESPALIER_TEST_ADAPTERS?.split(',')

/**
 * Like `describe`, once for every adapter, with a device open. Skipped, with the reason, where an adapter is missing.
 * `body` gets the adapter's name (`dawn` or `cpu`), so that work too long for a software driver can be left to the
 * embedded device.
 */
export function describeDevice(name: string, body: (adapter: string) => void): void {
  for (const { name: adapterName, adapter, missing } of adapters) {
    if (picked && !picked.includes(adapterName)) continue
    if (missing) {
      describe.skip(`${name} on ${adapterName} (skipped: ${missing})`, () => {
        body(adapterName)
      })
      continue
    }
    describe(`${name} on ${adapterName}`, () => {
      beforeAll(async () => {
        await init({ adapter, fixedVariants: true })
      })
      afterAll(close)
      body(adapterName)
    })
  }
}
