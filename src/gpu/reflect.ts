// What a kernel's text says about itself: bindings, parameter offsets, overrides. Read once per kernel.
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js'
import { KernelError } from '../errors.ts'

/** One storage binding of an entry point. */
export interface StorageSlot { name: string, binding: number, write: boolean }

/** One field of the uniform struct: byte offset and scalar type. */
export interface ParamField { name: string, offset: number, type: 'f32' | 'i32' | 'u32' }

/** Bindings, parameters and overrides of one entry point. `uniform` is null where the kernel has no parameters. */
export interface Reflection {
  storage: StorageSlot[]
  uniform: { binding: number, size: number, fields: ParamField[] } | null
  overrides: string[]
}

/**
 * Reflects one entry point of a WGSL text.
 * @throws KernelError if the text does not parse, has no such entry point, or uses a parameter type other than f32, i32, u32.
 */
export function reflect(file: string, source: string, entry: string): Reflection {
  let parsed: WgslReflect
  try {
    parsed = new WgslReflect(source)
  } catch (error) {
    throw new KernelError(`${file}: the text does not parse as WGSL: ${parseMessage(error, source)}`, { cause: error })
  }
  const point = parsed.entry.compute.find((candidate) => candidate.name === entry)
  if (!point) {
    const names = parsed.entry.compute.map((candidate) => candidate.name).join(', ')
    throw new KernelError(`${file}: no compute entry point '${entry}'; the file has: ${names || 'none'}`)
  }
  const used = new Set(point.resources.map((resource) => resource.name))
  const storage = parsed.storage.filter((slot) => used.has(slot.name))
    .map((slot) => ({ name: slot.name, binding: slot.binding, write: slot.access === 'read_write' }))
    .sort((a, b) => a.binding - b.binding)
  const uniforms = parsed.uniforms.filter((slot) => used.has(slot.name))
  if (uniforms.length > 1) throw new KernelError(`${file}: expected one uniform struct, found ${uniforms.length}`)
  const uniform = uniforms[0] && {
    binding: uniforms[0].binding,
    size: Math.ceil(uniforms[0].size / 16) * 16,
    fields: (uniforms[0].members ?? []).map((member) => {
      const type = member.type.name
      if (type !== 'f32' && type !== 'i32' && type !== 'u32') {
        throw new KernelError(`${file}: parameter '${member.name}' is ${type}; a launcher can set f32, i32 and u32`)
      }
      return { name: member.name, offset: member.offset, type } as ParamField
    }),
  }
  return { storage, uniform: uniform ?? null, overrides: parsed.overrides.map((override) => override.name) }
}

function parseMessage(error: unknown, source: string): string {
  const { message, token } = error as { message?: string, token?: { line?: number } }
  const line = token?.line
  return line === undefined ? String(message ?? error) : `${message}\n  line ${line}: ${source.split('\n')[line - 1]?.trim()}`
}
