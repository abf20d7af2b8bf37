// What check-kernel finds.

/**
 * What was found: by a compiler (`mode` is `compile`, `backend` says which), by a run that did not end (`run`), by a
 * run in a debug mode, or by wgsl_reflect (`backend` says so), whose reflection or races are others.
 */
export interface KernelFinding {
  mode: 'compile' | 'run' | 'bounds' | 'race' | 'nan' | 'permuted' | 'reflection'
  backend: string
  file: string
  kernel: string
  line: number | null
  column?: number
  variable: string | null
  index: number | null
  message: string
  count: number
}
