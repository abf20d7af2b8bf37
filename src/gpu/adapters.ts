// Which adapter computes: a GPU or software driver through dawn (Node) or the browser, or the embedded device, which is
// always there.
import type { Mode } from '../cpu/abi.ts'
import { AdapterError, InputError } from '../base/errors.ts'
import { embeddedGpu, mayHaveGpu, platformGpu } from './entry.ts'

/** What an adapter is: a GPU, a software driver, the embedded device, or dawn's null backend. */
export type AdapterKind = 'gpu' | 'software' | 'embedded' | 'null'

/** What choosing an adapter depends on; see `InitOptions`. */
export interface AdapterChoice {
  adapter?: string
  threads?: number
  mode?: Mode
  memoryLimit?: number
  profile?: 'browser' | 'native'
  backend?: string
  worker?: string | URL | Worker
}

interface Found {
  adapter: GPUAdapter
  kind: AdapterKind
}

/**
 * The adapter for a choice; see `InitOptions.adapter`.
 * @throws AdapterError (exit code 3) if a name matches none; the message lists those that are here.
 */
export async function findAdapter(choice: AdapterChoice): Promise<Found> {
  const name = choice.adapter?.toLowerCase()
  if (name === 'cpu' || (!name && choice.mode && !choice.backend)) return embedded(choice)
  if (!name && !choice.backend && !await mayHaveGpu()) return embedded(choice)
  const first = await platform({ ...choice, adapter: undefined })
  if (choice.backend || name === 'dawn') {
    if (first) return first
    throw new AdapterError(
      "no WebGPU adapter but the embedded device ('cpu') on this machine; "
        + "'npx espalier doctor' says why and how to mend it",
    )
  }
  if (!name) return first?.kind === 'gpu' ? first : embedded(choice)
  const matches = ({ adapter }: Found) => nameOf(adapter).toLowerCase().includes(name)
  // Dawn looks for the name among all adapters, but in the device's name only; the description is often what people
  // know.
  const found = first && matches(first) ? first : await platform(choice)
  if (found) return found
  const own = await embedded(choice)
  if (matches(own)) return own
  throw new AdapterError(
    `no adapter matches '${choice.adapter}'; here: ${
      [...first ? [nameOf(first.adapter)] : [], `cpu (${nameOf(own.adapter)})`].join('; ')
    }`,
  )
}

/** What people know an adapter by. */
export function nameOf({ info }: GPUAdapter): string {
  return [info.description, info.device, info.vendor, info.architecture].filter(Boolean).join(', ')
}

/** An environment variable, or undefined where there is no process (browsers). */
export function env(name: string): string | undefined {
  return typeof process === 'undefined' ? undefined : process.env?.[name]
}

async function embedded({ threads, mode, memoryLimit, worker }: AdapterChoice): Promise<Found> {
  try {
    const gpu = await embeddedGpu({ threads, mode, memoryLimit, worker })
    return { adapter: (await gpu.requestAdapter())!, kind: 'embedded' }
  } catch (error) {
    if (error instanceof RangeError) throw new InputError(`the embedded device: ${error.message}`, { cause: error })
    throw new AdapterError(`the embedded device: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * The first adapter of dawn or the browser, or the one dawn finds by name. Dawn throws where the name matches nothing;
 * browsers return null.
 */
async function platform(choice: AdapterChoice): Promise<Found | null> {
  try {
    const adapter = await (await platformGpu(choice))?.requestAdapter({ powerPreference: 'high-performance' })
    if (!adapter) return null
    const software = adapter.info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader/i.test(nameOf(adapter))
    return { adapter, kind: choice.backend === 'null' ? 'null' : software ? 'software' : 'gpu' }
  } catch {
    return null
  }
}
