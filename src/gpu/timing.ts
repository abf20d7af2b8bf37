// Device time of a piece of work: timestamps where the adapter has them, the wall clock where it has none.
import { gpu } from './device.ts'
import { encodeAll, type Launch } from './launches.ts'

/**
 * Runs `work` (launches only, no read-back) and returns the device time it took in milliseconds.
 * Timestamps are quantised to 65.5 us in the browser profile; repeat short work inside `work`.
 */
export async function deviceTime(work: () => void): Promise<number> {
  const { device, launches, features, failures } = gpu()
  launches.flush()
  const failed = failures.count
  const settle = async () => {
    await failures.settle()
    if (failures.count > failed) throw failures.latest!
  }
  if (!features.has('timestamp-query')) {
    await device.queue.onSubmittedWorkDone()
    const start = performance.now()
    work()
    launches.flush()
    await device.queue.onSubmittedWorkDone()
    await settle()
    return performance.now() - start
  }
  const querySet = device.createQuerySet({ type: 'timestamp', count: 2 })
  const resolved = device.createBuffer({ size: 16, usage: 0x200 | 0x4 })
  const staging = device.createBuffer({ size: 16, usage: 0x1 | 0x8 })
  const encoder = device.createCommandEncoder()
  const before = launches.encoder
  const lists: (readonly Launch[])[] = []
  launches.encoder = (list) => lists.push(list)
  try {
    work()
    launches.flush()
  } finally {
    launches.encoder = before
  }
  if (lists.length > 1) throw new Error('deviceTime: the work is longer than one submit; time a smaller piece')
  failures.guard(lists.flat(), () => {
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    })
    for (const list of lists) encodeAll(pass, list)
    pass.end()
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0)
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16)
    device.queue.submit([encoder.finish()])
  })
  await staging.mapAsync(0x1)
  const [begin, end] = new BigInt64Array(staging.getMappedRange())
  for (const object of [querySet, resolved, staging]) object.destroy()
  await settle()
  return Number(end - begin) / 1e6
}
