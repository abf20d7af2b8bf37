// The device: init in Node (dawn-node) and in browsers, limits and features, loss, close. One device is current at a
// time.
import type { Mode } from '../cpu/abi.ts'
import { DeviceError, InputError } from '../base/errors.ts'
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { type AdapterKind, env, findAdapter, nameOf } from './adapters.ts'
import { Pool } from './buffers.ts'
import { Failures } from './failures.ts'
import { wantedFeatures } from './features.ts'
import { Launches } from './launches.ts'
import { type Precision, precisions } from './precision.ts'
import { Profiler } from './profiler.ts'
import { Readback } from './readback.ts'

/** How to choose and open a device. */
export interface InitOptions {
  /**
   * Part of the adapter's name, case does not matter. `cpu` is the embedded device, `dawn` whatever dawn takes first.
   * Without a name: a GPU if there is one, else the embedded device.
   */
  adapter?: string
  /** Threads of the embedded device; default all cores. */
  threads?: number
  /**
   * How the embedded device compiles kernels: `bounds`, `race` and `nan` report what a kernel does wrong as an error at
   * the next read-back, `permuted` runs invocations in reverse order. Chooses the embedded device where no adapter is
   * named. With `bounds`, buffers are as long as their tensors, not rounded up.
   */
  mode?: Mode
  /**
   * In a page: the embedded device's worker, or the address of its script, a copy of the package's
   * `dist/browser/worker.js` (`espalier/worker`). Needed only where the Content-Security-Policy forbids workers from
   * `blob:` addresses, which is how the worker starts by itself.
   */
  worker?: string | URL | Worker
  /**
   * `browser` (default): what a page would get. `native`: exact timestamps, f16 on NVIDIA, unsafe features; and through
   * dawn neither checks of indices nor zeroes in workgroup memory, so that a kernel out of bounds does anything.
   */
  profile?: 'browser' | 'native'
  /** Most bytes of memory of the embedded device in Node; default and most 4 GiB. */
  memoryLimit?: number
  /** Dawn's backend, e.g. `null`, which compiles every kernel and computes nothing. */
  backend?: string
  /**
   * Picks fixed kernel variants instead of timing them at first use; default true under a test runner or
   * `ESPALIER_TUNE=0`.
   */
  fixedVariants?: boolean
  /** How exact the arithmetic has to be; default `default`. See `Precision`. */
  precision?: Precision
}

/** Who computes: names from the adapter, and whether it is a GPU, a software driver or the embedded device. */
export interface AdapterDescription {
  name: string
  vendor: string
  architecture: string
  kind: AdapterKind
  profile: 'browser' | 'native'
}

/** Everything that belongs to one open device. */
export interface Gpu {
  device: GPUDevice
  adapter: AdapterDescription
  limits: GPUSupportedLimits
  features: ReadonlySet<string>
  pool: Pool
  launches: Launches
  failures: Failures
  readback: Readback
  profiler: Profiler | null
  fixedVariants: boolean
  /** What `init` was called with. */
  options: InitOptions
}

let current: Gpu | null = null
let opening: Promise<unknown> = Promise.resolve()

const optionKeys: OptionKeys<InitOptions> = {
  adapter: true,
  threads: true,
  mode: true,
  worker: true,
  profile: true,
  memoryLimit: true,
  backend: true,
  fixedVariants: true,
  precision: true,
}

/**
 * Opens a device and makes it the current one. With the options of the one that is open, that one is returned; with
 * others it is closed first, which is refused while tensors live on it. A device that failed for good is always closed.
 * @throws AdapterError (exit code 3) if the named adapter is not here; the message lists those that are. DeviceError if
 * another device is in use; InputError for an option that does not exist.
 */
export function init(options: InitOptions = {}): Promise<Gpu> {
  const opened = opening.then(() => open(options)) // one after the other, or the first of two would be lost
  opening = opened.catch(() => undefined)
  return opened
}

async function open(options: InitOptions): Promise<Gpu> {
  checkOptions('init', options, optionKeys)
  if (options.precision !== undefined && !precisions.includes(options.precision)) {
    throw new InputError(
      `init: precision is ${JSON.stringify(options.precision)}, expected ${
        precisions.map((one) => `'${one}'`).join(', ')
      }`,
    )
  }
  if (current) {
    const { failures, pool: { memory }, adapter } = current
    if (!failures.failed && sameOptions(options, current.options)) return current
    if (!failures.failed && memory.live > 0) {
      throw new DeviceError(
        `init: ${adapter.name} is open with other options, and tensors hold ${memory.live} bytes on it that closing it `
          + "would take away; call 'await close()' first if they are not needed, or init with the same options",
      )
    }
    await close()
  }
  const { adapter, kind } = await findAdapter(options)
  const wanted = wantedFeatures().filter((name) => adapter.features.has(name))
  const device = await adapter.requestDevice({
    requiredFeatures: wanted as GPUFeatureName[],
    requiredLimits: adapterLimits(adapter.limits),
  }).catch((error: unknown) => {
    throw new DeviceError(`${nameOf(adapter)}: cannot be opened, ${(error as Error).message}`, { cause: error })
  })
  const launches = new Launches(device)
  const failures = new Failures(device, () => launches.context, (message) => launches.located(message))
  launches.failures = failures
  const pool = new Pool(device, {
    failures,
    exact: options.mode === 'bounds' && kind === 'embedded',
    retire: (buffers) => {
      launches.retire(buffers)
    },
    reclaim: () => {
      readback.trim()
    },
  })
  const readback = new Readback(device, launches, pool, failures, kind === 'embedded')
  current = {
    device,
    launches,
    failures,
    pool,
    adapter: describeAdapter(adapter, kind, options.profile ?? 'browser'),
    limits: device.limits,
    features: new Set(wanted),
    readback,
    profiler: null,
    options,
    fixedVariants: options.fixedVariants ?? (env('VITEST') !== undefined || env('ESPALIER_TUNE') === '0'),
  }
  if (env('ESPALIER_PROFILE') === '1') {
    if (current.features.has('timestamp-query')) current.profiler = new Profiler(current)
    else {console.error(
        `ESPALIER_PROFILE: ${current.adapter.name} has no timestamp queries, so there will be no profile`,
      )}
  }
  return current
}

/** The current device. @throws DeviceError before `init()`. */
export function gpu(): Gpu {
  if (!current) throw new DeviceError("no device is open: call 'await init()' first")
  return current
}

/** The current device or null. */
export function currentGpu(): Gpu | null {
  return current
}

/** Finishes what was launched, prints the profile if one was asked for, and destroys the device. */
export async function close(): Promise<void> {
  const open = current
  if (!open) return
  current = null
  open.failures.close()
  try {
    if (open.failures.failed) return // it was or will be reported where a result was asked for
    open.launches.flush()
    await open.device.queue.onSubmittedWorkDone()
    if (open.profiler) console.error(await open.profiler.report())
  } finally {
    open.launches.abandon()
    open.device.destroy()
  }
}

function sameOptions(a: InitOptions, b: InitOptions): boolean {
  return (Object.keys(optionKeys) as (keyof InitOptions)[]).every((key) => a[key] === b[key])
}

function describeAdapter({ info }: GPUAdapter, kind: AdapterKind, profile: 'browser' | 'native'): AdapterDescription {
  return {
    name: info.description || info.device || info.vendor || kind,
    vendor: info.vendor,
    architecture: info.architecture,
    kind,
    profile,
  }
}

/** Asks for all the adapter has, so that binding size, workgroup storage and buffers per stage are the machine's. */
function adapterLimits(limits: GPUSupportedLimits): Record<string, number> {
  const names = [
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupSizeY',
    'maxComputeWorkgroupSizeZ',
    'maxComputeWorkgroupsPerDimension',
    'minUniformBufferOffsetAlignment',
  ] as const
  return Object.fromEntries(names.map((name) => [name, limits[name]]))
}
