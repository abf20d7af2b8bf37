// What the build for browsers makes of an imported .wasm: its bytes.
declare module '*.wasm' {
  const bytes: Uint8Array<ArrayBuffer>
  export default bytes
}
