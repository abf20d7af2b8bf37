import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pullCommand } from '../../src/commands/pull.ts'
import { readCheckpoint } from '../../src/checkpoint/checkpoint.ts'
import { lively, rawSafetensors } from '../support/case-files.ts'
import { timmViT } from '../support/foreign-files.ts'
import { run, scratch } from '../support/model.ts'

const dir = scratch(), content = Buffer.from('weights of a small model')
const told = lively(timmViT({ width: 64 })), half = [0.5, 0.5, 0.5]
const files: Record<string, Buffer> = {
  '/own/tiny/resolve/v1/model.safetensors': content,
  '/own/vit/resolve/main/model.safetensors': rawSafetensors(told),
  '/own/vit/resolve/main/config.json': Buffer.from('{"num_attention_heads":4}'),
  '/own/vit/resolve/main/preprocessor_config.json': Buffer.from(JSON.stringify({ image_mean: half, image_std: half })),
  '/own/vit/resolve/main/small/best.safetensors': rawSafetensors(told),
  '/own/vit/resolve/main/small/config.json': Buffer.from('{"num_attention_heads":8}'),
}
const server = createServer(({ url, method }, response) => {
  const body = files[url!] as Buffer | undefined
  if (!body) return void response.writeHead(404).end()
  const etag = `"${createHash('sha256').update(body).digest('hex')}"`
  response.writeHead(200, { etag, 'content-length': body.length }).end(method === 'HEAD' ? undefined : body)
})
let endpoint = ''
beforeAll(async () => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.close()
})

test('pull loads a file once and tells what it did', async () => {
  const first = await run(pullCommand, ['own/tiny', '--endpoint', endpoint, '--revision', 'v1', '--dir', dir])
  expect(first.json).toMatchObject({
    path: join(dir, 'tiny.safetensors'),
    bytes: content.length,
    checked: 'sha256',
    cached: false,
  })
  expect(readFileSync(join(dir, 'tiny.safetensors'))).toEqual(content)
  expect((await run(pullCommand, ['own/tiny', '--endpoint', endpoint, '--revision', 'v1', '--dir', dir])).text).toMatch(
    /was there already, sha256 is right/,
  )
  await expect(run(pullCommand, ['own/none', '--endpoint', endpoint, '--dir', dir])).rejects.toThrow(
    /no such model or file/,
  )
})

test.each([
  [[], 'vit.safetensors', ['vit-config.json', 'vit-preprocessor_config.json'], 4, 0.5],
  [['--file', 'small/best.safetensors'], 'vit-small-best.safetensors', ['vit-small-best-config.json'], 8, 0.485],
])(
  'pull %j fetches the configuration beside the file, and reading finds it',
  async (flags, name, beside, heads, mean) => {
    const into = join(dir, name.replace('.safetensors', ''))
    mkdirSync(into)
    const { json, text } = await run(pullCommand, ['own/vit', '--endpoint', endpoint, '--dir', into, ...flags])
    expect(json).toMatchObject({ path: join(into, name), beside: beside.map((each) => join(into, each)) })
    expect(text).toMatch(/; with .*config\.json/)
    const { architecture, origins, preprocessing } = await readCheckpoint(join(into, name))
    expect([architecture.heads, origins.heads]).toEqual([heads, beside[0]])
    expect(preprocessing.mean[0]).toBe(mean)
  },
)
