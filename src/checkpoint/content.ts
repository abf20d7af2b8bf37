// What a download must be where no checksum says so: a sign-in page, an empty answer or half a file is told by its
// content, while it comes in and before it is put in place.
import { InputError } from '../base/errors.ts'
import { foreignFormat } from '../files/formats.ts'
import { safetensorsSize } from '../files/safetensors.ts'

const MAX_JSON = 2 ** 26
const START = 4096

/** Looks at a file as it arrives. */
export interface ContentCheck {
  /** The next bytes. @throws InputError once they show that this is not the file. */
  push(bytes: Uint8Array): void
  /** After the last byte. @throws InputError where the file is not whole, or empty. */
  end(): void
}

/** The check for a file of this name; `what` is what messages call it. */
export function contentCheck(file: string, what: string): ContentCheck {
  if (/\.safetensors$/i.test(file)) return safetensorsCheck(what)
  if (/\.json$/i.test(file)) return jsonCheck(what)
  return otherCheck(file, what)
}

const nothing = (what: string, expected: string) =>
  new InputError(`${what}: the hub sends 0 bytes, expected ${expected}; check the name and the endpoint`)

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function safetensorsCheck(what: string): ContentCheck {
  let head: Uint8Array[] = [], count = 0, size: number | null = null, needed = 9
  return {
    push(bytes) {
      count += bytes.length
      if (size === null) {
        head.push(bytes)
        if (count < needed) return
        const start = joined(head)
        head = [start]
        size = safetensorsSize(start, what)
        // Only a length that is possible comes here: below 100 MB.
        if (size === null) needed = 8 + new DataView(start.buffer).getUint32(0, true)
        else head = []
      }
      if (size !== null && count > size) {
        throw new InputError(`${what}: more than the ${size} bytes its header promises came; check the endpoint`)
      }
    },
    end() {
      if (count === 0) throw nothing(what, 'a safetensors file')
      const foreign = size === null ? foreignFormat(joined(head), what) : null
      if (foreign) throw new InputError(`${what}: expected a safetensors file, the hub sends ${foreign}`)
      if (size === count) return
      throw new InputError(
        `${what}: ended after ${count} bytes, ${
          size === null ? 'within its header' : `its header promises ${size}`
        }; pull again, or check the endpoint`,
      )
    },
  }
}

function jsonCheck(what: string): ContentCheck {
  const parts: Uint8Array[] = []
  let count = 0
  return {
    push(bytes) {
      parts.push(bytes)
      count += bytes.length
      if (count > MAX_JSON) {
        throw new InputError(`${what}: more than ${MAX_JSON} bytes of JSON came, expected fewer; check the endpoint`)
      }
    },
    end() {
      if (count === 0) throw nothing(what, 'JSON')
      const all = joined(parts)
      try {
        JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(all))
      } catch (error) {
        const found = isPage(all) ? 'an HTML page' : 'something else'
        throw new InputError(`${what}: expected JSON, the hub sends ${found}; check the name and the endpoint`, {
          cause: error,
        })
      }
    },
  }
}

const isPage = (bytes: Uint8Array) =>
  /^\s*<(!doctype html|html)/i.test(new TextDecoder().decode(bytes.subarray(0, 512)))

function otherCheck(file: string, what: string): ContentCheck {
  let head = new Uint8Array(0), count = 0
  return {
    push(bytes) {
      count += bytes.length
      if (head.length < START) head = Uint8Array.from([...head, ...bytes.subarray(0, START)])
    },
    end() {
      if (count === 0) throw nothing(what, 'a file')
      if (isPage(head) && !/\.(x?html?|md)$/i.test(file)) {
        throw new InputError(
          `${what}: the hub sends an HTML page instead; check the name, the endpoint, or log in there`,
        )
      }
    },
  }
}
