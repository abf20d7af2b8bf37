// Stands in for jpeg-wasm.ts in the build for browsers: few bundlers copy a library's WASM along, so it is in the
// bundle.
import bytes from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'
import type * as inNode from './jpeg-wasm.ts'

/** Its bytes. */
export const jpegWasm: typeof inNode.jpegWasm = () => Promise.resolve(bytes)
