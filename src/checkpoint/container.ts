// What a checkpoint's bytes are: safetensors, or ONNX.
import { isOnnx } from '../files/formats.ts'
import { checkStart, parseSafetensors, type SafetensorsFile } from '../files/safetensors.ts'

/**
 * Metadata and tensors of a file of either kind, and what to say of it; of ONNX by its `nodes` alone where so asked.
 * @throws InputError that names the file.
 */
export async function contentOf(
  bytes: Uint8Array,
  name: string,
  nodes: boolean,
): Promise<SafetensorsFile & { notes: string[] }> {
  if (!isOnnx(bytes, name)) return { ...parseSafetensors(bytes, name), notes: [] }
  // Its format takes as long to set up as half of the package, so it waits for such a file.
  const { readOnnx } = await import('./onnx/read.ts')
  return readOnnx(bytes, name, nodes)
}

/** A look at the start of a large file, before the rest is read. @throws InputError for what is neither. */
export function checkContentStart(start: Uint8Array, size: number, name: string): void {
  if (!isOnnx(start, name, size)) checkStart(start, size, name)
}
