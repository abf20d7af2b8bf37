// How the attention kernels read and write rows of q, k, v: as vec4f where a head's width divides by 4, else entry by
// entry. Each kernel is loaded in up to four versions, by whether D and E divide.
import { kernel, type Kernel, type KernelOptions } from '../../gpu/kernel.ts'

/**
 * Tensors of rows in a kernel: which width a row has, and whether the kernel reads (`load_x`) and writes (`store_x`)
 * it.
 */
export type RowBuffers = Record<string, { width: 'D' | 'E', load?: boolean, store?: boolean }>

/**
 * WGSL of `load_x(row, d)`, four entries from d on with zeros past the end of the row, and `store_x(row, d, value)`.
 */
export function rowText(rows: RowBuffers, vector: Record<'D' | 'E', boolean>): string {
  const lines = Object.entries(rows).flatMap(([name, { width, load, store }]) =>
    vector[width]
      ? [
        load ? `fn load_${name}(row: u32, d: u32) -> vec4f { return ${name}[(row * p.${width} + d) / 4u]; }` : '',
        store
          ? `fn store_${name}(row: u32, d: u32, value: vec4f) { ${name}[(row * p.${width} + d) / 4u] = value; }`
          : '',
      ]
      : [
        load
          ? `fn load_${name}(row: u32, d: u32) -> vec4f {
  let at = vec4u(row * p.${width}) + min(vec4u(d) + vec4u(0u, 1u, 2u, 3u), vec4u(p.${width} - 1u));
  return select(vec4f(0), vec4f(${name}[at.x], ${name}[at.y], ${name}[at.z], ${name}[at.w]),
    vec4u(d) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.${width}));
}`
          : '',
        store
          ? `fn store_${name}(row: u32, d: u32, value: vec4f) {
  let at = row * p.${width} + d;
  ${name}[at] = value.x;
  if (d + 1u < p.${width}) { ${name}[at + 1u] = value.y; }
  if (d + 2u < p.${width}) { ${name}[at + 2u] = value.z; }
  if (d + 3u < p.${width}) { ${name}[at + 3u] = value.w; }
}`
          : '',
      ]
  )
  return lines.filter(Boolean).join('\n')
}

/** Declares a kernel for any head widths; the result picks the version for D and E. */
export function rowVersions(file: string, rows: RowBuffers, options: KernelOptions): (D: number, E: number) => Kernel {
  const versions = new Map<string, Kernel>()
  const widths = (['D', 'E'] as const).filter((width) => Object.values(rows).some((one) => one.width === width))
  for (const D of [false, true]) {
    for (const E of [false, true]) {
      if ((D && !widths.includes('D')) || (E && !widths.includes('E'))) continue
      const splice: Record<string, string> = { ...options.splice, '/*rows*/': rowText(rows, { D, E }) }
      if (D) splice['/*D*/f32'] = 'vec4f'
      if (E) splice['/*E*/f32'] = 'vec4f'
      const label = [options.entry, D && 'D/4', E && 'E/4'].filter(Boolean).join(' ')
      versions.set(`${D} ${E}`, kernel(file, { ...options, splice, label }))
    }
  }
  return (D, E) => versions.get(`${widths.includes('D') && D % 4 === 0} ${widths.includes('E') && E % 4 === 0}`)!
}
