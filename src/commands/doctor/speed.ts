// How fast an adapter is, measured in a moment: a matrix product and a pass over memory through the engine itself.
import { full } from '../../core/fill.ts'
import { close, init, type InitOptions } from '../../gpu/device.ts'
import { deviceTime } from '../../gpu/timing.ts'
import { scale } from '../../ops/elementwise.ts'
import { matmul } from '../../ops/matmul/matmul.ts'
import { scope } from '../../core/transform.ts'

/** GFLOP/s of a 256 x 256 x 256 matrix product, and GB/s read and written by an elementwise pass over 4 MB. */
export interface Speed {
  gflops: number
  gbps: number
}

/** Opens a device, measures each for about `milliseconds` after its first run, and closes it; the best run counts. */
export async function measureSpeed(options: InitOptions, milliseconds = 60): Promise<Speed> {
  await init({ ...options, fixedVariants: true })
  try {
    const a = full([256, 256], 0.5), x = full([1 << 20], 2)
    const best = async (work: () => unknown): Promise<number> => {
      const once = async () =>
        await deviceTime(() => {
          scope(() => {
            work()
          })
        })
      await once()
      let least = Infinity
      const until = performance.now() + milliseconds
      do least = Math.min(least, await once())
      while (performance.now() < until)
      return least
    }
    return {
      gflops: 2 * 256 ** 3 / await best(() => matmul(a, a)) / 1e6,
      gbps: 2 * 4 * 2 ** 20 / await best(() => scale(x, { by: 3 })) / 1e6,
    }
  } finally {
    await close()
  }
}
