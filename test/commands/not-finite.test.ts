// A network that gives no numbers: each command says in which layer and op the first of them came up.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EspalierError } from '../../src/base/errors.ts'
import { evalCommand } from '../../src/commands/eval.ts'
import { explain } from '../../src/commands/explain.ts'
import { prune } from '../../src/commands/prune.ts'
import { parts, pngOf } from '../hostile/material.ts'
import { run, scratch } from '../support/model.ts'

const cifar = 'models/data/cifar10', dir = scratch(), picture = join(dir, 'a.png')
writeFileSync(picture, pngOf(32, 32))

/** The packaged network with one tensor full of a value. */
function damaged(tensor: string, value: number): string {
  const file = Buffer.from(readFileSync(`${cifar}/resnet20.safetensors`)), { header, data } = parts(file)
  const [from, to] = (header[tensor] as { data_offsets: [number, number] }).data_offsets
  for (let at = from; at < to; at += 4) data.writeFloatLE(value, at) // a view of the file
  const path = join(dir, 'net.safetensors')
  writeFileSync(path, file)
  return path
}
const data = ['--data', `cifar10:${cifar}/test200.bin#0-3`, '--adapter', 'cpu']

test.each([
  ['linear.weight', 3e38, /first bad value is Infinity .* from 'linear' .* layer of 'head\.bias'/],
  [
    'layer1.0.conv1.weight',
    3e38,
    /first bad value is Infinity .* from 'conv2d' .* layer of 'stages\.0\.0\.layers\.0\.conv\.weight'/,
  ],
  ['layer2.1.conv2.weight', NaN, /tensor "layer2\.1\.conv2\.weight" holds NaN at entry 0/],
])('%s of %d', async (tensor, value, where) => {
  const model = damaged(tensor, value), out = join(dir, 'o.safetensors')
  for (
    const work of [
      () => run(evalCommand, [model, ...data]),
      () => run(explain, [model, '--image', picture, '--adapter', 'cpu', '--out', join(dir, 'o.png')]),
      () => run(prune, [model, ...data, '--method', 'magnitude', '--keep', '0.5', '--out', out]),
    ]
  ) {
    const outcome: unknown = await work().catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(EspalierError)
    expect((outcome as Error).message).toMatch(where)
    expect((outcome as Error).message).not.toMatch(/please report/)
  }
}, 240_000)
