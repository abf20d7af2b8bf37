// Text of strangers on its way to the terminal: names of files, tensors, classes, fields; and streams that take
// nothing.
import { spawnSync } from 'node:child_process'
import { build } from 'esbuild'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildModel } from '../../models/registry.ts'
import { plain, printable, printableJson } from '../../src/base/quote.ts'
import { withoutDevice } from '../../src/core/tensor.ts'
import { leaves } from '../../src/core/tree.ts'
import { encodeSafetensors } from '../../src/files/safetensors.ts'
import { bundleForNode, type Ended, runNode } from '../support/cli.ts'
import { scratch } from '../support/model.ts'
import { pngOf } from '../support/png.ts'

const folder = scratch(), at = (name: string) => join(folder, name)
const architecture = { type: 'resnet', stem: 'cifar', layers: [1], width: 4, classes: 2 }
const evil = 'a\u001b[31m\u001b]8;;http://x\u0007b\nspam: all is well\u202ecod\u009b2J\r'
const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
let cli = ''

function network(metadata: Record<string, unknown>, extra: [string, number][] = []): Uint8Array {
  const tensors = leaves(withoutDevice(() => buildModel(architecture))).map(([path, { shape }]) =>
    [path, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5) }] as const
  )
  const more = extra.map(([name, size]) => [name, { shape: [size], data: new Float32Array(size) }] as const)
  const espalier = JSON.stringify({ format: 1, naming: 'espalier', architecture, ...metadata }).replace('"DEEP"', deep)
  return encodeSafetensors([...tensors, ...more], { metadata: { espalier } })
}

beforeAll(async () => {
  cli = await bundleForNode('src/cli.ts', 'hostile-text')
  writeFileSync(at('good.safetensors'), network({ classes: ['cat', evil] }))
  writeFileSync(at('tensor.safetensors'), network({}, [[evil, 1], ['x'.repeat(1e6), 1]]))
  writeFileSync(at('naming.safetensors'), network({ naming: evil }))
  writeFileSync(at('option.safetensors'), network({ architecture: { ...architecture, [evil]: 'y'.repeat(1e6) } }))
  writeFileSync(
    at('deep.safetensors'),
    network({ architecture: 'DEEP' }),
  )
  writeFileSync(at('string.safetensors'), network({ classes: 'z'.repeat(1e7) }))
  writeFileSync(
    at('a.png'),
    pngOf({ width: 32, height: 32, depth: 8, perPixel: 3, samples: new Uint8Array(3 * 32 * 32) }),
  )
  writeFileSync(at('k.wgsl'), 'fn f() {}')
  writeFileSync(at('proto.json'), '{"toString": {}}')
  writeFileSync(at('field.json'), JSON.stringify({ [evil]: 1 }))
  writeFileSync(at('size.json'), JSON.stringify({ sizes: { [evil]: -1 } }))
  writeFileSync(at('null.json'), `[null, "${'x'.repeat(1e5)}"]`)
  writeFileSync(at(`${'evil\u001b[31m\nx'}.png`), 'no picture')
})

/** What must hold of every end of a command. */
function isSafe({ stdout, stderr, code }: Ended, codes: number[]): void {
  expect(codes).toContain(code)
  for (const text of [stdout, stderr]) {
    expect(text).toBe(printable(text))
    expect(text).not.toMatch(/^spam|unexpected failure|\[object |\bundefined\b/m)
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThan(2000)
  }
  if (code !== 0) expect(stderr.trimEnd().split('\n')).toHaveLength(1)
}

describe('names of strangers stay text', () => {
  test.each<[string[], number[]]>([
    [['inspect', '$tensor.safetensors'], [2]],
    [['inspect', '$naming.safetensors'], [2]],
    [['inspect', '$option.safetensors'], [2]],
    [['inspect', '$deep.safetensors'], [2]],
    [['inspect', '$string.safetensors'], [2]],
    [['inspect', `$${evil}`], [2]],
    [['inspect', '$good.safetensors', '--arch', `{"type":"${'\\u001b[31m'}"}`], [2]],
    [['inspect', '$good.safetensors', '--json'], [0]],
    [['explain', '$good.safetensors', '--image', '$a.png', '--adapter', 'cpu', '--threads', '1'], [0]],
    [['explain', '$good.safetensors', '--image', `$evil\u001b[31m\nx.png`, '--adapter', 'cpu'], [2]],
    [['eval', '$good.safetensors', '--data', `nothing:${evil}`], [2]],
    [['prune', '$good.safetensors', '--method', evil, '--keep', '0.5', '--out', '$x.safetensors'], [2]],
    [['check-kernel', '$k.wgsl', '--no-dawn', '--setup', '$proto.json'], [2]],
    [['check-kernel', '$k.wgsl', '--no-dawn', '--setup', '$field.json'], [2]],
    [['check-kernel', '$k.wgsl', '--no-dawn', '--setup', '$size.json'], [2]],
    [['check-kernel', '$k.wgsl', '--no-dawn', '--setup', '$null.json'], [2]],
    [[evil], [2]],
    [['inspect', `--${evil}`], [2]],
    [['inspect', 'x'.repeat(100_000)], [2]],
  ])('case %#', async (args, codes) => {
    isSafe(await runNode(cli, args.map((arg) => arg.startsWith('$') ? at(arg.slice(1)) : arg)), codes)
  })

  test('JSON answers keep the names, written in escapes', async () => {
    const { stdout } = await runNode(cli, ['inspect', at('good.safetensors'), '--json'])
    expect((JSON.parse(stdout) as { classes: string[] }).classes).toEqual(['cat', evil])
    expect(printableJson(['\u{e0041}', '\ud800x'])).toBe('["\\udb40\\udc41","\\ud800x"]')
    expect(JSON.parse(printableJson({ [evil]: evil }))).toEqual({ [evil]: evil })
    expect(printable('a\tb\nc\u001b')).toBe('a\tb\nc\\e')
    expect(plain(evil)).not.toMatch(/\n/)
  })
})

describe('streams and outputs that take nothing', () => {
  const shell = (script: string, ...args: string[]) => {
    const ended = spawnSync('sh', ['-c', script, 'sh', process.execPath, cli, ...args], { encoding: 'utf8' })
    return { ...ended, code: ended.status, signal: ended.signal } as Ended
  }
  test.skipIf(!existsSync('/dev/full')).each([['inspect', '$'], ['inspect', '$', '--json'], ['--help']])(
    'a full device: %s %s %s',
    (...args) => {
      const given = args.filter((arg): arg is string => arg !== undefined).map((arg) =>
        arg === '$' ? at('good.safetensors') : arg
      )
      const ended = shell('"$@" > /dev/full', ...given)
      expect(ended.code).toBe(1)
      expect(ended.stderr).toMatch(/^espalier: .*(full|ENOSPC)/)
      expect(ended.stderr).not.toMatch(/^ {4}at /m)
    },
  )

  // 12 GB hold the linear memory and not a thread beside it: V8 would end the process where the thread begins.
  test.skipIf(process.platform !== 'linux').each([1.5e6, 6e6, 12e6])('few addresses: ulimit -v %i', (kilobytes) => {
    const explain = ['explain', at('good.safetensors'), '--image', at('a.png'), '--adapter', 'cpu', '--threads', '2']
    const { code, stderr } = shell(`ulimit -v ${kilobytes}; "$@"`, ...explain)
    expect(stderr).not.toMatch(/unexpected failure|Fatal|^ {4}at /m)
    expect(code).toBe(kilobytes > 11e6 ? 0 : 1)
    if (code === 1) expect(stderr).toMatch(/embedded device.*cannot be opened.*11 GB.*ulimit -v/)
  })

  test('closed streams', () => {
    expect(shell('"$@" 2>&-', 'inspect', at('good.safetensors'))).toMatchObject({ code: 0 })
    expect(shell('"$@" 2>&-', 'inspect', at('none.safetensors'))).toMatchObject({ code: 2 })
    expect(shell('"$@" >&-', 'inspect', at('good.safetensors')).stderr).not.toMatch(/^ {4}at /m)
    expect(shell('"$@" | true', 'inspect', at('good.safetensors'))).toMatchObject({ code: 0, stderr: '' })
  })

  test.each([['257'], ['1024']])('--threads %s is as many as there can be', async (threads) => {
    const args = ['explain', at('good.safetensors'), '--image', at('a.png'), '--adapter', 'cpu', '--threads', threads]
    isSafe(await runNode(cli, [...args, '--help']), [0])
    const { stderr, code } = await runNode(cli, ['check-kernel', at('k.wgsl'), '--no-dawn', '--threads', threads])
    expect(stderr).not.toMatch(/256/)
    expect(code).not.toBe(3)
  })

  test('ESPALIER_THREADS that is no number of threads is bad usage', async () => {
    for (const threads of ['0', '257', 'many']) {
      const ended = await runNode(
        cli,
        ['explain', at('good.safetensors'), '--image', at('a.png'), '--adapter', 'cpu'],
        {
          ESPALIER_THREADS: threads,
        },
      )
      isSafe(ended, [2])
      expect(ended.stderr).toMatch(/ESPALIER_THREADS.*from 1 to 256/)
    }
  })

  test('explain --out where no folder can be', async () => {
    mkdirSync(at('readonly'), { mode: 0o500 })
    const image = ['explain', at('good.safetensors'), '--image', at('a.png'), '--adapter', 'cpu', '--out']
    for (const out of ['a.png/below', 'k.wgsl', `${'n'.repeat(300)}`]) {
      const ended = await runNode(cli, [...image, at(out)])
      isSafe(ended, [2])
      expect(ended.stderr).toMatch(/cannot write here|expected/)
    }
    isSafe(await runNode(cli, [...image, '/proc/self/x']), [2])
  }, 240_000)

  test('few descriptors end in a sentence', async () => {
    // In pieces, as the package has it: in one file nothing would be left to fail after the start.
    const outdir = join(dirname(cli), 'hostile-split')
    await build({
      entryPoints: ['src/cli.ts'],
      outdir,
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'error',
      outExtension: { '.js': '.mjs' },
    })
    const script = 'ulimit -n "$1"; shift; "$@"'
    for (const limit of ['22', '24', '26']) {
      const few = spawnSync('sh', [
        '-c',
        script,
        'sh',
        limit,
        process.execPath,
        join(outdir, 'cli.mjs'),
        'inspect',
        at('good.safetensors'),
      ], { encoding: 'utf8' })
      expect([0, 1]).toContain(few.status)
      expect(few.stderr).not.toMatch(/^ {4}at |unexpected failure/m)
      if (few.status === 1) expect(few.stderr).toMatch(/ulimit -n/)
    }
  }, 240_000)
})
