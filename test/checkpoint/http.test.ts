// Rules of redirects and endpoints, against a server on this machine.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AddressInfo } from 'node:net'
import { InputError } from '../../src/base/errors.ts'
import { checkEndpoint, PassingError, refusal, request } from '../../src/checkpoint/http.ts'

const seen: IncomingMessage[] = []
const answers: Record<string, (response: ServerResponse) => void> = {
  '/file': (response) => response.end('content'),
  '/hop': (response) => response.writeHead(302, { location: '/file' }).end(),
  '/circle': (response) => response.writeHead(302, { location: '/circle' }).end(),
  '/plain': (response) => response.writeHead(302, { location: 'http://example.com/file' }).end(),
  '/silent': () => {},
}
const server = createServer((asked, response) => {
  seen.push(asked)
  answers[asked.url!](response)
})
let host = ''
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
const ask = (path: string, more: object = {}) => request(host + path, { method: 'GET', patience: 5, ...more }, 'it')

describe('endpoints', () => {
  test('https anywhere and http here are taken, without slashes at the end', () => {
    expect(checkEndpoint('https://hub.example//')).toBe('https://hub.example')
    expect(checkEndpoint('http://localhost:80/a/')).toBe('http://localhost:80/a')
  })

  test.each(['http://hub.example', 'ftp://hub.example', 'nonsense'])('%s is refused', (endpoint) => {
    expect(() => checkEndpoint(endpoint)).toThrow(InputError)
  })

  test('a password is refused and not repeated', () => {
    expect(() => checkEndpoint('https://me:secret@hub.example')).toThrow(/without name and password/)
    expect(() => checkEndpoint('https://me:secret@hub.example')).not.toThrow(/secret/)
  })
})

test('an answer over a redirect, with range and token to the host that was asked', async () => {
  seen.length = 0
  const { response, trusted, done } = await ask('/hop', { from: 3, token: 'mine' })
  done()
  expect(await response.text()).toBe('content')
  expect(trusted).toBe(true)
  expect(seen.map(({ url }) => url)).toEqual(['/hop', '/file'])
  expect(seen.map(({ headers }) => [headers.range, headers.authorization])).toEqual(
    Array(2).fill(['bytes=3-', 'Bearer mine']),
  )
})

test('a redirect that says enough is not followed', async () => {
  const { response, done } = await ask('/hop', { enough: ({ headers }: Response) => headers.has('location') })
  done()
  expect(response.status).toBe(302)
})

test('redirects in a circle and out of https are refused', async () => {
  await expect(ask('/circle')).rejects.toThrow('redirects in a circle')
  await expect(ask('/plain')).rejects.toThrow(/redirects to .*expected https/)
})

test('silence and a port where nobody listens may pass', async () => {
  await expect(ask('/silent', { patience: 0.05 })).rejects.toThrow('no answer for 0.05 seconds')
  await expect(request('http://127.0.0.1:1/', { method: 'GET', patience: 5 }, 'it')).rejects.toBeInstanceOf(
    PassingError,
  )
})

test('statuses: what is not there is the input, what is busy may pass', () => {
  expect(refusal(404, 'it')).toBeInstanceOf(InputError)
  expect(refusal(403, 'it').message).toContain('--token')
  expect(refusal(503, 'it')).toBeInstanceOf(PassingError)
  expect(refusal(429, 'it')).toBeInstanceOf(PassingError)
  expect(refusal(418, 'it')).not.toBeInstanceOf(PassingError)
})
