import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EspalierError, InputError } from '../../src/base/errors.ts'
import { pull } from '../../src/checkpoint/hub.ts'

const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => i * 7 % 251))
const sha256 = createHash('sha256').update(content).digest('hex')

// A hub in small: the repository answers with a redirect and the hash, the storage with the bytes, in ranges.
interface Hub {
  requests: string[]
  breakAt: number[]
  ranges: boolean
  serve: Buffer
  tag: string
  linked: boolean
}
let hub: Hub, endpoint: string, dir: string
const server = createServer((request, response) => answer(request, response))

function answer(request: IncomingMessage, response: ServerResponse) {
  hub.requests.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trim())
  if (request.url === '/old/tiny/resolve/main/model.safetensors') {
    return void response.writeHead(307, { location: '/own/tiny/resolve/main/model.safetensors' }).end()
  }
  if (request.url === '/own/tiny/resolve/main/model.safetensors' && hub.linked) {
    return void response.writeHead(302, {
      location: '/storage',
      'x-linked-etag': `"${hub.tag}"`,
      'x-linked-size': content.length,
    }).end()
  }
  if (request.url === '/own/gated/resolve/main/model.safetensors') return void response.writeHead(401).end()
  if (request.url !== '/storage' && request.url !== '/own/tiny/resolve/main/model.safetensors') {
    return void response.writeHead(404).end()
  }
  const start = hub.ranges ? Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
  const body = hub.serve.subarray(start)
  response.writeHead(start ? 206 : 200, {
    'content-length': body.length,
    etag: `"${hub.tag}"`,
    ...start && { 'content-range': `bytes ${start}-${hub.serve.length - 1}/${hub.serve.length}` },
  })
  if (request.method === 'HEAD') return void response.end()
  const cut = hub.breakAt.shift()
  if (cut === undefined) return void response.end(body)
  response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
}

beforeEach(async () => {
  hub = { requests: [], breakAt: [], ranges: true, serve: content, tag: sha256, linked: true }
  dir = mkdtempSync(join(tmpdir(), 'espalier-hub-'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(dir, { recursive: true })
})

describe('pull', () => {
  it('downloads, checks and renames; a second call finds it there', async () => {
    const progress: number[] = []
    const first = await pull('own/tiny', { endpoint, dir, progress: (n) => progress.push(n) })
    expect(first).toMatchObject({
      path: join(dir, 'tiny.safetensors'),
      bytes: content.length,
      checked: 'sha256',
      resumedAt: 0,
      cached: false,
    })
    expect(readFileSync(first.path).equals(content)).toBe(true)
    expect(progress.at(-1)).toBe(content.length)
    hub.requests = []
    expect(await pull('own/tiny', { endpoint, dir })).toMatchObject({ cached: true })
    expect(hub.requests).toEqual(['HEAD /own/tiny/resolve/main/model.safetensors'])
    expect(readdirSync(dir)).toEqual(['tiny.safetensors'])
  })

  it('takes up a broken connection where it broke', async () => {
    hub.breakAt = [100_000, 50_000]
    await pull('own/tiny', { endpoint, dir })
    expect(readFileSync(join(dir, 'tiny.safetensors')).equals(content)).toBe(true)
    expect(hub.requests.filter((r) => r.startsWith('GET /storage'))).toEqual(
      ['GET /storage', 'GET /storage bytes=100000-', 'GET /storage bytes=150000-'],
    )
  })

  it('resumes what an earlier call left, and says so', async () => {
    writeFileSync(join(dir, `tiny.safetensors.${sha256.slice(0, 12)}.part`), content.subarray(0, 123_456))
    expect(await pull('own/tiny', { endpoint, dir })).toMatchObject({ resumedAt: 123_456 })
    expect(hub.requests.at(-1)).toBe('GET /storage bytes=123456-')
    expect(readFileSync(join(dir, 'tiny.safetensors')).equals(content)).toBe(true)
  })

  it('starts over where the server knows no ranges', async () => {
    hub.ranges = false
    hub.breakAt = [100_000]
    await pull('own/tiny', { endpoint, dir })
    expect(readFileSync(join(dir, 'tiny.safetensors')).equals(content)).toBe(true)
  })

  it('follows a renamed repository, and checks git hashes of small files', async () => {
    hub.linked = false
    hub.tag = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
    expect(await pull('old/tiny', { endpoint, dir })).toMatchObject({ checked: 'git-sha1', bytes: content.length })
  })

  it('throws away content with the wrong hash and keeps an older file', async () => {
    writeFileSync(join(dir, 'tiny.safetensors'), 'older')
    hub.serve = Buffer.from(content)
    hub.serve[5000] ^= 1
    await expect(pull('own/tiny', { endpoint, dir, overwrite: true })).rejects.toThrow(/expected sha256/)
    expect(readdirSync(dir)).toEqual(['tiny.safetensors'])
    expect(readFileSync(join(dir, 'tiny.safetensors'), 'utf8')).toBe('older')
  })

  it('gives up on a connection that keeps breaking, and keeps the part', async () => {
    hub.breakAt = [1000, 0, 0, 0]
    const failure = await pull('own/tiny', { endpoint, dir, retries: 1 }).catch((error) => error)
    expect(failure).toBeInstanceOf(EspalierError)
    expect(failure.exitCode).toBe(1)
    expect(readdirSync(dir)).toEqual([`tiny.safetensors.${sha256.slice(0, 12)}.part`])
  })

  it.each([
    ['own/none', {}, /404/],
    ['own/gated', {}, /401/],
    ['own', {}, /owner\/name/],
    ['../x', {}, /owner\/name/],
    ['own/tiny', { file: '../secret' }, /inside the repository/],
    ['own/tiny', { endpoint: 'http://example.org' }, /https/],
    ['own/tiny', { endpoint: 'nonsense' }, /address/],
  ])('refuses %s %j', async (model, options, message) => {
    const failure = await pull(model, { endpoint, dir, ...options }).catch((error) => error)
    expect(failure).toBeInstanceOf(InputError)
    expect(failure.message).toMatch(message)
    expect(readdirSync(dir)).toEqual([])
  })

  it('says when the hub cannot be reached', async () => {
    const failure = await pull('own/tiny', { endpoint: 'http://127.0.0.1:9', dir }).catch((error) => error)
    expect(failure).toBeInstanceOf(EspalierError)
    expect(failure.message).toMatch(/127\.0\.0\.1:9/)
  })
})
