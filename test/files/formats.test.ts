// What people have instead of safetensors: written to disk, named by `inspect` in a process of its own.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { foreignFormat } from '../../src/files/formats.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { bundleForNode, runNode } from '../support/cli.ts'

const zip = (...names: string[]) =>
  Buffer.concat(names.map((name) => Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(26), Buffer.from(name)])))
const tar = () => {
  const bytes = Buffer.alloc(1024)
  bytes.write('model.safetensors', 0)
  bytes.write('ustar', 257)
  return bytes
}

const files: Record<string, [content: Buffer | string, found: RegExp]> = {
  'net.pth': [zip('archive/data.pkl', 'archive/data/0'), /PyTorch pickle.*save_file/],
  'pytorch_model.bin': [zip('pytorch_model/data.pkl'), /PyTorch pickle.*save_file/],
  'old.pt': [
    Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50]),
    /pickle.*save_file/,
  ],
  'net.npz': [zip('weight.npy'), /NumPy archive/],
  'net.keras': [zip('metadata.json', 'model.weights.h5'), /Keras/],
  'net.zip': [zip('something.txt'), /ZIP.*unpack/],
  'net.npy': ['\x93NUMPY\x01\x00v\x00', /NumPy array/],
  'net.h5': [Buffer.from('\x89HDF\r\n\x1a\n\0\0\0\0', 'latin1'), /HDF5/],
  'net.gguf': [Buffer.concat([Buffer.from('GGUF'), Buffer.from([3, 0, 0, 0]), Buffer.alloc(60)]), /GGUF/],
  'net.onnx': [Buffer.concat([Buffer.from([8, 7, 0x12, 7]), Buffer.from('pytorch'), Buffer.alloc(40)]), /ONNX/],
  'net.tflite': [
    Buffer.concat([Buffer.from([0x1c, 0, 0, 0]), Buffer.from('TFL3'), Buffer.alloc(40)]),
    /TensorFlow Lite/,
  ],
  'model.safetensors.index.json': [
    '{"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}',
    /several shards.*join/,
  ],
  'config.json': ['{\n "architectures": ["ViT"]}', /JSON file/],
  'lfs.safetensors': [
    'version https://git-lfs.github.com/spec/v1\noid '
    + 'sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n',
    /Git LFS pointer.*git lfs pull/,
  ],
  'page.safetensors': ['\n<!DOCTYPE html>\n<html><body>Log in</body></html>', /HTML page/],
  'gone.safetensors': ['<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', /HTML page/],
  'notes.safetensors': ['this is a readme, not a checkpoint', /text file/],
  'empty.safetensors': ['', /empty or truncated/],
  'zeros.safetensors': [Buffer.alloc(5000), /zeros/],
  'packed.safetensors': [
    gzipSync(encodeSafetensors([['w', { shape: [1], data: Float32Array.of(1) }]])),
    /gzip.*unpack/,
  ],
  'net.tar': [tar(), /tar archive/],
  'cat.png': ['\x89PNG\r\n\x1a\n', /PNG picture.*--image/],
}

let dir: string, cli: string
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'espalier-formats-'))
  cli = await bundleForNode('src/cli.ts', 'cli-formats')
  for (const [name, [content]] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof content === 'string' ? Buffer.from(content, 'latin1') : content)
  }
})
afterAll(() => rmSync(dir, { recursive: true }))

describe('files that are no safetensors', () => {
  test.each(Object.keys(files))('%s', (name) => {
    const found = foreignFormat(readFileSync(join(dir, name)), name)
    expect(found).toMatch(files[name][1])
    expect(found!.length).toBeLessThan(250)
  })

  test.each(['net.pth', 'lfs.safetensors', 'page.safetensors', 'empty.safetensors', 'net.gguf'])(
    'inspect %s names it and the cure, exit 2',
    async (name) => {
      const { code, stderr } = await runNode(cli, ['inspect', join(dir, name)])
      expect(code).toBe(2)
      expect(stderr).toMatch(files[name][1])
      expect(stderr).toContain(name)
    },
  )

  test('safetensors are none of them, whatever their header ends on', () => {
    for (let i = 0; i < 8; i++) {
      const bytes = encodeSafetensors([['w'.repeat(i + 1), { shape: [4], data: new Float32Array(4) }]])
      expect(foreignFormat(Buffer.from(bytes), 'x.onnx')).toBeNull()
    }
  })
})
