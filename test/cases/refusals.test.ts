// Files that cannot be read are called what they are, and what is only foreign in a file does no harm. Whole commands,
// each in a fresh process, on files made here.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { lively, rawSafetensors } from '../support/case-files.ts'
import { bundleForNode, runNode } from '../support/cli.ts'
import { cifarResNet, tensorOf, type Tensors, timmViT, torchvisionViT } from '../support/foreign-files.ts'
import { scratch } from '../support/model.ts'

const dir = scratch()
let cli = '', count = 0

// Several processes each, on machines that do other work too.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'cases-refusals')
})

const inspected = (bytes: Uint8Array | string, name = `${count++}.safetensors`) => {
  const path = join(dir, name)
  writeFileSync(path, bytes)
  return runNode(cli, ['inspect', path])
}
const vit = lively(timmViT({ width: 64 })), res = cifarResNet()

describe('metadata of others is ignored with a line', () => {
  test.each([
    ['arch', 'vit_tiny_patch16_224'],
    ['mean', '0.5,0.5,0.5'],
    ['std', '(0.5, 0.5, 0.5)'],
    ['classes', '5'],
    ['classes', 'cat, dog'],
    ['mean', '[0.5]]'],
  ])('%s: %s', async (key, value) => {
    const { code, stdout, stderr } = await inspected(rawSafetensors(vit, { metadata: { format: 'pt', [key]: value } }))
    expect(stderr).toMatch(new RegExp(`metadata ${key} is not ours and is ignored`))
    expect(stdout).toMatch(/5 classes/)
    expect(code).toBe(0)
  })

  test.each<[string, string | Record<string, unknown>]>([
    ['a number', { format: 'pt', epoch: 3 }],
    ['null', { format: null }],
    ['a list', { classes: ['a'] }],
  ])('an entry that is %s is not the format', async (_, metadata) => {
    const { code, stderr } = await inspected(rawSafetensors(vit, { metadata: metadata as Record<string, string> }))
    expect(stderr).toMatch(/__metadata__/)
    expect(stderr).not.toMatch(/damaged|truncated/)
    expect(code).toBe(2)
  })

  test('an empty tensor in the place of one that is needed is said', async () => {
    const { code, stderr } = await inspected(
      rawSafetensors({ ...vit, 'head.bias': { shape: [0], data: new Float32Array(0) } }),
    )
    expect(stderr).toMatch(/head\.bias/)
    expect(stderr).not.toMatch(/damaged|truncated/)
    expect(code).toBe(2)
  })

  test('null is no metadata', async () => {
    const { code, stdout } = await inspected(rawSafetensors(vit, { metadata: null }))
    expect([code, /5 classes/.test(stdout)]).toEqual([0, true])
  })
})

describe('relatives that are not supported are named', () => {
  const relatives: [string, Tensors, RegExp][] = [
    ['Swin V2', { ...vit, 'layers.0.blocks.0.attn.logit_scale': tensorOf(1, 1, 1) }, /Swin V2/],
    ['ResNeXt', { ...res, 'layer1.0.conv2.weight': tensorOf(4, 2, 3, 3) }, /grouped convolutions/],
    ['ResNeXt of four groups', { ...res, 'layer2.0.conv2.weight': tensorOf(8, 2, 3, 3) }, /grouped convolutions/],
    ['Wide ResNet', {
      ...res,
      'layer1.0.conv1.weight': tensorOf(8, 4, 1, 1),
      'layer1.0.conv2.weight': tensorOf(8, 8, 3, 3),
      'layer1.0.conv3.weight': tensorOf(16, 8, 1, 1),
    }, /inner width of 8.*outer 4/],
    ['BEiT', { ...vit, 'blocks.0.attn.q_bias': tensorOf(64) }, /BEiT/],
  ]
  test.each(relatives)('%s', async (_, tensors, reason) => {
    const { code, stderr } = await inspected(rawSafetensors(tensors))
    expect(stderr).toMatch(reason)
    expect(stderr).not.toMatch(/incomplete|check --arch|image size/)
    expect(code).toBe(2)
  })

  test('linear_1 and linear_2 of old torchvision are read', async () => {
    const old = Object.fromEntries(
      Object.entries(torchvisionViT()).map(([name, tensor]) =>
        [name.replace('mlp.0.', 'mlp.linear_1.').replace('mlp.3.', 'mlp.linear_2.'), tensor] as const
      ),
    )
    const { code, stdout } = await inspected(rawSafetensors(old))
    expect([code, /named as torchvision-vit/.test(stdout)]).toEqual([0, true])
  })
})

describe('what is no safetensors file is called what it is', () => {
  const files: [string, string | Uint8Array, RegExp][] = [
    [
      'net.pth',
      Buffer.from('PK\x03\x04\0\0\0\0archive/data.pkl' + '\0'.repeat(200), 'latin1'),
      /PyTorch pickle.*save_file/,
    ],
    [
      'old.pth',
      Buffer.from('\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.' + '\0'.repeat(60), 'latin1'),
      /pickle.*save_file/,
    ],
    [
      'model.safetensors.index.json',
      '{"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}',
      /index|shard/,
    ],
    [
      'lfs.safetensors',
      `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12\n`,
      /Git LFS pointer.*git lfs pull/,
    ],
    ['page.safetensors', '<!doctype html>\n<html><head><title>404</title></head></html>\n', /HTML/],
    ['net.gguf', Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(60, 1)]), /GGUF/],
    ['net.h5', Buffer.from('\x89HDF\r\n\x1a\n' + '\0'.repeat(60), 'latin1'), /HDF5/],
    ['weights.npz', Buffer.from('PK\x03\x04\0\0\0\0conv1.npy' + '\0'.repeat(60), 'latin1'), /NumPy/],
  ]
  test.each(files)('%s', async (name, content, what) => {
    const { code, stderr } = await inspected(content, name)
    expect(stderr).toMatch(what)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(code).toBe(2)
  })
})
