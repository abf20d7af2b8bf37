// Flags, outputs that meet inputs, streams, kernels, folders of results, hubs.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import type { HostileCase } from './case.ts'
import type { Material } from './material.ts'
import { drawer } from './random.ts'

const data = ['--data', 'cifar10:$/ten.bin']
const junk = [
  '',
  '0',
  '-1',
  '1.5',
  'NaN',
  'Infinity',
  '1e309',
  '99999999999999999999',
  'x',
  '\u001b[31m',
  '\u202e',
  '../..',
  '/dev/null',
  '--',
  '\n',
  '9'.repeat(5000),
  '__proto__',
]

const flags: Record<string, readonly string[]> = {
  inspect: ['--arch', '--units', '--seed'],
  eval: [
    '--batch',
    '--resize',
    '--crop',
    '--mean',
    '--std',
    '--adapter',
    '--threads',
    '--seed',
    '--arch',
    '--crop-rounding',
  ],
  explain: ['--class', '--composite', '--image', '--method', '--resize', '--crop', '--threads'],
  prune: [
    '--method',
    '--keep',
    '--macs',
    '--params',
    '--bytes',
    '--ms',
    '--units',
    '--multiple',
    '--minimum',
    '--steps',
    '--finetune',
    '--rate',
    '--references',
    '--ranking',
    '--batch',
    '--residual',
  ],
  sweep: ['--methods', '--rates', '--seeds', '--subset', '--classes', '--restriction', '--units', '--multiple'],
  train: ['--epochs', '--batch', '--rate', '--classes', '--decay', '--arch', '--resume'],
  bench: ['--against', '--only', '--compare', '--pattern'],
  pull: ['--file', '--dir', '--revision', '--endpoint'],
  'check-kernel': ['--entry', '--grid', '--inputs', '--set'],
  doctor: ['--fix', '--yes', '--adapter'],
  demo: ['--out', '--threads'],
}

const complete: Record<string, readonly string[]> = {
  inspect: ['$/net.safetensors'],
  eval: ['$/net.safetensors', ...data],
  explain: ['$/net.safetensors', '--image', '$/a.png'],
  prune: ['$/net.safetensors', '--method', 'magnitude', ...data, '--out', '$/out.safetensors', '--keep', '0.5'],
  sweep: [
    '$/net.safetensors',
    '--methods',
    'magnitude',
    ...data,
    '--test',
    'cifar10:$/ten.bin',
    '--out',
    '$/out',
    '--rates',
    '0.5',
  ],
  train: ['$/net.safetensors', ...data, '--epochs', '1', '--out', '$/out.safetensors'],
  bench: ['kernels', '--only', 'none-of-this-name'],
  pull: ['owner/name', '--endpoint', 'http://127.0.0.1:9', '--dir', '$/out'],
  'check-kernel': ['$/k.wgsl', '--no-dawn'],
  doctor: [],
  demo: ['--help'],
}

/** A command whose flags hold junk, twice, or in vain. */
export function flagCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `flag ${i}`), command = draw.pick(Object.keys(flags))
  const args = [command, ...complete[command]]
  const flag = draw.pick(flags[command]), value = draw.pick(junk)
  const what = draw.below(6)
  if (what === 0 && command !== 'demo') args.splice(1 + draw.below(args.length - 1), 1)
  else if (what === 1) args.push(`--${flag.slice(2, 5)}${draw.pick(['', 'x'])}`, value)
  else if (what === 2) args.push(draw.pick(junk))
  else args.push(flag, value)
  if (draw.chance(0.3)) args.push('--json')
  if (
    !['bench', 'pull', 'doctor', 'demo', 'check-kernel', 'inspect'].includes(command) && !args.includes('--adapter')
  ) args.push('--adapter', 'cpu')
  return {
    kind: 'flags',
    name: `${i} ${command} ${flag} ${JSON.stringify(value).slice(0, 20)}`,
    files: { ...material.base, 'k.wgsl': material.kernel },
    args,
    codes: command === 'pull' ? [1, 2] : [0, 1, 2, 3],
    leaves: ['out', 'out.safetensors', 'out.state.safetensors', 'out.svg', 'espalier-demo', 'net.svg', 'explain.png'],
  }
}

type Files = HostileCase['files']

/** Outputs that are inputs, by name, link, or derived name: refused, and nothing changed. */
export function outputCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `output ${i}`)
  const files: Files = {
    ...material.base,
    'val.json': '[{"file":"a.png","label":0}]',
    'val/a.png': material.png,
    'old.html': 'mine',
    'link.html': (path) => symlinkSync('net.safetensors', path),
    'hard.png': (path) => linkSync(path.replace('hard.png', 'a.png'), path),
    'sweep.json': '[{"file":"a.png","label":0}]',
    'sweep/a.png': material.png,
    'folder/x': '',
    'net.state.safetensors': (path) => linkSync(path.replace('.state', ''), path),
    'net2.svg': (path) => linkSync(path.replace('net2.svg', 'ten.bin'), path),
    'points.jsonl': '[{"file":"a.png","label":0}]',
    'points/a.png': material.png,
  }
  const prune = (
    ...rest: string[]
  ) => ['prune', '$/net.safetensors', '--method', 'magnitude', '--keep', '0.5', '--adapter', 'cpu', ...rest]
  const overwrite = draw.chance(0.5) ? ['--overwrite'] : []
  const places = ['/dev/full', '/dev/null', '/dev/stdout', '/proc/self/mem']
  const args = draw.pick([
    prune('--data', 'images:$/val.json', '--out', '$/o.safetensors', '--report', '$/val.html'),
    prune('--data', 'images:$/val.json', '--out', '$/o.safetensors', '--report', '$/val.json'),
    prune(...data, '--out', '$/o.safetensors', '--report', '$/link.html'),
    prune(...data, '--out', '$/net.safetensors'),
    prune(...data, '--out', '$/ten.bin'),
    prune(...data, '--out', '$/folder'),
    prune(...data, '--out', ''),
    prune(...data, '--out', '$/missing/o.safetensors'),
    prune(...data, '--out', '$/a.png/o.safetensors'),
    ['explain', '$/net.safetensors', '--image', '$/a.png', '--out', '$/a.png', '--adapter', 'cpu'],
    ['explain', '$/net.safetensors', '--image', '$/a.png', '--out', '$/hard.png', '--adapter', 'cpu'],
    ['explain', '$/net.safetensors', '--image', '$/a.png', '--out', '$/net.safetensors', '--adapter', 'cpu'],
    ['explain', '$/net.safetensors', '--image', '$/a.png', '--out', '$/a.png/b.png', '--adapter', 'cpu'],
    [
      'sweep',
      '$/net.safetensors',
      '--methods',
      'magnitude',
      '--data',
      'images:$/sweep.json',
      '--test',
      'images:$/sweep.json',
      '--out',
      '$',
      '--rates',
      '0.5',
      '--adapter',
      'cpu',
    ],
    ['train', '$/net.safetensors', ...data, '--epochs', '1', '--out', '$/net.safetensors', '--adapter', 'cpu'],
    // derived outputs that are inputs: the state, the curve, the points
    ['train', '$/net.state.safetensors', ...data, '--epochs', '1', '--out', '$/net.safetensors', '--adapter', 'cpu'],
    ['train', '$/net.safetensors', ...data, '--epochs', '1', '--out', '$/net2.safetensors', '--adapter', 'cpu'],
    [
      'sweep',
      '$/net.safetensors',
      '--methods',
      'magnitude',
      ...data,
      '--test',
      'images:$/points.jsonl',
      '--out',
      '$',
      '--rates',
      '0.5',
      '--adapter',
      'cpu',
    ],
    // places that take no files
    prune(...data, '--out', draw.pick(['/proc/o.safetensors', '/proc/self/o.safetensors', '/dev/null/o.safetensors'])),
    [
      'explain',
      '$/net.safetensors',
      '--image',
      '$/a.png',
      '--out',
      draw.pick(['/proc/a.png', '/dev/full', '/sys/a.png']),
      '--adapter',
      'cpu',
    ],
    ['train', '$/net.safetensors', ...data, '--epochs', '1', '--out', '/proc/net.safetensors', '--adapter', 'cpu'],
    prune(
      ...data,
      '--out',
      '$/o.safetensors',
      '--report',
      draw.pick(['/proc/r.html', '/dev/full', '/dev/null/r.html']),
    ),
    ['train', '$/net.safetensors', ...data, '--epochs', '1', '--out', '$/ten.bin', '--adapter', 'cpu'],
  ])
  // What is no plain file is there already, and is not written to unasked.
  if (draw.chance(0.1)) args.splice(0, args.length, ...prune(...data, '--out', draw.pick(places)))
  return {
    kind: 'outputs',
    name: `${i} ${args[0]} ${args.slice(4).join(' ').slice(0, 60)}`,
    files,
    args: places.includes(args.at(-1)!) ? args : [...args, ...overwrite],
    // A device may be written to, and this one is full: told while running, and what is whole beside it stays.
    codes: args.includes('/dev/full') ? [1, 2] : [2],
    leaves: args.includes('/dev/full') ? ['o.safetensors'] : [],
  }
}

/** A command by somebody who may write nowhere: as another user where this one is root. */
function readOnly(material: Material, args: readonly string[], name: string): HostileCase {
  const close = (path: string) => {
    mkdirSync(path)
    chmodSync(path, 0o555)
    chmodSync(path.replace(/no$/, ''), 0o555)
  }
  const writes = args.some((arg) => arg.startsWith('$/no'))
  return {
    kind: 'streams',
    name: `${name} in a folder that is read-only`,
    files: { ...material.base, no: close },
    args,
    codes: writes ? [1, 2] : [0],
    ...process.getuid?.() === 0
      ? { through: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all'] }
      : {},
  }
}

/** Whether a process may have mounts of its own here. */
const mounts = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0

// What is left of a file that did not fit is told on stderr; what goes on later may keep its journal.
const mounted = `mount -t tmpfs -o size=8k tmpfs full; "$@"; code=$?; for file in full/* full/.[!.]*; do
  case "$file" in *.part|*/points.*|*/scores|*/.espalier*|*'*'*) ;; *) echo "LEFT $file" >&2 ;; esac
done; exit $code`

/**
 * A command on a disk of 8 KB, which says what it leaves there; where nothing can be mounted, a limit of file sizes.
 */
function full(material: Material, args: readonly string[], name: string): HostileCase {
  const disk = (path: string) => {
    mkdirSync(path)
  }
  return {
    kind: 'streams',
    name: `${name} to a full disk`,
    files: { ...material.base, full: disk },
    args,
    codes: [1],
    ...mounts
      ? { through: ['unshare', '-rm', 'sh', '-c', mounted, 'sh'] }
      : { shell: "trap '' XFSZ; ulimit -f 8" },
    leaves: ['full'],
  }
}

/** Pipes, devices, closed and full streams, few descriptors, little memory. */
export function streamCase(material: Material, endpoint: string, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `stream ${i}`),
    files: Files = {
      ...material.base,
      fifo: (path) => {
        execFileSync('mkfifo', [path])
      },
      dir: (path) => {
        mkdirSync(path)
      },
      loop: (path) => symlinkSync('loop', path),
    }
  const command = draw.pick(['inspect', 'eval', 'explain'])
  const args = [command, ...complete[command], '--adapter', 'cpu']
  const odd = draw.pick([
    '$/fifo',
    '$/dir',
    '$/loop',
    '/dev/zero',
    '/dev/null',
    '/proc/self/mem',
    '$/none',
    '/dev/stdin',
  ])
  const base = { kind: 'streams', files }
  return draw.pick<() => HostileCase>([
    () => ({ ...base, name: `${i} ${command} > /dev/full`, args, stdout: 'full', codes: [1] }),
    () => ({ ...base, name: `${i} ${command} | true`, args, stdout: 'closed', codes: [0] }),
    () => ({ ...base, name: `${i} ${command} 2>&-`, args, stderr: 'closed', codes: [0] }),
    () => ({ ...base, name: `${i} model ${odd}`, args: ['inspect', odd], codes: [2] }),
    () => ({
      ...base,
      name: `${i} image ${odd}`,
      args: ['explain', '$/net.safetensors', '--image', odd, '--adapter', 'cpu'],
      codes: [2],
    }),
    () => ({
      ...base,
      name: `${i} data ${odd}`,
      args: ['eval', '$/net.safetensors', '--data', `cifar10:${odd}`, '--adapter', 'cpu'],
      codes: [2],
    }),
    () => ({ ...base, name: `${i} kernel ${odd}`, args: ['check-kernel', odd, '--no-dawn'], codes: [2] }),
    () => ({ ...base, name: `${i} ulimit -n ${command}`, args, shell: 'ulimit -n 24', codes: [0, 1, 2] }),
    () => {
      const kilobytes = draw.pick([1e6, 2e6, 4e6, 6e6, 9e6, 12e6])
      const shell = `ulimit -v ${kilobytes}`
      return { ...base, name: `${i} ${shell} ${command}`, args, shell, codes: [0, 1, 2, 3] }
    },
    () => {
      const bytes = draw.pick([2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, 2 ** 41]) // sparse: no block of it is written
      const large = (path: string) => {
        writeFileSync(path, material.small)
        truncateSync(path, bytes)
      }
      return {
        ...base,
        files: { ...files, 'net.safetensors': large },
        name: `${i} model of ${bytes} bytes`,
        args,
        codes: [2],
      }
    },
    () => readOnly(material, args, `${i} ${command}`),
    () => readOnly(material, ['explain', ...complete.explain, '--adapter', 'cpu', '--out', '$/no/o.png'], `${i} write`),
    () => readOnly(material, ['pull', 'owner/short', '--dir', '$/no', '--endpoint', endpoint], `${i} pull`),
    () =>
      full(
        material,
        ['pull', 'owner/good', '--dir', '$/full', '--endpoint', endpoint],
        `${i} pull`,
      ),
    () =>
      full(material, [
        'prune',
        ...complete.prune.slice(0, -4),
        '--keep',
        '0.5',
        '--out',
        '$/full/o.safetensors',
        '--adapter',
        'cpu',
      ], `${i} prune`),
    () =>
      full(
        material,
        ['train', ...complete.train.slice(0, -1), '$/full/o.safetensors', '--adapter', 'cpu'],
        `${i} train`,
      ),
    () => full(material, ['sweep', ...complete.sweep, '--out', '$/full', '--adapter', 'cpu'], `${i} sweep`),
    () => ({
      ...base,
      name: `${i} threads`,
      args: [...args, '--threads', draw.pick(['257', '1024', '0', '2'])],
      codes: [0, 2],
    }),
  ])()
}

const snippets = [
  'var<workgroup> a: array<f32, 65536>;',
  'for (;;) {}',
  'loop {}',
  'while (true) {}',
  'if (x) {',
  '}}}}',
  '/*',
  '@',
  'let x = 1 / 0;',
  'var a: array<array<array<f32, 9999>, 9999>, 9999>;',
  '\u0000',
  '\u001b[31m',
  '\ufeff',
  'workgroupBarrier();',
  'return;',
  'const big = 1 << 99;',
  'enable f64;',
  'struct S { s: S }',
  'fn f() { f(); }',
  '𝒳',
  '#include',
  'override o: u32;',
  'array<f32>',
  '<'.repeat(2000),
  '('.repeat(20_000),
  '-'.repeat(20_000) + '1',
]

/** Kernels that are no kernels, never end, or grow without bound. */
export function kernelCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `kernel ${i}`), text = material.kernel
  const doubling = (n: number) =>
    `${
      Array.from({ length: n }, (_, k) => `fn f${k + 1}(x: f32) -> f32 { return f${k}(x) + f${k}(x + 1.0); }`).join(
        '\n',
      )
    }`
  const structs = (n: number) =>
    Array.from({ length: n }, (_, k) => `struct S${k + 1} { a: S${k}, b: S${k} }`).join('\n')
  const head = '@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n'
  const main = (body: string) =>
    `@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { ${body} }`
  const makers: [string, () => string | Buffer][] = [
    ['insert', () => {
      const at = draw.below(text.length)
      return text.slice(0, at) + draw.pick(snippets) + text.slice(at)
    }],
    ['insert', () => {
      const at = draw.below(text.length)
      return text.slice(0, at) + draw.pick(snippets) + text.slice(at)
    }],
    ['delete', () => {
      const at = draw.below(text.length)
      return text.slice(0, at) + text.slice(at + 1 + draw.below(40))
    }],
    ['delete', () => {
      const at = draw.below(text.length)
      return text.slice(0, at) + text.slice(at + 1 + draw.below(40))
    }],
    [
      'doubling',
      () =>
        `${head}fn f0(x: f32) -> f32 { return x; }\n${doubling(draw.pick([12, 20, 30, 60]))}\n${
          main(`y[id.x] = f${draw.pick([8, 12])}(1.0);`)
        }`,
    ],
    ['doubling used', () => {
      const n = draw.pick([16, 24, 40])
      return `${head}fn f0(x: f32) -> f32 { return x; }\n${doubling(n)}\n${main(`y[id.x] = f${n}(1.0);`)}`
    }],
    ['structs', () => {
      const n = draw.pick([10, 20, 40])
      return `struct S0 { a: f32 }\n${structs(n)}\n${head}${main(`var s: S${n}; y[id.x] = 1.0;`)}`
    }],
    [
      'endless',
      () =>
        `${head}${
          main(
            draw.pick([
              'loop { y[0] = y[0] + 1.0; }',
              'while (y[0] < 1e30) { y[1] = 1.0; }',
              'for (var i = 0u; i < 10u; i = i) { y[0] = f32(i); }',
            ]),
          )
        }`,
    ],
    ['long', () => `${head}${main('y[id.x] = 1.0;\n'.repeat(draw.pick([1000, 20_000])))}`],
    ['empty', () => draw.pick(['', ' ', '//', '\n'.repeat(1e6)])],
    ['bytes', () => draw.bytes(draw.below(3000))],
  ]
  const [what, make] = draw.pick(makers)
  return {
    kind: 'kernels',
    name: `${i} ${what}`,
    files: { 'k.wgsl': make() },
    args: ['check-kernel', '$/k.wgsl', '--no-dawn'],
    codes: [0, 1, 2],
  }
}

const remains = [
  '',
  'null',
  '{}',
  '[]',
  '{',
  '"x"',
  '[null]',
  '{"format":99}',
  '\u0000',
  '{"rate":0.5}\n',
  '\u001b[31m',
]

/** Folders of results that something else has been in. */
export function folderCase(material: Material, seed: number, i: number): HostileCase {
  const draw = drawer(seed, `folder ${i}`)
  const name = draw.pick([
    'points.jsonl',
    'points.settings.json',
    'scores/magnitude-0.safetensors',
    'scores',
    '.espalier.lock',
    'report.html',
    'sweep.json',
    'magnitude-0.safetensors',
  ])
  const content = draw.chance(0.2)
    ? (path: string) => {
      mkdirSync(path, { recursive: true })
    }
    : draw.pick<string | Buffer>([...remains, material.small, draw.bytes(300)])
  return {
    kind: 'folders',
    name: `${i} ${name}`,
    files: { ...material.base, [`out/${name}`]: content },
    args: ['sweep', ...complete.sweep, '--adapter', 'cpu'],
    codes: [0, 1, 2],
    leaves: ['out', `out/${name}`],
  }
}
