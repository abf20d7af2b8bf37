// Hubs that lie, break off, redirect elsewhere, and folders that are not empty.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync,
  writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EspalierError, InputError } from '../../src/base/errors.ts'
import { pull, type PullOptions } from '../../src/checkpoint/hub.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'

const good = Buffer.from(encodeSafetensors([['w', { shape: [500], data: new Float32Array(500).fill(1) }]]))
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

type Answer = (request: IncomingMessage, response: ServerResponse) => void
interface Heard {
  url: string
  authorization?: string
}
let answer: Answer, elsewhere: Answer, heard: Heard[], heardElsewhere: Heard[]
let servers: Server[], endpoint: string, other: string, dir: string

async function serve(on: Answer, into: Heard[]): Promise<string> {
  const server = createServer((request, response) => {
    into.push({ url: `${request.method} ${request.url}`, authorization: request.headers.authorization })
    on(request, response)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

beforeEach(async () => {
  servers = []
  heard = []
  heardElsewhere = []
  dir = mkdtempSync(join(tmpdir(), 'espalier-hub-'))
  endpoint = await serve((...both) => answer(...both), heard)
  other = await serve((...both) => elsewhere(...both), heardElsewhere)
})
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  rmSync(dir, { recursive: true })
})

const sends =
  (body: Buffer | string, headers: Record<string, string | number> = {}, status = 200): Answer =>
  ({ method }, response) => {
    response.writeHead(status, headers).end(method === 'HEAD' ? undefined : body)
  }
const redirects = (location: string, headers: Record<string, string> = {}): Answer => (_, response) => {
  response.writeHead(302, { location, ...headers }).end()
}
const load = (options: PullOptions = {}) =>
  pull('own/net', { endpoint, dir, retries: 0, ...options }).catch((error: unknown) => error)
const refused = async (sentence: RegExp, options: PullOptions = {}, left: string[] = []) => {
  const failure = await load(options) as Error
  expect(failure).toBeInstanceOf(EspalierError)
  expect(failure.message).toMatch(sentence)
  expect(failure.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
  expect(readdirSync(dir).sort()).toEqual(left)
  return failure
}

describe('redirects keep the rule of the first address', () => {
  it.each([
    ['data:text/plain,hello', /redirects to 'data:.*expected https, or http on this machine only/],
    ['file:///etc/passwd', /redirects to 'file:.*expected https/],
    ['http://198.51.100.1/model.safetensors', /redirects to 'http:\/\/198.*expected https/],
    ['ftp://127.0.0.1/x', /expected https/],
    ['https://user:secret@198.51.100.1/x', /without name and password/],
    ['http://[', /expected an address/],
    ['javascript:alert(1)', /expected https/],
    ['data:\u001b[31mx', /redirects to/],
  ])('%s', async (location, sentence) => {
    answer = redirects(encodeURI(location).replaceAll('%5B', '['))
    await refused(sentence)
  })

  it('the second hop and the download itself too', async () => {
    answer = redirects(`${other}/x`)
    elsewhere = redirects('data:,x')
    await refused(/redirects to 'data:,x'/)
    answer = ({ method }, response) =>
      void response.writeHead(method === 'HEAD' ? 200 : 302, { location: 'file:///x' }).end()
    await refused(/redirects to 'file:\/\/\/x'/)
    answer = redirects('/own/net/again')
    await refused(/in a circle/)
  })

  it('the checksum of another host is not trusted, that of the hub itself is', async () => {
    const page = Buffer.from('<!doctype html><title>Sign in</title>')
    answer = redirects(`${other}/x`)
    elsewhere = sends(page, { etag: `"${sha256(page)}"`, 'content-length': page.length })
    await refused(/HTML page/)
    elsewhere = sends(good, { etag: `"${'0'.repeat(64)}"`, 'content-length': good.length })
    expect(await load()).toMatchObject({ checked: 'none', bytes: good.length })
    rmSync(join(dir, 'net.safetensors'))
    answer = redirects(`${other}/x`, { 'x-linked-etag': `"${sha256(good)}"` })
    expect(await load()).toMatchObject({ checked: 'sha256', bytes: good.length })
  })

  it('the token goes to the first host alone', async () => {
    answer = redirects(`${other}/x`)
    elsewhere = sends(good)
    expect(await load({ token: 'hf_secret' })).toMatchObject({ bytes: good.length })
    expect(heard.map((each) => each.authorization)).toEqual(['Bearer hf_secret', 'Bearer hf_secret'])
    expect(heardElsewhere.map((each) => each.authorization)).toEqual([undefined, undefined])
    answer = ({ url }, response) =>
      // away and back: the host that sent it back chose the path
      void response.writeHead(302, { location: url === '/back' ? `${other}/y` : `${other}/x` }).end()
    elsewhere = ({ url }, response) =>
      void (url === '/x'
        ? response.writeHead(302, { location: `${endpoint}/back` }).end()
        : sends(good)({} as IncomingMessage, response))
    heard.length = 0
    await load({ token: 'hf_secret', overwrite: true })
    expect(heard.filter(({ url }) => url.endsWith('/back')).every((each) => each.authorization === undefined)).toBe(
      true,
    )
    const failure = await refused(/^--token or HF_TOKEN/, { token: 'two\nlines' }, ['net.safetensors'])
    expect(failure.message).not.toContain('lines')
  })
})

describe('without a checksum the content decides', () => {
  const header = (json: object | string, data = 0) => {
    const text = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)), length = Buffer.alloc(8)
    length.writeUInt32LE(text.length)
    return Buffer.concat([length, text, Buffer.alloc(data)])
  }
  it.each<[string, Buffer | string, RegExp]>([
    ['an HTML page', '<!doctype html><title>Sign in</title>', /HTML page/],
    ['nothing', '', /0 bytes/],
    ['JSON', '{"error":"no"}', /JSON file/],
    ['a pointer', 'version https://git-lfs.github.com/spec/v1', /Git LFS/],
    ['half a file', good.subarray(0, good.length - 100), /its header promises/],
    ['half a header', good.subarray(0, 20), /within its header/],
    ['four bytes', good.subarray(0, 4), /within its header|expected a safetensors/],
    ['a byte too many', Buffer.concat([good, Buffer.alloc(1)]), /more than the \d+ bytes its header promises/],
    ['a hole', header({ a: { dtype: 'U8', shape: [1], data_offsets: [5, 6] } }, 6), /belong to no tensor/],
    ['no tensors', header({}), /at least one tensor/],
    ['a deep header', header(`{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`), /needs dtype/],
    ['escapes', '\u001b[2J\u001b]0;x\u0007', /expected a safetensors/],
  ])('%s', async (_, body, sentence) => {
    answer = sends(body)
    expect(await refused(sentence)).toBeInstanceOf(InputError)
  })

  it.each<[string, string, RegExp]>([
    ['config.json', '<html></html>', /an HTML page/],
    ['config.json', '{"a":', /expected JSON/],
    ['config.json', '', /0 bytes/],
    ['vocab.txt', '<!DOCTYPE html>', /an HTML page/],
    ['vocab.txt', '', /0 bytes/],
  ])('%s as %j', async (file, body, sentence) => {
    answer = sends(body)
    await refused(sentence, { file })
  })

  it('good ones are put in place', async () => {
    answer = sends(good)
    expect(await load()).toMatchObject({ checked: 'none', bytes: good.length })
    answer = sends('{"a":1}')
    expect(await load({ file: 'config.json' })).toMatchObject({ bytes: 7 })
    answer = sends('a\nb')
    expect(await load({ file: 'vocab.txt' })).toMatchObject({ bytes: 3 })
    expect(readdirSync(dir).sort()).toEqual(['net-config.json', 'net-vocab.txt', 'net.safetensors'])
  })

  it.each<[string, Buffer]>([
    ['blanks', Buffer.alloc(65536, 32)],
    ['zeros', Buffer.alloc(65536)],
    ['a good file and more', Buffer.concat([good, Buffer.alloc(65536)])],
  ])('an endless body of %s is broken off', async (_, start) => {
    let sent = 0
    answer = ({ method }, response) => {
      response.writeHead(200)
      if (method === 'HEAD') return void response.end()
      const more = () => {
        while (!response.destroyed && response.write(sent ? Buffer.alloc(65536, 32) : start)) sent++
        sent++
      }
      response.on('drain', more)
      more()
    }
    await refused(/expected a safetensors file|more than the/)
    expect(sent).toBeLessThan(1000)
  })

  it('an endless body with a checksum, or of another format, ends at the limit', async () => {
    const endless = (headers: Record<string, string>): Answer => ({ method }, response) => {
      response.writeHead(200, headers)
      if (method === 'HEAD') return void response.end()
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65536, 97))) { /* until it stops taking */ }
      }
      response.on('drain', more)
      more()
    }
    answer = endless({ etag: `"${sha256(good)}"` })
    await refused(/more than 5000000 bytes came/, { limit: 5e6 })
    answer = endless({})
    await refused(/more than 5000000 bytes came/, { limit: 5e6, file: 'vocab.txt' })
    answer = sends('', { 'content-length': 2 ** 40 })
    await refused(/announces 1099511627776 bytes, expected at most 4294967296/)
    if (existsSync('/proc/self')) await refused(/free some space/, { limit: 2 ** 50 })
  })
})

describe('what is there stays there', () => {
  it('another file, one that cannot be compared, a folder, a link', async () => {
    const target = join(dir, 'net.safetensors')
    writeFileSync(target, 'mine')
    for (const headers of [{ etag: `"${sha256(good)}"` }, {}] as Record<string, string>[]) {
      answer = sends(good, headers)
      expect(await refused(/--overwrite/, {}, ['net.safetensors'])).toBeInstanceOf(InputError)
      expect(readFileSync(target, 'utf8')).toBe('mine')
    }
    expect(await load({ overwrite: true })).toMatchObject({ bytes: good.length })
    expect(readFileSync(target)).toEqual(good)
    rmSync(target)
    mkdirSync(target)
    await refused(/--overwrite/, {}, ['net.safetensors'])
    await refused(/folder of that name/, { overwrite: true }, ['net.safetensors'])
    rmSync(target, { recursive: true })
    writeFileSync(join(dir, 'mine.txt'), 'mine')
    symlinkSync('mine.txt', target)
    await refused(/--overwrite/, {}, ['mine.txt', 'net.safetensors'])
    expect(readFileSync(target, 'utf8')).toBe('mine')
  })

  it('of two at once the second says who is at it, and the first is not disturbed', async () => {
    let go = () => {}
    answer = ({ method }, response) => {
      if (method === 'HEAD') return sends('')({ method } as IncomingMessage, response)
      go = () => response.end(good)
      response.writeHead(200).flushHeaders()
    }
    const first = load()
    while (!readdirSync(dir).length) await new Promise((resolve) => setTimeout(resolve, 5))
    const second = await load() as Error
    expect(second).toBeInstanceOf(InputError)
    expect(second.message).toMatch(new RegExp(`process ${process.pid} on .* writes this file`))
    while (!heard.some(({ url }) => url.startsWith('GET'))) await new Promise((resolve) => setTimeout(resolve, 5))
    go()
    expect(await first).toMatchObject({ bytes: good.length })
    expect(readdirSync(dir)).toEqual(['net.safetensors'])
  })

  it('a folder that cannot be one is said', async () => {
    answer = sends(good)
    writeFileSync(join(dir, 'file'), '')
    await refused(/cannot write here/, { dir: join(dir, 'file') }, ['file'])
    await refused(/cannot write here/, { dir: join(dir, 'file', 'below') }, ['file'])
  })
})
