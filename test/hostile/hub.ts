// Hubs that lie: a server on this machine, a new behaviour by the path that is asked for.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { HostileCase } from './case.ts'
import type { Material } from './material.ts'
import { drawer } from './random.ts'

/** What a path of the server does, by the name of the model. */
const behaviours = [
  'html',
  'empty',
  'short',
  'endless',
  'redirect-data',
  'redirect-file',
  'redirect-http',
  'redirect-loop',
  'redirect-ftp',
  'redirect-user',
  'redirect-html',
  'redirect-nowhere',
  'wrong-etag',
  'huge',
  'status-500',
  'status-404',
  'status-401',
  'reset',
  'header-only',
  'negative',
  'text-length',
  'other-type',
  'index',
  'ansi',
]

/** Starts the server; cases ask it for `owner/<behaviour>`. */
export async function startHub(material: Material): Promise<{ server: Server, endpoint: string }> {
  const server = createServer((request, response) => {
    const what = /owner\/([\w-]+)/.exec(request.url ?? '')?.[1] ?? ''
    const send = (status: number, headers: Record<string, string | number>, body: Buffer | string) => {
      response.writeHead(status, headers)
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    const good = material.small
    switch (what) {
      case 'good':
        return send(200, { 'content-length': good.length }, good)
      case 'html':
        return send(200, { 'content-type': 'text/html' }, '<!doctype html><title>Sign in</title>')
      case 'empty':
        return send(200, { 'content-length': 0 }, '')
      case 'short':
        return send(200, { 'content-length': good.length - 100 }, good.subarray(0, good.length - 100))
      case 'header-only':
        return send(200, {}, good.subarray(0, 1000))
      case 'endless': {
        response.writeHead(200, {})
        if (request.method === 'HEAD') return response.end()
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65536, 32))) { /* until it stops taking */ }
        }
        response.on('drain', more)
        return more()
      }
      case 'redirect-data':
        return send(302, { location: 'data:text/plain,hello' }, '')
      case 'redirect-file':
        return send(302, { location: 'file:///etc/passwd' }, '')
      case 'redirect-http':
        return send(302, { location: 'http://198.51.100.1/model.safetensors' }, '')
      case 'redirect-loop':
        return send(302, { location: request.url! }, '')
      case 'redirect-ftp':
        return send(307, { location: 'ftp://127.0.0.1/model.safetensors' }, '')
      case 'redirect-user':
        return send(308, { location: 'http://user:secret@198.51.100.1/model.safetensors' }, '')
      case 'redirect-html':
        return send(302, { location: request.url!.replace('redirect-html', 'html') }, '')
      case 'redirect-nowhere':
        return send(302, {}, '')
      case 'wrong-etag':
        return send(200, { etag: `"${'0'.repeat(64)}"`, 'content-length': good.length }, good)
      case 'huge':
        return send(200, { 'content-length': 2 ** 52 }, good)
      case 'negative':
        return send(200, { 'x-linked-size': -5, 'x-linked-etag': '"x"' }, good.subarray(0, 50))
      case 'text-length':
        return send(200, { 'x-linked-size': 'many' }, 'not a checkpoint')
      case 'other-type':
        return send(200, {}, Buffer.from('GGUF and so on'))
      case 'index':
        return send(200, {}, '{"weight_map":{}}')
      case 'ansi':
        return send(200, { etag: 'x[31m', 'content-type': 'x/y' }, '\u001b[2J')
      case 'status-500':
        return send(500, {}, '\u001b[31mboom')
      case 'status-404':
        return send(404, {}, '')
      case 'status-401':
        return send(401, {}, '')
      case 'reset':
        return request.socket.destroy()
      default:
        return send(404, {}, '')
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** A pull from it. */
export function hubCase(endpoint: string, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `hub ${i}`), what = behaviours[i % behaviours.length]
  const there = draw.chance(0.3) ? { [`${what}.safetensors`]: 'mine' } : {}
  return {
    kind: 'hub',
    name: `${i} ${what}${Object.keys(there).length ? ', a file is there' : ''}`,
    files: there,
    args: ['pull', `owner/${what}`, '--endpoint', endpoint, '--dir', '$'],
    codes: [1, 2],
  }
}
