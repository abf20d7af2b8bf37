// What kernels in a debug mode report (an index out of bounds, a race, a NaN), collected and put into words.
import { reportKind, type CompiledKernel } from '../abi.ts'

/** One finding of a debug mode. */
export interface Finding {
  kind: 'bounds' | 'race' | 'nan'
  /** Label of the compute pipeline, or of its shader module. */
  kernel: string
  /** Line of the shader's source, from 1. */
  line: number
  /** The index, or the word of the variable, where it happened first. */
  index: number
  /** The variable, where it is known. */
  variable: string | null
  /** The sentence: what happened, to which variable, at which index. */
  message: string
  /** How often it happened at this line in the same way. */
  count: number
}

const pairs = ['written twice', 'read after another invocation wrote it', 'written after another invocation read it']

/** Collects findings; repeated ones at the same line are counted, the first index is kept. */
export class Reports {
  private readonly findings = new Map<string, Finding>()

  /** The `env.report` of one kernel. */
  reporter(kernel: string, compiled: CompiledKernel): (kind: number, line: number, a: number, b: number) => void {
    return (kind, line, a, b) => {
      const { name, detail, message, index, variable = null } = this.describe(compiled, kind, a, b)
      const key = `${kernel}\n${line}\n${name}\n${detail}`
      const known = this.findings.get(key)
      if (known) known.count++
      else {this.findings.set(key, {
          kind: name,
          kernel,
          line,
          index,
          variable,
          message: `${kernel}: line ${line}: ${message}`,
          count: 1,
        })}
    }
  }

  /** All findings since the last call. */
  take(): Finding[] {
    const all = [...this.findings.values()]
    this.findings.clear()
    return all
  }

  private describe(
    compiled: CompiledKernel,
    kind: number,
    a: number,
    b: number,
  ): { name: Finding['kind'], detail: string, message: string, index: number, variable?: string } {
    const binding = (slot: number): string => {
      const info = compiled.bindings[slot]
      return info ? `${info.name} (group ${info.group}, binding ${info.binding})` : `binding slot ${slot}`
    }
    switch (kind) {
      case reportKind.bounds:
        return {
          name: 'bounds',
          detail: '',
          index: a,
          message: `index ${a} is out of bounds, there are ${b >>> 0} elements`,
        }
      case reportKind.raceWorkgroup: {
        const variable = compiled.workgroupVariables[a >>> 8] ?? `workgroup variable ${a >>> 8}`
        return {
          name: 'race',
          detail: `${a}`,
          index: b >>> 16,
          variable,
          message: `race: word ${b >>> 16} of ${variable} is ${pairs[a & 255]} with no barrier `
            + `between (other invocation: local index ${b & 0xffff})`,
        }
      }
      case reportKind.raceStorage:
        return {
          name: 'race',
          detail: `${a}`,
          index: b >>> 0,
          variable: compiled.bindings[a >>> 8]?.name,
          message: `race: word ${b >>> 0} of ${binding(a >>> 8)} is ${pairs[a & 255]} with no barrier between`,
        }
      default:
        return {
          name: 'nan',
          detail: `${a}`,
          index: b >>> 0,
          variable: compiled.bindings[a]?.name,
          message: `the first NaN of this dispatch is written to word ${b >>> 0} of ${binding(a)}`,
        }
    }
  }
}
