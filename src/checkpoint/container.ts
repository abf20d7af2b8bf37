// What a checkpoint's bytes are: safetensors, or ONNX.
import { isOnnx } from '../files/formats.ts'
import { checkStart, parseSafetensors, type SafetensorsFile } from '../files/safetensors.ts'
import type { OnnxReading } from './onnx/read.ts'

/** What a file holds, what to say of it, and the files beside it that are part of it. */
export interface Content extends SafetensorsFile {
  notes: string[]
  parts: ReadonlyMap<string, Uint8Array>
}

/** Metadata and tensors of a file of either kind; `reading` is for ONNX. @throws InputError that names the file. */
export async function contentOf(bytes: Uint8Array, name: string, reading: OnnxReading): Promise<Content> {
  if (!isOnnx(bytes, name)) return { ...parseSafetensors(bytes, name), notes: [], parts: new Map() }
  // Its format takes as long to set up as half of the package, so it waits for such a file.
  const { readOnnx } = await import('./onnx/read.ts')
  return readOnnx(bytes, name, reading)
}

/** A look at the start of a large file, before the rest is read. @throws InputError for what is neither. */
export function checkContentStart(start: Uint8Array, size: number, name: string): void {
  if (!isOnnx(start, name, size)) checkStart(start, size, name)
}
