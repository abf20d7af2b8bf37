// Kernels put together from files, and that messages name the file and line that was written, not those of the whole.
import { afterEach, describe, expect, test } from 'vitest'
import { KernelError } from '../../src/base/errors.ts'
import { launch } from '../../src/core/launch.ts'
import { tensor, zeros } from '../../src/index.ts'
import { close, init } from '../../src/gpu/device.ts'
import { declaredKernels, kernelFromText } from '../../src/gpu/kernel.ts'
import { assemble } from '../../src/gpu/source.ts'
import { describeDawn } from '../support/dawn.ts'

const files: Record<string, string> = {
  'ops/main.wgsl': '// main\n// #include ../shared/sum.wgsl\n// #include part.wgsl\nlast /*here*/;',
  'ops/part.wgsl': 'part\n// #include ../shared/sum.wgsl',
  'shared/sum.wgsl': 'one\ntwo',
  'loop.wgsl': '// #include ./loop-part.wgsl',
  'loop-part.wgsl': '\n  // #include loop.wgsl',
  'gone.wgsl': '// #include nowhere.wgsl',
}
const read = (file: string): string | undefined => files[file]

describe('includes', () => {
  test('a file stands where it is first named, and only there', () => {
    const { text, origins } = assemble('ops/main.wgsl', read)
    expect(text).toBe('// main\none\ntwo\npart\nlast /*here*/;')
    expect(origins.map(({ file, line }) => `${file}:${line}`)).toEqual(
      ['ops/main.wgsl:1', 'shared/sum.wgsl:1', 'shared/sum.wgsl:2', 'ops/part.wgsl:1', 'ops/main.wgsl:4'],
    )
  })

  test('what is spliced in counts as the line of its marker, and may include too', () => {
    files['ops/short.wgsl'] = 'first\n/*here*/\nlast'
    const { text, origins } = assemble('ops/short.wgsl', read, { '/*here*/': 'a\n// #include ../shared/sum.wgsl\nb' })
    expect(text).toBe('first\na\none\ntwo\nb\nlast')
    expect(origins.map(({ file, line }) => `${file}:${line}`)).toEqual([
      'ops/short.wgsl:1',
      'ops/short.wgsl:2',
      'shared/sum.wgsl:1',
      'shared/sum.wgsl:2',
      'ops/short.wgsl:2',
      'ops/short.wgsl:3',
    ])
  })

  test('a file that is not there, or in itself, or a marker that is not there', () => {
    expect(() => assemble('gone.wgsl', read)).toThrow('gone.wgsl, line 1: no such kernel file to include, nowhere.wgsl')
    expect(() => assemble('loop.wgsl', read)).toThrow('loop-part.wgsl, line 2: loop.wgsl includes itself')
    expect(() => assemble('ops/none.wgsl', read)).toThrow(KernelError)
    expect(() => assemble('ops/part.wgsl', read, { '/*x*/': '' })).toThrow('no marker /*x*/ to splice into')
  })

  test('no kernel of ours is left with a line to include', () => {
    expect(declaredKernels().length).toBeGreaterThan(20)
    for (const { source, label } of declaredKernels()) expect(source, label).not.toContain('#include')
  })
})

const names = { buffers: ['x', 'y'] }
/** A kernel that includes lines before its own and calls `one` of them. */
function withPart(name: string, part: string) {
  kernelFromText(`${name}-part.wgsl`, part, names)
  return kernelFromText(
    `${name}.wgsl`,
    `// #include ${name}-part.wgsl
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x] = one(id.x);
}`,
    names,
  )
}

afterEach(close)

test('a text that does not parse names the file that does not', async () => {
  await init({ adapter: 'cpu' })
  const broken = withPart('unparsable', '// a piece\nfn one(i: u32) -> f32 {\n  return x[i;\n}')
  expect(() => {
    launch(broken, { x: tensor([1]), y: zeros([4]) }, {}, [1])
  }).toThrow(/line 3 of unparsable-part.wgsl: return x\[i;/)
})

for (const { adapter, suite } of [{ adapter: 'cpu', suite: describe }, { adapter: 'dawn', suite: describeDawn }]) {
  suite(`on ${adapter}`, () => {
    test.each([
      [
        'included',
        '// a piece\nfn one(i: u32) -> f32 {\n  return x[i] * unknown;\n}',
        /line 3 of included-part.wgsl: r/,
      ],
      [
        'including',
        'fn one(i: u32) -> bool {\n  return x[i] > 0.0;\n}',
        /including.wgsl: does not compile, line 5: y\[id/,
      ],
    ])('a mistake in the %s text', async (name, part, message) => {
      await init({ adapter })
      const y = zeros([4])
      launch(withPart(name, part), { x: tensor([1, 2, 3, 4]), y }, {}, [1])
      await expect(y.data()).rejects.toThrow(message)
    })
  })
}

test('an index out of bounds in an included text', async () => {
  await init({ mode: 'bounds' })
  const y = zeros([4])
  launch(withPart('outside', 'fn one(i: u32) -> f32 {\n  return x[i + 9u];\n}'), { x: tensor([1, 2, 3, 4]), y }, {}, [
    1,
  ])
  await expect(y.data()).rejects.toThrow(/line 2 of outside-part.wgsl: index 9 is out of bounds/)
})
