// SIGKILL at a random moment, then the same command again: the numbers and files must be those of a run in one go.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawer } from '../hostile/random.ts'
import { bundleForNode } from './cli.ts'

const cifar = 'models/data/cifar10', network = `${cifar}/resnet20.safetensors`
const data = ['--data', `cifar10:${cifar}/train100.bin#0-9`], tests = ['--test', `cifar10:${cifar}/test200.bin#0-9`]
const digits = 'models/data/digits/images-idx3-ubyte.gz,models/data/digits/labels-idx1-ubyte.gz'
const small = '{"type":"resnet","stem":"cifar","layers":[1,1,1],"width":8,"classes":10}'

/** Commands that go on after an interruption, with `$` for the folder they write in. */
const commands: Record<string, { args: string[], again?: string[] }> = {
  train: {
    args: ['train', small, ...data, ...tests, '--epochs', '4', '--batch', '5', '--out', '$/net.safetensors'],
    again: ['--resume'],
  },
  sweep: {
    args: [
      'sweep',
      network,
      ...data,
      ...tests,
      '--methods',
      'pxp,random',
      '--rates',
      '0,0.3',
      '--seeds',
      '2',
      '--out',
      '$/out',
    ],
  },
  search: { args: ['search', network, ...data, ...tests, '--rates', '0,0.3', '--evaluations', '3', '--out', '$/out'] },
  prune: {
    args: [
      'prune',
      network,
      ...data,
      '--method',
      'pxp',
      '--keep',
      '0.7',
      '--out',
      '$/net.safetensors',
      '--report',
      '$/net.html',
    ],
    again: ['--overwrite'],
  },
  learn: {
    args: [
      'prune',
      'models/data/digits/vit.safetensors',
      '--data',
      `idx:${digits}#0-39`,
      '--test',
      `idx:${digits}#1600-1639`,
      '--method',
      'apma',
      '--set',
      'search-epochs=2',
      '--set',
      'calibration-images=16',
      '--macs',
      '0.7',
      '--finetune',
      '2',
      '--out',
      '$/net.safetensors',
    ],
    again: ['--overwrite'],
  },
  pull: { args: ['pull', 'owner/net', '--endpoint', '@', '--dir', '$'] },
}

/** What a run in one go leaves and says. */
interface Undisturbed {
  seconds: number
  files: string[]
  says: unknown
}

/** A hub on this machine that sends one network slowly, and takes up where a connection ended. */
async function startSlowHub(): Promise<{ server: Server, endpoint: string }> {
  const content = readFileSync(network), etag = `"${createHash('sha256').update(content).digest('hex')}"`
  const server = createServer((request, response) => {
    if (!request.url!.endsWith('/model.safetensors')) return response.writeHead(404).end()
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    response.writeHead(from ? 206 : 200, {
      etag,
      'content-length': content.length - from,
      'accept-ranges': 'bytes',
      ...from ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {},
    })
    if (request.method === 'HEAD') return response.end()
    let at = from
    const timer = setInterval(() => {
      response.write(content.subarray(at, at += 32768))
      if (at < content.length) return
      clearInterval(timer)
      response.end()
    }, 20)
    response.on('close', () => clearInterval(timer))
    return response
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Everything but times and what differs between two folders. */
const timeless = (value: unknown, folder: string): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, each: unknown) =>
      /^(ms|pruningMs|msPerImage(Mad)?|imagesPerSecond|timeShare(Low|High)?|resumedAt|cached)$/.test(key)
        ? undefined
        : typeof each === 'string'
        ? each.replaceAll(folder, '$')
        : each),
  )

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort()

/**
 * Runs `count` kills over all commands in turn. A run that is done before its kill tells how fast the machine has
 * become, and is begun anew. Gives a sentence for whatever was not as in a run in one go.
 */
export async function killMany(count: number, seed: number): Promise<{ killed: number, wrong: string[] }> {
  const cli = await bundleForNode('src/cli.ts', 'cli'), { server, endpoint } = await startSlowHub()
  const base = mkdtempSync(join(tmpdir(), 'kills-')), known = new Map<string, Undisturbed>(), wrong: string[] = []
  const run = (args: readonly string[], folder: string, after?: number) =>
    new Promise<{ code: number | null, stdout: string, stderr: string }>((resolve) => {
      const local = /^pull/.test(args[0]) ? [] : ['--adapter', 'cpu']
      const line = [...args, ...local, '--json', '--quiet'].map((arg) =>
        arg.replace(/^\$/, folder).replace('@', endpoint)
      )
      const child = spawn(process.execPath, [cli, ...line], { stdio: ['ignore', 'pipe', 'pipe'] })
      let stdout = '', stderr = ''
      child.stdout.on('data', (chunk: Buffer) => stdout += String(chunk))
      child.stderr.on('data', (chunk: Buffer) => stderr += String(chunk))
      const clock = after === undefined ? null : setTimeout(() => child.kill('SIGKILL'), after * 1000)
      child.on('close', (code) => {
        if (clock) clearTimeout(clock)
        resolve({ code, stdout, stderr })
      })
    })
  const names = Object.keys(commands)
  let killed = 0
  try {
    for (let i = 0; i < count; i++) {
      const name = names[i % names.length], { args, again = [] } = commands[name], folder = join(base, String(i))
      if (!known.has(name)) {
        const whole = join(base, name), start = performance.now()
        mkdirSync(whole)
        const { code, stdout, stderr } = await run(args, whole)
        if (code !== 0) throw new Error(`${name}: ${stderr}`)
        const seconds = (performance.now() - start) / 1000
        known.set(name, { seconds, files: filesOf(whole), says: timeless(JSON.parse(stdout), whole) })
      }
      const whole = known.get(name)!, draw = drawer(seed, `kill ${i}`)
      let after = 0, wasKilled = false
      for (let attempt = 0; attempt < 5 && !wasKilled; attempt++) {
        rmSync(folder, { recursive: true, force: true })
        mkdirSync(folder)
        after = whole.seconds * (0.2 + 0.75 * draw.below(1000) / 1000)
        const start = performance.now()
        wasKilled = (await run(args, folder, after)).code === null
        if (!wasKilled) whole.seconds = Math.min(whole.seconds, (performance.now() - start) / 1000)
      }
      if (wasKilled) killed++
      const fault = (what: string) => wrong.push(`kill ${i}, ${name} after ${after.toFixed(2)} s: ${what}`)
      const { code, stdout, stderr } = await run([...args, ...again], folder)
      if (code !== 0) fault(`the next run ends with ${code}: ${stderr.slice(0, 300)}`)
      else if (JSON.stringify(timeless(JSON.parse(stdout), folder)) !== JSON.stringify(whole.says)) {
        fault('other numbers')
      }
      if (filesOf(folder).join() !== whole.files.join()) fault(`files ${filesOf(folder).join(' ')}`)
      if (!existsSync(network)) fault('the network is lost')
      rmSync(folder, { recursive: true, force: true })
    }
  } finally {
    server.close()
    rmSync(base, { recursive: true, force: true })
  }
  return { killed, wrong }
}
