// Loads a checkpoint from a model hub with the address layout of Hugging Face:
// /{owner}/{name}/resolve/{revision}/{file}. The headers of the first answer carry the content's SHA-256
// (`x-linked-etag`) or git blob hash (`etag`); bytes go to a .part file named after that hash, so an interrupted
// download resumes and a changed file starts afresh. Needs Node.
import { EspalierError, InputError } from '../base/errors.ts'

/** Options of `pull`. */
export interface PullOptions {
  /** File inside the repository: `model.safetensors`. */
  file?: string
  /** Address of the hub; https, or http on this machine. */
  endpoint?: string
  revision?: string
  /** Folder the file is put in: the current one. */
  dir?: string
  /** Told after each chunk; `total` is 0 while unknown. */
  progress?: (received: number, total: number) => void
  /** Seconds without a byte after which a connection counts as broken (60). */
  patience?: number
  /** How often a broken connection is taken up again without new bytes in between (4). */
  retries?: number
}

/**
 * What `pull` did. `checked` names the hash that was verified; `none` where the hub gave none, then only the size was.
 */
export interface Pulled {
  path: string
  bytes: number
  checked: 'sha256' | 'git-sha1' | 'none'
  /** Bytes an earlier call had left. */
  resumedAt: number
  /** The file was there already. */
  cached: boolean
}

interface Remote {
  url: string
  tag: string
  size: number
  digest: Digest | null
}
interface Digest {
  kind: 'sha256' | 'git-sha1'
  hex: string
}

/**
 * Downloads `owner/name` to `<dir>/<name>.safetensors` (other files: `<dir>/<name>-<file>`), resuming what an earlier
 * call left, and renames it into place once its checksum is right. A file that is already there and right is not loaded
 * again. Throws InputError for a bad name or a missing file, EspalierError when the network or the content fails.
 */
export async function pull(model: string, options: PullOptions = {}): Promise<Pulled> {
  const { file = 'model.safetensors', endpoint = 'https://huggingface.co', revision = 'main', dir = '.' } = options
  const base = checkNames(model, file, revision, endpoint)
  const fs = await import('node:fs/promises'), path = await import('node:path')
  const short = model.slice(model.indexOf('/') + 1)
  const target = path.join(
    dir,
    file === 'model.safetensors' ? `${short}.safetensors` : `${short}-${file.replaceAll('/', '-')}`,
  )
  const what = `${model}/${file}`,
    remote = await ask(`${base}/${model}/resolve/${encodeURIComponent(revision)}/${file}`, what)

  const here = await sizeOf(target)
  const { digest } = remote, mayBeIt = here !== null && (remote.size === 0 || here === remote.size)
  if (mayBeIt && digest && await digestOf(target, here, digest.kind) === digest.hex) {
    return { path: target, bytes: here, checked: digest.kind, resumedAt: 0, cached: true }
  }
  await fs.mkdir(dir, { recursive: true })
  const part = `${target}.${remote.tag || 'untagged'}.part`
  // without a hash an old part may be of another version
  if (!remote.digest) await fs.rm(part, { force: true })
  const resumedAt = await sizeOf(part) ?? 0
  await download(remote, part, options, what)

  const bytes = await sizeOf(part) ?? 0
  if (remote.digest) {
    const found = await digestOf(part, bytes, remote.digest.kind)
    if (found !== remote.digest.hex) {
      await fs.rm(part, { force: true })
      throw new EspalierError(
        `${model}/${file}: expected ${remote.digest.kind} ${remote.digest.hex}, `
          + `the ${bytes} bytes received have ${found}; `
          + 'they were thrown away, pull again',
      )
    }
  }
  await fs.rename(part, target)
  return { path: target, bytes, checked: remote.digest?.kind ?? 'none', resumedAt, cached: false }
}

function checkNames(model: string, file: string, revision: string, endpoint: string): string {
  const clean = /^[\w.-]+$/
  const parts = model.split('/')
  if (parts.length !== 2 || !parts.every((part) => clean.test(part) && !/^\.+$/.test(part))) {
    throw new InputError(
      `model ${JSON.stringify(model)}: expected owner/name as on the hub, `
        + 'e.g. timm/deit_tiny_patch16_224.fb_in1k',
    )
  }
  if (!file.split('/').every((part) => clean.test(part) && !/^\.+$/.test(part)) || !/^[\w./-]+$/.test(revision)) {
    throw new InputError(
      `file ${JSON.stringify(file)} at ${JSON.stringify(revision)}: `
        + 'expected a path inside the repository and a branch or commit',
    )
  }
  let url: URL
  try {
    url = new URL(endpoint)
  } catch (error) {
    throw new InputError(
      `endpoint ${JSON.stringify(endpoint)}: `
        + 'expected an address such as https://huggingface.co',
      { cause: error },
    )
  }
  const local = ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) {
    throw new InputError(`endpoint ${JSON.stringify(endpoint)}: expected https, or http on this machine only`)
  }
  return endpoint.replace(/\/+$/, '')
}

// Follows redirects by hand: the hub's own answer carries the hash, the storage it points to does not.
async function ask(start: string, what: string): Promise<Remote> {
  let url = start
  for (let hop = 0; hop < 6; hop++) {
    const answer = await reach(
      url,
      { method: 'HEAD', redirect: 'manual', headers: { 'accept-encoding': 'identity' } },
      what,
      60,
    )
    const { status, headers } = answer.response
    answer.done()
    const linked = headers.get('x-linked-etag'), location = headers.get('location')
    const redirected = status >= 300 && status < 400 && location !== null
    if (redirected && linked === null) {
      url = new URL(location, url).href
      continue
    }
    if (!redirected && status !== 200) throw refusal(status, what)
    const tag = (linked ?? headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '').toLowerCase()
    const size = Number(headers.get('x-linked-size') ?? (redirected ? 0 : headers.get('content-length') ?? 0))
    const kind = /^[0-9a-f]{64}$/.test(tag) ? 'sha256' : /^[0-9a-f]{40}$/.test(tag) ? 'git-sha1' : null
    const known = Number.isSafeInteger(size) && size > 0
    return { url, size: known ? size : 0, tag: kind ? tag.slice(0, 12) : '', digest: kind && { kind, hex: tag } }
  }
  throw new EspalierError(`${what}: the hub redirects in a circle; check the endpoint`)
}

function refusal(status: number, what: string): Error {
  if (status === 404) {
    return new InputError(`${what}: the hub has no such model or file (HTTP 404); check the name and --file`)
  }
  if (status === 401 || status === 403) {
    return new InputError(
      `${what}: the hub refuses it (HTTP ${status}); it is private, `
        + 'gated or misspelt, load it by hand',
    )
  }
  return new EspalierError(`${what}: the hub answers HTTP ${status}; try again later`)
}

// fetch with a clock: `alive()` restarts it, and silence for `patience` seconds aborts.
async function reach(url: string, init: RequestInit, what: string, patience: number) {
  const abort = new AbortController()
  let timer = setTimeout(() => abort.abort(), patience * 1000)
  const done = () => clearTimeout(timer)
  const alive = () => {
    done()
    timer = setTimeout(() => abort.abort(), patience * 1000)
  }
  try {
    return { response: await fetch(url, { ...init, signal: abort.signal }), alive, done }
  } catch (error) {
    done()
    const { cause, message } = error as Error
    const reason = abort.signal.aborted
      ? `no answer for ${patience} `
        + 'seconds'
      : String((cause as Error | undefined)?.message || message)
    throw new EspalierError(
      `${what}: ${new URL(url).host} cannot be reached (${reason}); `
        + 'check the network and the endpoint',
      { cause: error },
    )
  }
}

async function download(remote: Remote, part: string, options: PullOptions, what: string): Promise<void> {
  const { progress, patience = 60, retries = 4 } = options
  const fs = await import('node:fs/promises')
  let failures = 0, furthest = 0
  for (;;) {
    const before = await sizeOf(part) ?? 0
    if (remote.size > 0 && before === remote.size) return
    if (remote.size > 0 && before > remote.size) await fs.rm(part, { force: true })
    try {
      if (await receive(remote, part, await sizeOf(part) ?? 0, what, patience, progress)) return
    } catch (error) {
      // progress is a new furthest byte: a server without ranges starts over each time and must not go on for ever
      const now = await sizeOf(part) ?? 0
      failures = now > Math.max(furthest, before) ? 0 : failures + 1
      furthest = Math.max(furthest, now)
      if (error instanceof InputError || failures > retries) throw error
      await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 100 * 2 ** failures)))
    }
  }
}

// One connection's worth of bytes appended to the part; true once the file is complete.
async function receive(
  remote: Remote,
  part: string,
  have: number,
  what: string,
  patience: number,
  progress: PullOptions['progress'],
): Promise<boolean> {
  const fs = await import('node:fs/promises')
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (have > 0) headers.range = `bytes=${have}-`
  const { response, alive, done } = await reach(remote.url, { headers }, what, patience)
  try {
    const { status, body } = response
    if (status === 416) { // more on disk than the hub has: start over
      await fs.rm(part, { force: true })
      throw new EspalierError(`${what}: the hub cannot resume at byte ${have}; pull again`)
    }
    if (status !== 200 && status !== 206) throw refusal(status, what)
    const startsAt = status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0
    if (status === 206 && startsAt !== have) {
      throw new EspalierError(`${what}: asked for bytes from ${have}, got from ${startsAt}; pull again`)
    }
    const announced = Number(response.headers.get('content-length') ?? NaN)
    const total = remote.size || (Number.isFinite(announced) ? startsAt + announced : 0)
    let received = startsAt
    const out = await fs.open(part, startsAt > 0 ? 'a' : 'w')
    try {
      for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
        alive()
        received += chunk.length
        if (total > 0 && received > total) {
          throw new InputError(`${what}: more than the ${total} bytes announced came; check the endpoint`)
        }
        await out.write(chunk)
        progress?.(received, total)
      }
      await out.sync()
    } finally {
      await out.close()
    }
    if (total > 0 && received < total) {
      throw new EspalierError(`${what}: the connection ended after ${received} of ${total} bytes; pull again to resume`)
    }
    return true
  } catch (error) {
    if (error instanceof EspalierError) throw error
    throw new EspalierError(`${what}: the connection broke (${(error as Error).message}); pull again to resume`, {
      cause: error,
    })
  } finally {
    done()
    await response.body?.cancel().catch(() => {})
  }
}

async function sizeOf(path: string): Promise<number | null> {
  const fs = await import('node:fs/promises')
  return fs.stat(path).then((info) => info.size, () => null)
}

async function digestOf(path: string, size: number, kind: Digest['kind']): Promise<string> {
  const { createHash } = await import('node:crypto'), { createReadStream } = await import('node:fs')
  const hash = createHash(kind === 'sha256' ? 'sha256' : 'sha1')
  if (kind === 'git-sha1') hash.update(`blob ${size}\0`) // git hashes a header with the content
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array)
  return hash.digest('hex')
}
