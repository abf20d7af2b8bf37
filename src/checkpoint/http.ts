// HTTP as `pull` needs it: redirects followed by hand, so that every hop keeps the rule of the first address, and
// secrets and checksums stay with the host that was asked.
import { EspalierError, InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'

/** A failure that may pass: a connection that broke, a server that is busy. Tried again; everything else is not. */
export class PassingError extends EspalierError {}

const MOST_HOPS = 6

/** Loopback addresses, where nothing can listen in between. */
const isHere = ({ hostname }: URL) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)

/** Null where an address may be asked: https, or http on this machine only; otherwise what it must be. */
function reasonAgainst(url: URL): string | null {
  if (url.username || url.password) return 'an address without name and password; give --token'
  return url.protocol === 'https:' || (url.protocol === 'http:' && isHere(url))
    ? null
    : 'https, or http on this machine only'
}

/** The address of a hub, without slashes at its end. @throws InputError. */
export function checkEndpoint(endpoint: string): string {
  if (!URL.canParse(endpoint)) {
    throw new InputError(`endpoint ${quoted(endpoint)}: expected an address such as https://huggingface.co`)
  }
  const url = new URL(endpoint), reason = reasonAgainst(url)
  if (reason) {
    const shown = url.username || url.password ? url.host : endpoint // a password is not repeated
    throw new InputError(`endpoint ${quoted(shown)}: expected ${reason}`)
  }
  return endpoint.replace(/\/+$/, '')
}

// A redirect may not lead where the first address could not, and not from the network to what listens on this machine.
function nextHop(location: string, from: URL, what: string): URL {
  const url = URL.canParse(location, from) ? new URL(location, from) : null
  const reason = !url
    ? 'an address'
    : reasonAgainst(url) ?? (isHere(url) && !isHere(from) ? 'an address outside' : null)
  if (!url || reason) {
    throw new EspalierError(
      `${what}: ${from.host} redirects to ${quoted(location, 80)}, expected ${reason}; check the endpoint`,
    )
  }
  return url
}

/** What to ask for, and how. */
export interface Request {
  method: 'GET' | 'HEAD'
  /** Bytes to skip. */
  from?: number
  /** Sent to the first host alone. */
  token?: string
  /** Seconds of silence after which a connection counts as broken. */
  patience: number
  /** A redirect that need not be followed, since it says what was asked. */
  enough?: (response: Response) => boolean
}

/** An answer; `trusted` while no redirect has left the host, scheme and port that were asked first. */
export interface Reply {
  response: Response
  trusted: boolean
  /** Restarts the clock. */
  alive(): void
  /** Stops the clock. */
  done(): void
}

/**
 * Asks an address, over at most six redirects. @throws PassingError where it cannot be reached, EspalierError for a
 * redirect that is not allowed.
 */
export async function request(address: string, { method, from = 0, token, patience, enough }: Request, what: string) {
  let url = new URL(address), trusted = true
  for (let hop = 0; hop < MOST_HOPS; hop++) {
    const headers: Record<string, string> = { 'accept-encoding': 'identity' }
    if (from > 0) headers.range = `bytes=${from}-`
    if (token !== undefined && trusted) headers.authorization = `Bearer ${token}`
    const reply = await reach(url, { method, headers, redirect: 'manual' }, what, patience)
    const { response } = reply, location = response.headers.get('location')
    const redirected = response.status >= 300 && response.status < 400 && location !== null
    if (!redirected || (trusted && enough?.(response))) return { ...reply, trusted }
    reply.done()
    await response.body?.cancel().catch(() => {})
    const next = nextHop(location, url, what)
    trusted &&= next.origin === url.origin
    url = next
  }
  throw new EspalierError(`${what}: the hub redirects in a circle; check the endpoint`)
}

// fetch with a clock: `alive()` restarts it, and silence for `patience` seconds aborts.
async function reach(url: URL, init: RequestInit, what: string, patience: number): Promise<Omit<Reply, 'trusted'>> {
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
      ? `no answer for ${patience} seconds`
      : plain(String((cause as Error | undefined)?.message || message), 120)
    throw new PassingError(
      `${what}: ${plain(url.host)} cannot be reached (${reason}); check the network and the endpoint`,
      { cause: error },
    )
  }
}

/** What a status other than success means. */
export function refusal(status: number, what: string): EspalierError {
  if (status === 404) {
    return new InputError(`${what}: the hub has no such model or file (HTTP 404); check the name and --file`)
  }
  if (status === 401 || status === 403) {
    return new InputError(
      `${what}: the hub refuses it (HTTP ${status}); it is private, gated or misspelt: give --token, `
        + 'or load it by hand',
    )
  }
  const message = `${what}: the hub answers HTTP ${status}; try again later`
  return status >= 500 || status === 429 ? new PassingError(message) : new EspalierError(message)
}
