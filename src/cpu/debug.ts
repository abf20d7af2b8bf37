import type { WasmFunction } from './encode.ts'
export function raceFunctions(_o: { workgroupBytes: number; shadowOffset: number }): WasmFunction[] { return [] }
export function shadowBytes(_n: number): number { return 0 }
