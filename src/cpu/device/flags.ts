// The standard's bit flags, which Node has no globals for.

/** GPUBufferUsage. */
export const usage = {
  MAP_READ: 0x1,
  MAP_WRITE: 0x2,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  INDEX: 0x10,
  VERTEX: 0x20,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  INDIRECT: 0x100,
  QUERY_RESOLVE: 0x200,
} as const

/** GPUMapMode. */
export const mapMode = { READ: 0x1, WRITE: 0x2 } as const

/** GPUShaderStage. */
export const shaderStage = { VERTEX: 0x1, FRAGMENT: 0x2, COMPUTE: 0x4 } as const

/** The names of the flags that are set, for messages: `COPY_SRC | STORAGE`. */
export function usageNames(bits: number): string {
  const names = Object.entries(usage).filter(([, bit]) => bits & bit).map(([name]) => name)
  return names.length ? names.join(' | ') : 'none'
}
