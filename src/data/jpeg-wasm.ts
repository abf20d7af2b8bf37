// The WASM of the JPEG decoder, from its package. The build of the package for browsers takes jpeg-wasm.browser.ts in
// this file's place.

/** Its bytes; undefined outside Node, where the codec fetches it from beside its own script. */
export async function jpegWasm(): Promise<BufferSource | undefined> {
  if (typeof process !== 'object' || !process.versions?.node) return undefined
  const { createRequire } = await import('node:module'), { readFile } = await import('node:fs/promises')
  return readFile(createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm')) as Promise<
    BufferSource
  >
}
