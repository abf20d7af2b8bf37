// Where WebGPU comes from: dawn in Node, `navigator.gpu` elsewhere, and the embedded device. The build of the package
// for browsers takes entry.browser.ts in this file's place.
import type { AdapterChoice } from './adapters.ts'

// Once collected, dawn hangs or aborts: every object that `create()` returned stays referenced here for the whole run.
const instances: GPU[] = []

const inNode = () => typeof process !== 'undefined' && Boolean(process.versions?.node)

/**
 * What Linux calls the devices of GPUs under /dev: DRM render nodes, NVIDIA, WSL, Mali, Adreno, Tegra, PowerVR,
 * Vivante.
 */
const gpuDevice = /^(nvidia(ctl|\d)|dxg$|mali\d|kgsl|nvhost|nvmap|pvr|galcore)/

/**
 * Whether a GPU may be here. Without one, dawn finds software drivers at best, which nobody gets who did not ask; not
 * to load it saves its start, and the lines that it and its drivers write to the process's stderr past all of ours.
 */
export async function mayHaveGpu(dev = '/dev'): Promise<boolean> {
  if (!inNode() || process.platform !== 'linux') return true
  const { readdir } = await import('node:fs/promises')
  try {
    const names = await readdir(dev)
    if (names.some((name) => gpuDevice.test(name))) return true
    return names.includes('dri') && (await readdir(`${dev}/dri`)).some((name) => name.startsWith('renderD'))
  } catch {
    return true // nobody knows
  }
}

/** Dawn's or the browser's `GPU`, null where there is none. */
export async function platformGpu({ profile, backend, adapter }: AdapterChoice): Promise<GPU | null> {
  if (!inNode()) return typeof navigator === 'undefined' ? null : navigator.gpu ?? null
  process.env.XDG_RUNTIME_DIR ??= process.env.TMPDIR ?? '/tmp'
  const { create, globals } = await import(/* @vite-ignore */ 'webgpu')
  Object.assign(globalThis, globals)
  const flags = backend ? [`backend=${backend}`] : []
  if (adapter) flags.push(`adapter=${adapter}`)
  if (profile === 'native') {
    flags.push(
      // No checks of indices and no zeroes in workgroup memory: as a program in C would have it, and no page.
      'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init',
      'disable-dawn-features=timestamp_quantization',
    )
  }
  const instance = create(flags)
  instances.push(instance)
  return instance
}

/** The embedded device's `GPU`. In a page it lives in a worker of its own, so that the page's thread never computes. */
export async function embeddedGpu({ worker, ...options }: AdapterChoice): Promise<GPU> {
  if (typeof document === 'undefined') return (await import('../cpu/index.ts')).createCpuGpu(options)
  return (await import('../cpu/browser/page.ts')).createBrowserGpu({ ...options, worker })
}
