// What a download turns out to be, byte by byte as it comes.
import { describe, expect, test } from 'vitest'
import { contentCheck } from '../../src/checkpoint/content.ts'
import { InputError } from '../../src/base/errors.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)
const run = (file: string, ...parts: Uint8Array[]) => {
  const check = contentCheck(file, 'the file')
  for (const part of parts) check.push(part)
  check.end()
}

function safetensors(): Uint8Array {
  const header = utf8(JSON.stringify({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }))
  const bytes = new Uint8Array(8 + header.length + 8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true)
  bytes.set(header, 8)
  return bytes
}

describe('safetensors', () => {
  const whole = safetensors()

  test('a whole file passes, in one piece and byte by byte', () => {
    run('a.safetensors', whole)
    run('a.safetensors', ...Array.from(whole, (byte) => Uint8Array.of(byte)))
  })

  test('half a file, within the header and within the data, is refused at the end', () => {
    expect(() => run('a.safetensors', whole.subarray(0, 20))).toThrow(/ended after 20 bytes, within its header/)
    expect(() => run('a.safetensors', whole.subarray(0, whole.length - 1)))
      .toThrow(`ended after ${whole.length - 1} bytes, its header promises ${whole.length}`)
  })

  test('more than the header promises is refused as it comes', () => {
    const check = contentCheck('a.safetensors', 'the file')
    check.push(whole)
    expect(() => check.push(Uint8Array.of(0))).toThrow(`more than the ${whole.length} bytes`)
  })

  test('nothing at all is refused', () => {
    expect(() => run('a.safetensors')).toThrow(/sends 0 bytes, expected a safetensors file/)
  })
})

describe('JSON', () => {
  test('an object passes, in two pieces', () => run('config.json', utf8('{"a"'), utf8(': 1}')))

  test.each([['<!DOCTYPE html><p>', 'an HTML page'], ['{"a":', 'something else']])('%s is refused', (text, what) => {
    expect(() => run('config.json', utf8(text))).toThrow(InputError)
    expect(() => run('config.json', utf8(text))).toThrow(`expected JSON, the hub sends ${what}`)
  })

  test('bytes that are no UTF-8 are refused', () => {
    expect(() => run('config.json', Uint8Array.of(0x22, 0xff, 0x22))).toThrow(/expected JSON/)
  })
})

test('a sign-in page in place of another file is refused, a page that was asked for is not', () => {
  expect(() => run('vocab.txt', utf8(' <html>log in'))).toThrow(/an HTML page instead/)
  run('index.html', utf8('<html>'))
  run('vocab.txt', utf8('the'))
  expect(() => run('vocab.txt')).toThrow(/sends 0 bytes/)
})
