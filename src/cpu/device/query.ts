// GPUQuerySet: timestamps in nanoseconds.
import { DeviceObject, type Core } from '../runtime/core.ts'
import { refuse } from '../runtime/errors.ts'
import { u32 } from './validation.ts'

/** A set of timestamps; 0 where none was written. */
export class CpuQuerySet extends DeviceObject implements GPUQuerySet {
  declare readonly __brand: 'GPUQuerySet'
  readonly kind = 'QuerySet'
  readonly type: GPUQueryType
  readonly count: number
  readonly values: BigUint64Array
  destroyed = false

  constructor(core: Core, descriptor: GPUQuerySetDescriptor) {
    super(core, descriptor.label)
    this.type = descriptor.type
    this.count = u32(descriptor.count, 'createQuerySet: count')
    if (this.type === 'timestamp' && !core.features.has('timestamp-query')) {
      throw new TypeError(`createQuerySet: the device was requested without the feature timestamp-query`)
    }
    this.valid = core.attempt(`createQuerySet of ${this}`, () => {
      if (this.type !== 'timestamp') refuse(`query type ${this.type}: the embedded device has timestamps only`)
      if (this.count > 4096) refuse(`count ${this.count} exceeds 4096`)
    })
    this.values = new BigUint64Array(this.valid ? this.count : 0)
  }

  destroy(): undefined {
    this.destroyed = true
  }

  /** Writes the time of now. */
  stamp(index: number): void {
    this.values[index] = BigInt(Math.round(performance.now() * 1e6))
  }

  /** Refuses a query set that was destroyed. */
  checkSubmit(): void {
    if (this.destroyed) refuse(`${this} is used in submit while destroyed`)
  }
}
