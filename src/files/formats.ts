// What people have in their hands instead of a safetensors file, told by its first bytes, and what to do with it.

const LARGEST_HEADER = 100_000_000

const python =
  "from Python: safetensors.torch.save_file(torch.load('net.pth', map_location='cpu'), 'net.safetensors'), "
  + 'where the file holds a state_dict'

/** Text that a file starts with, byte for byte, from a position on; and what such a file is and needs. */
const magics: readonly (readonly [at: number, text: string, what: string])[] = [
  [
    0,
    'GGUF',
    'a GGUF file of llama.cpp, whose weights are quantised language models; get the safetensors of the model',
  ],
  [0, 'lmgg', 'a GGML file; get the safetensors of the model'],
  [0, '\x89HDF\r\n\x1a\n', 'an HDF5 file (Keras .h5); load it in Python and store its weights as safetensors'],
  [0, '\x93NUMPY', 'a NumPy array (.npy); store it with safetensors.numpy.save_file'],
  [4, 'TFL3', 'a TensorFlow Lite model; get the safetensors of the network it was made from'],
  [0, '\x1f\x8b', 'a gzip archive; unpack it first'],
  [0, 'BZh', 'a bzip2 archive; unpack it first'],
  [0, '\xfd7zXZ\0', 'an xz archive; unpack it first'],
  [0, '\x28\xb5\x2f\xfd', 'a zstd archive; unpack it first'],
  [0, '7z\xbc\xaf\x27\x1c', 'a 7z archive; unpack it first'],
  [257, 'ustar', 'a tar archive; unpack it first'],
  [0, '\x89PNG', 'a PNG picture; give the network here and the picture with --image or --data'],
  [0, '\xff\xd8\xff', 'a JPEG picture; give the network here and the picture with --image or --data'],
  [0, '%PDF', 'a PDF document'],
]

/**
 * Names a file that is no safetensors file by its content, with what to do about it; null where it may be one, or is
 * nothing known. `name` decides between formats whose first bytes say little; `size` is that of a file whose start is
 * all that is given.
 */
export function foreignFormat(bytes: Uint8Array, name: string, size = bytes.length): string | null {
  if (bytes.length === 0) return 'an empty or truncated file; it was not written to its end or not loaded, get it again'
  if (mayBeSafetensors(bytes, size)) return null
  const starts = (text: string, at = 0) =>
    bytes.length >= at + text.length && [...text].every((c, i) => bytes[at + i] === c.charCodeAt(0))
  if (starts('PK\x03\x04')) return archive(bytes)
  if (bytes[0] === 0x80 && bytes[1] >= 2 && bytes[1] <= 5) {
    return `a Python pickle (.pth, .pt or .bin); convert it ${python}`
  }
  for (const [at, text, what] of magics) if (starts(text, at)) return what
  const text = textOf(bytes)
  if (text !== null) return textFormat(text)
  if (isOnnx(bytes, name, size)) {
    return 'an ONNX model; get the safetensors of the network it was exported from'
  }
  if (/\.(msgpack|ckpt|pb)$/i.test(name)) return 'a checkpoint of Flax or TensorFlow; store its weights as safetensors'
  if (bytes.subarray(0, 4096).every((byte) => byte === 0)) return 'nothing but zeros at its start; load the file again'
  return null
}

/** Whether a file is ONNX by its first bytes, or by its name where those say nothing else. */
export function isOnnx(bytes: Uint8Array, name: string, size = bytes.length): boolean {
  if (mayBeSafetensors(bytes, size)) return false
  return (bytes[0] === 0x08 && bytes[1] < 0x20 && [0x12, 0x1a, 0x3a, 0x42].includes(bytes[2])) || /\.onnx$/i.test(name)
}

/** The length field fits the file and a JSON object follows. */
function mayBeSafetensors(bytes: Uint8Array, size: number): boolean {
  if (bytes.length < 9) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
  return length <= Math.min(size - 8, LARGEST_HEADER) && bytes[8] === 0x7b
}

/** PyTorch, NumPy and Keras all write ZIP archives; the names inside tell them apart. */
function archive(bytes: Uint8Array): string {
  const latin = new TextDecoder('latin1'), edge = 1 << 16
  const names = latin.decode(bytes.subarray(0, edge)) + latin.decode(bytes.subarray(-edge))
  if (/data\.pkl/.test(names)) return `a PyTorch pickle (.pth, .pt or .bin); convert it ${python}`
  if (/\.npy/.test(names)) return 'a NumPy archive (.npz); store its arrays with safetensors.numpy.save_file'
  if (/model\.weights\.h5/.test(names)) return 'a Keras model; load it in Python and store its weights as safetensors'
  return 'a ZIP archive; unpack it first'
}

/** The first kilobyte as text; null where it is none. */
function textOf(bytes: Uint8Array): string | null {
  const start = bytes.subarray(0, 1024)
  if (start.some((byte) => byte < 9 || byte > 13 && byte < 32)) return null
  return new TextDecoder().decode(start).trimStart()
}

function textFormat(text: string): string {
  if (text.startsWith('version https://git-lfs')) {
    return "a Git LFS pointer, which stands for the file in a repository; run 'git lfs pull' there, "
      + 'or use espalier pull'
  }
  if (/^<(!doctype|html|head|body|\?xml|!--)/i.test(text)) {
    return 'an HTML page, as a hub answers where a file is not there or needs a login; load the file itself'
  }
  if (/^[{[]/.test(text)) {
    return text.includes('"weight_map"')
      ? 'the index of a checkpoint in several shards; join them in Python: '
        + 'load_file each and save_file all tensors in one'
      : 'a JSON file; name the .safetensors file beside it'
  }
  return 'a text file; name a .safetensors file'
}
