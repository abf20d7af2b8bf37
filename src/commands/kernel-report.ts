// What check-kernel says, as text.
import { basename } from 'node:path'
import { linesOf, type Opinion } from './kernel-opinion.ts'
import type { KernelFinding } from './kernel-finding.ts'

/** One entry point as it was run. */
export interface Run {
  entry: string
  grid: number[]
  workgroup: number[]
  buffers: { name: string, type: string, elements: number, bytes: number }[]
}

/** The name of the second opinion. */
export const OTHER = 'wgsl_reflect'

/** The report as text; `quoted` are the lines that findings are about. */
export function report(
  file: string,
  backends: string[],
  runs: Run[],
  findings: KernelFinding[],
  quoted: readonly string[],
  opinions: readonly ({ entry: string } & Opinion)[],
): string {
  const lines = backends.map((name) =>
    `${basename(file)}: ${
      findings.some(({ mode, backend }) => mode === 'compile' && backend === name)
        ? 'DOES NOT COMPILE on'
        : 'compiles on'
    } ${name}`
  )
  for (const { entry, grid, workgroup, buffers } of runs) {
    lines.push(
      `${entry}: ${grid.join(' x ')} workgroups of ${workgroup.join(' x ')}; ${
        buffers.map(({ name, type, elements }) => `${name} ${type}${elements > 1 ? ` of ${elements}` : ''}`).join(', ')
      }`,
    )
  }
  for (const { entry, ...opinion } of opinions) lines.push(...linesOf(entry, opinion))
  for (const [i, { mode, backend, file: at, kernel, line, column, message, count }] of findings.entries()) {
    const place = `${at}${line ? `:${line}${column ? `:${column}` : ''}` : ''}`
    lines.push(
      `${place}: ${mode}${
        mode === 'compile' ? ` on ${backend}` : `, ${kernel}${backend === OTHER ? `, by ${OTHER}` : ''}`
      }: ${message.replace(new RegExp(`^${mode}: `), '')}${count > 1 ? ` (${count} times)` : ''}`,
    )
    if (line) lines.push(`    ${quoted[i]}`)
  }
  if (!findings.length) lines.push('no findings: in bounds, no race, no NaN, the same in reverse order')
  return lines.join('\n')
}
