// Loads a checkpoint from a model hub with the address layout of Hugging Face:
// /{owner}/{name}/resolve/{revision}/{file}. The headers of the hub's own answer carry the content's SHA-256
// (`x-linked-etag`) or git blob hash (`etag`); bytes go to a .part file named after that hash, so an interrupted
// download resumes and a changed file starts afresh. What another host says it sends is no checksum. Needs Node.
import { checkOptions, type OptionKeys } from '../base/options.ts'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'
import { type ContentCheck, contentCheck } from './content.ts'
import { checkEndpoint, PassingError, refusal, request } from './http.ts'

const pullKeys: OptionKeys<PullOptions> = {
  file: true,
  endpoint: true,
  revision: true,
  dir: true,
  overwrite: true,
  limit: true,
  token: true,
  progress: true,
  patience: true,
  retries: true,
}

/** Options of `pull`. */
export interface PullOptions {
  /** File inside the repository: `model.safetensors`. */
  file?: string
  /** Address of the hub; https, or http on this machine. */
  endpoint?: string
  revision?: string
  /** Folder the file is put in: the current one. */
  dir?: string
  /** Replaces another file of that name; without it one that is there is left alone. */
  overwrite?: boolean
  /** Most bytes a file may have (4 GiB, the most that is read). */
  limit?: number
  /** Access token for private and gated models; sent to the endpoint's host, never to where it redirects. */
  token?: string
  /** Told after each chunk; `total` is 0 while unknown. */
  progress?: (received: number, total: number) => void
  /** Seconds without a byte after which a connection counts as broken (60). */
  patience?: number
  /** How often a broken connection is taken up again without new bytes in between (4). */
  retries?: number
}

/**
 * What `pull` did. `checked` names the hash that was verified; `none` where the hub gave none, then the content was
 * looked at: the header of a safetensors file must fit its size.
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
  size: number
  digest: Digest | null
}
interface Digest {
  kind: 'sha256' | 'git-sha1'
  hex: string
}

const LIMIT = 4 * 2 ** 30

/**
 * Downloads `owner/name` to `<dir>/<name>.safetensors` (other files: `<dir>/<name>-<file>`), resuming what an earlier
 * call left, and puts it in place once its checksum or, without one, its content is right. A file that is already there
 * and right is not loaded again; another file is not replaced without `overwrite`. Throws InputError for a bad name, a
 * missing file, one that is there, a content that is no such file, or while another process loads it; EspalierError
 * when the network, the disk or the content fails.
 */
export async function pull(model: string, options: PullOptions = {}): Promise<Pulled> {
  checkOptions('pull', options, pullKeys)
  const { file = 'model.safetensors', endpoint = 'https://huggingface.co', revision = 'main', dir = '.' } = options
  const base = checkNames(model, file, revision, endpoint)
  checkToken(options.token)
  const fs = await import('node:fs/promises'), path = await import('node:path')
  const { makeFolder } = await import('../files/output.ts'), { lockFile } = await import('../files/lock.ts')
  const short = model.slice(model.indexOf('/') + 1)
  const target = path.join(
    dir,
    file === 'model.safetensors' ? `${short}.safetensors` : `${short}-${file.replaceAll('/', '-')}`,
  )
  const what = `${model}/${file}`
  const remote = await ask(`${base}/${model}/resolve/${encodeURIComponent(revision)}/${file}`, what, options)

  const here = await sizeOf(target), { digest } = remote
  if (here !== null) {
    const mayBeIt = digest !== null && (remote.size === 0 || here === remote.size)
    if (mayBeIt && await digestOf(target, here, digest.kind) === digest.hex) {
      return { path: target, bytes: here, checked: digest.kind, resumedAt: 0, cached: true }
    }
    if (!options.overwrite) {
      const why = digest
        ? 'another file of that name'
        : 'there already, and the hub gives no checksum to compare it with'
      throw new InputError(`${quoted(target)}: ${why}; give --overwrite to replace it, or another --dir`)
    }
  }
  makeFolder(dir)
  const lock = lockFile(target, `pull ${what}`), part = `${target}.${digest?.hex.slice(0, 12) ?? 'untagged'}.part`
  let keep = false
  try {
    if (!digest) await fs.rm(part, { force: true }) // an old part may be of another version
    const resumedAt = await sizeOf(part) ?? 0
    await checkRoom(remote.size - resumedAt, dir, what)
    await download(remote, part, options, what, file)
    const bytes = await sizeOf(part) ?? 0
    if (digest) await checkDigest(part, bytes, digest, what)
    await place(part, target, options.overwrite ?? false)
    return { path: target, bytes, checked: digest?.kind ?? 'none', resumedAt, cached: false }
  } catch (error) {
    // what came is worth keeping where the network or the disk gave up, and a checksum will tell whether it is right
    keep = digest !== null && !(error instanceof InputError)
    throw error
  } finally {
    if (!keep) await fs.rm(part, { force: true })
    lock.release()
  }
}

/**
 * Loads the configuration that stands beside a checkpoint, `config.json` and `preprocessor_config.json`, under names
 * that `readCheckpoint` finds; the paths of those that the hub has. Throws as `pull`, but not for a file that is not
 * there.
 */
export async function pullBeside(
  model: string,
  file: string,
  options: Omit<PullOptions, 'file'> = {},
): Promise<string[]> {
  const folder = file.replace(/[^/]*$/, ''), found: string[] = []
  for (const name of ['config.json', 'preprocessor_config.json']) {
    try {
      const { path } = await pull(model, { ...options, file: folder + name })
      found.push(await besideName(path, model, file, folder + name))
    } catch (error) {
      // not there, or another one lies here already, which stays
      if (!(error instanceof InputError) || !/HTTP 404|--overwrite/.test(error.message)) throw error
    }
  }
  return found
}

// `pull` names the file after its path; beside model-x.safetensors it stands as <name>-model-x-config.json.
async function besideName(path: string, model: string, file: string, config: string): Promise<string> {
  if (file === 'model.safetensors') return path
  const short = model.slice(model.indexOf('/') + 1), stem = file.replaceAll('/', '-').replace(/\.safetensors$/, '')
  const target = path.replace(/[^/\\]*$/, '') + `${short}-${stem}-${config.replace(/.*\//, '')}`
  await (await import('node:fs/promises')).copyFile(path, target)
  return target
}

function checkNames(model: string, file: string, revision: string, endpoint: string): string {
  const clean = /^[\w.-]+$/
  const parts = model.split('/')
  if (parts.length !== 2 || !parts.every((part) => clean.test(part) && !/^\.+$/.test(part))) {
    throw new InputError(
      `model ${quoted(model)}: expected owner/name as on the hub, e.g. timm/deit_tiny_patch16_224.fb_in1k`,
    )
  }
  if (!file.split('/').every((part) => clean.test(part) && !/^\.+$/.test(part)) || !/^[\w./-]+$/.test(revision)) {
    throw new InputError(
      `file ${quoted(file)} at ${quoted(revision)}: expected a path inside the repository and a branch or commit`,
    )
  }
  return checkEndpoint(endpoint)
}

function checkToken(token: string | undefined) {
  if (token === undefined || /^[\x21-\x7e]{1,4096}$/.test(token)) return
  throw new InputError('--token or HF_TOKEN: expected printable characters without blanks; copy the token anew')
}

// The hub's own answer carries the hash, the storage it points to does not.
async function ask(address: string, what: string, { token, patience = 60, limit = LIMIT }: PullOptions) {
  const reply = await request(address, {
    method: 'HEAD',
    token,
    patience,
    enough: ({ headers }) => headers.get('x-linked-etag') !== null,
  }, what)
  reply.done()
  const { status, headers } = reply.response, redirected = status >= 300 && status < 400
  if (!redirected && status !== 200) throw refusal(status, what)
  const tag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '')
    .toLowerCase()
  const kind = /^[0-9a-f]{64}$/.test(tag) ? 'sha256' : /^[0-9a-f]{40}$/.test(tag) ? 'git-sha1' : null
  const said = Number(headers.get('x-linked-size') ?? (redirected ? 0 : headers.get('content-length') ?? 0))
  const size = Number.isSafeInteger(said) && said > 0 ? said : 0
  if (size > limit) throw tooLarge(what, size, limit)
  const remote: Remote = { url: address, size, digest: kind && reply.trusted ? { kind, hex: tag } : null }
  return remote
}

const tooLarge = (what: string, size: number, limit: number) =>
  new InputError(`${what}: the hub announces ${size} bytes, expected at most ${limit}; raise --limit if that is right`)

/** Says that the disk is too full before the download rather than after it. */
async function checkRoom(needed: number, dir: string, what: string) {
  const { statfs } = await import('node:fs/promises')
  const room = await statfs(dir).then(({ bavail, bsize }) => bavail * bsize, () => Infinity)
  if (needed <= room) return
  throw new EspalierError(
    `${what}: needs ${needed} bytes, the disk of ${quoted(dir)} has ${room} left; free some space`,
  )
}

async function checkDigest(part: string, bytes: number, { kind, hex }: Digest, what: string) {
  const found = await digestOf(part, bytes, kind)
  if (found === hex) return
  const { rm } = await import('node:fs/promises')
  await rm(part, { force: true })
  throw new EspalierError(
    `${what}: expected ${kind} ${hex}, the ${bytes} bytes received have ${found}; they were thrown away, pull again`,
  )
}

// Without `overwrite` by a hard link, which fails where meanwhile a file has come to be.
async function place(part: string, target: string, overwrite: boolean) {
  const fs = await import('node:fs'), { guard } = await import('../files/guard.ts')
  guard(target, () => {
    if (overwrite) return fs.renameSync(part, fs.existsSync(target) ? fs.realpathSync(target) : target)
    try {
      fs.linkSync(part, target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
      return fs.renameSync(part, target) // a disk without hard links
    }
    fs.rmSync(part)
  }, true)
}

async function download(remote: Remote, part: string, options: PullOptions, what: string, file: string): Promise<void> {
  const { retries = 4 } = options
  const fs = await import('node:fs/promises')
  let failures = 0, furthest = 0
  for (;;) {
    const before = await sizeOf(part) ?? 0
    if (remote.size > 0 && before === remote.size) return
    if (remote.size > 0 && before > remote.size) await fs.rm(part, { force: true })
    // without a checksum a broken download starts over, so its content is seen from the first byte on
    if (!remote.digest) await fs.rm(part, { force: true })
    try {
      const check = remote.digest ? null : contentCheck(file, what)
      await receive(remote, part, await sizeOf(part) ?? 0, what, options, check)
      check?.end()
      return
    } catch (error) {
      // progress is a new furthest byte: a server without ranges starts over each time and must not go on for ever
      const now = await sizeOf(part) ?? 0
      failures = now > Math.max(furthest, before) ? 0 : failures + 1
      furthest = Math.max(furthest, now)
      if (!(error instanceof PassingError) || failures > retries) throw error
      await new Promise((resolve) => setTimeout(resolve, Math.min(8000, 100 * 2 ** failures)))
    }
  }
}

// One connection's worth of bytes appended to the part.
async function receive(
  remote: Remote,
  part: string,
  have: number,
  what: string,
  { progress, token, patience = 60, limit = LIMIT }: PullOptions,
  check: ContentCheck | null,
): Promise<void> {
  const fs = await import('node:fs'), { guard } = await import('../files/guard.ts')
  const { response, alive, done } = await request(remote.url, { method: 'GET', from: have, token, patience }, what)
  try {
    const { status, body } = response
    if (status === 416) { // more on disk than the hub has: start over
      fs.rmSync(part, { force: true })
      throw new PassingError(`${what}: the hub cannot resume at byte ${have}; pull again`)
    }
    if (status !== 200 && status !== 206) throw refusal(status, what)
    const startsAt = status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0
    if (status === 206 && startsAt !== have) {
      throw new PassingError(`${what}: asked for bytes from ${have}, got from ${startsAt}; pull again`)
    }
    const announced = Number(response.headers.get('content-length') ?? NaN)
    const total = remote.size || (Number.isSafeInteger(announced) ? startsAt + announced : 0)
    if (total > limit) throw tooLarge(what, total, limit)
    let received = startsAt
    const out = guard(part, () => fs.openSync(part, startsAt > 0 ? 'a' : 'w'), true)
    try {
      for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
        alive()
        received += chunk.length
        if (received > (total || limit)) {
          throw new InputError(`${what}: more than ${total || limit} bytes came; check the endpoint, or raise --limit`)
        }
        check?.push(chunk)
        guard(part, () => {
          for (let at = 0; at < chunk.length;) at += fs.writeSync(out, chunk, at)
        })
        progress?.(received, total)
      }
      guard(part, () => fs.fsyncSync(out))
    } finally {
      fs.closeSync(out)
    }
    if (total > 0 && received < total) {
      throw new PassingError(`${what}: the connection ended after ${received} of ${total} bytes; pull again to resume`)
    }
  } catch (error) {
    if (error instanceof EspalierError) throw error
    const reason = plain((error as Error).message, 120)
    throw new PassingError(`${what}: the connection broke (${reason}); pull again to resume`, { cause: error })
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
