import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pullCommand } from '../../src/commands/pull.ts'
import { run, scratch } from '../support/model.ts'

const dir = scratch(),
  content = Buffer.from('weights of a small model'),
  sha256 = createHash('sha256').update(content).digest('hex')
const server = createServer(({ url, method }, response) => {
  if (url !== '/own/tiny/resolve/v1/model.safetensors') return void response.writeHead(404).end()
  response.writeHead(200, { etag: `"${sha256}"`, 'content-length': content.length }).end(
    method === 'HEAD' ? undefined : content,
  )
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
