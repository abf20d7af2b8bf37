// Random kernels: seeded programs of arithmetic, control flow, barriers, workgroup memory and helper functions, which
// two devices must compute alike. Every program is defined by WGSL's rules alone: integers wrap, indices stay in range,
// barriers stand in uniform control flow. Floats come in two kinds. Exact ones are multiples of 1/4 up to 64 (`q`
// brings results back to that), so that fused or not gives the same bits, and they may steer control flow. Soft ones
// (exp, sin, ..) only reach an output.
import type { Numbers } from './program.ts'

/** A typed expression: `parts` around `args`. */
export interface Expr {
  type: string
  parts: string[]
  args: Expr[]
}
/**
 * A statement: `parts` around expressions and blocks. All variables are declared beforehand, so any statement can be
 * left out.
 */
export interface Stmt {
  parts: string[]
  items: (Expr | Stmt[])[]
}
/** A function of the program; `result` is null in `main`. */
export interface Helper {
  name: string
  type: string
  body: Stmt[]
  result: Expr
}
/** One random program; `render` makes its text. */
export interface Fuzzed {
  seed: number
  size: number
  rows: number
  groups: number
  helpers: Helper[]
  main: Stmt[]
  inputs: Record<string, Numbers>
  outputs: Record<string, Numbers>
}

type Random = (below: number) => number
interface Context {
  depth: number
  uniform: boolean
  counters: string[]
  helpers: Helper[]
  inLoop: boolean
  inMain: boolean
}

const ints = ['u32', 'i32'] as const
const vectors = ['vec2u', 'vec3i', 'vec4u', 'vec4i', 'vec2f', 'vec3f', 'vec4f'] as const
const variables: Record<string, string[]> = {
  u32: ['u0', 'u1', 'u2'],
  i32: ['i0', 'i1', 'i2'],
  f32: ['f0', 'f1', 'f2'],
  soft: ['s0', 's1'],
  vec2u: ['v2u'],
  vec3i: ['v3i'],
  vec4u: ['v4u'],
  vec4i: ['v4i'],
  vec2f: ['v2f'],
  vec3f: ['v3f', 'w3f'],
  vec4f: ['v4f', 'w4f'],
}
const scalarOf = (type: string): string => type.startsWith('vec') ? { u: 'u32', i: 'i32', f: 'f32' }[type[4]]! : type
const sizeOf = (type: string): number => type.startsWith('vec') ? Number(type[3]) : 1

/** The program of a seed. */
export function fuzzed(seed: number): Fuzzed {
  nextName = 0
  const random = generator(seed)
  const size = [4, 8, 16, 32][random(4)], groups = 1 + random(3), all = size * groups
  const helpers: Helper[] = []
  for (let i = 0; i < 2; i++) {
    const context = { depth: 0, uniform: false, counters: [], helpers: [...helpers], inLoop: false, inMain: false }
    const type = ['u32', 'i32', 'f32', 'vec4f', 'soft'][random(5)]
    const body = block(random, context, 1 + random(3))
    if (random(2)) {
      body.push(
        statement(['if ', ` { return ${type === 'soft' ? 's0' : variables[type][0]}; }`], [
          expression(random, 'bool', 2, context),
        ]),
      )
    }
    helpers.push({ name: `h${i}`, type, body, result: wrapped(random, type, 2, context) })
  }
  const main = block(
    random,
    { depth: 0, uniform: true, counters: [], helpers, inLoop: false, inMain: true },
    3 + random(6),
  )
  if (!random(3)) {
    main.push(
      statement(['if ', ' { return; }'], [
        expression(random, 'bool', 2, { depth: 0, uniform: false, counters: [], helpers, inLoop: false, inMain: true }),
      ]),
    )
  }
  const edges = [0, 1, 0xffffffff, 0x80000000, 0x7fffffff, 31, 32]
  const inputs = {
    xu: Uint32Array.from({ length: 4 * all }, () => random(3) ? random(2 ** 32) : edges[random(edges.length)]),
    xf: Float32Array.from({ length: 3 * all }, () => (random(513) - 256) / 4),
    p: new Uint32Array([1 + random(4), random(2 ** 32), 0, 0]),
    at: new Int32Array(4),
  }
  // Every third workgroup has two dimensions: its loop over invocations is another one.
  return {
    seed,
    size,
    rows: seed % 3 ? 1 : 2,
    groups,
    helpers,
    main,
    inputs,
    outputs: {
      ou: new Uint32Array(6 * all),
      oi: new Int32Array(7 * all),
      oe: new Float32Array(12 * all),
      os: new Float32Array(2 * all),
      at: new Int32Array(4),
    },
  }
}

function generator(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b9) >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ state >>> 15, 1 | state)
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t
    return Math.floor(((t ^ t >>> 14) >>> 0) / 2 ** 32 * below)
  }
}

const statement = (parts: string[], items: Stmt['items']): Stmt => ({ parts, items })
const make = (type: string, parts: string[], ...args: Expr[]): Expr => ({ type, parts, args })
const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]

function leaf(random: Random, type: string, { counters }: Context): Expr {
  if (type === 'bool') return make('bool', [`(${pick(random, variables.u32)} < ${pick(random, variables.u32)})`])
  const names = type === 'u32' ? [...variables.u32, ...counters, 'lid', 'p.n'] : variables[type]
  return make(type, [pick(random, names)])
}

/** Never the left operand: two constants in an operation would be computed, and perhaps refused, by the compiler. */
function literal(random: Random, type: string, context: Context): Expr {
  if (random(2) || !['u32', 'i32', 'f32'].includes(type)) return leaf(random, type, context)
  return make(type, [
    {
      u32: `${1 + random(30)}u`,
      i32: `${1 + random(30)}i`,
      f32: `${pick(random, ['0.25', '1.5', '2.0', '3.75'])}`,
    }[type]!,
  ])
}

/** An expression that a variable of the type may hold. */
function wrapped(random: Random, type: string, depth: number, context: Context): Expr {
  const inner = expression(random, type, depth, context)
  return scalarOf(type) === 'f32' ? make(type, [`q${sizeOf(type)}(`, ')'], inner) : inner
}

function expression(random: Random, type: string, depth: number, context: Context): Expr {
  if (depth <= 0) return leaf(random, type, context)
  const sub = (of: string = type) => expression(random, of, depth - 1, context)
  const last = (of: string = type) => depth > 1 && random(2) ? sub(of) : literal(random, of, context)
  const small = (of: string) => leaf(random, of, context)
  const useful = context.helpers.filter((helper) => helper.type === type)
  if (useful.length && !random(5)) {
    return make(type, [`${pick(random, useful).name}(`, ', ', ', ', ')'], small('u32'), small('i32'), small('f32'))
  }
  const binary = (op: string) => make(type, ['(', ` ${op} `, ')'], sub(), last())
  const call = (name: string, ...args: Expr[]) =>
    make(type, [`${name}(`, ...args.slice(1).map(() => ', '), ')'], ...args)
  switch (type) {
    case 'bool': {
      const of = pick(random, ['u32', 'i32', 'f32'])
      switch (random(6)) {
        case 0:
          return make(type, ['(', ` ${pick(random, ['&&', '||', '==', '!='])} `, ')'], sub(), sub())
        case 1:
          return make(type, ['!', ''], sub())
        case 2: {
          const v = pick(random, vectors)
          return make(
            type,
            [`${pick(random, ['any', 'all'])}(`, ` ${pick(random, ['<', '>=', '=='])} `, ')'],
            sub(v),
            sub(v),
          )
        }
        default:
          return make(type, ['(', ` ${pick(random, ['<', '<=', '>', '>=', '==', '!='])} `, ')'], sub(of), last(of))
      }
    }
    case 'u32':
    case 'i32': {
      const other = type === 'u32' ? 'i32' : 'u32'
      const vector = pick(random, vectors.filter((v) => scalarOf(v) === type))
      switch (random(17)) {
        case 0:
        case 1:
        case 2:
          return binary(pick(random, ['+', '-', '*']))
        case 3:
          return binary(pick(random, ['&', '|', '^']))
        case 4:
          return binary(pick(random, ['/', '%']))
        case 5:
          return make(
            type,
            ['(', ` ${pick(random, ['<<', '>>'])} `, ')'],
            sub(),
            random(2) ? small('u32') : make('u32', ['(', ' & 31u)'], sub('u32')),
          )
        case 6:
          return call(pick(random, ['min', 'max']), sub(), last())
        case 7:
          return call('select', sub(), last(), sub('bool'))
        case 8:
          return call(
            pick(random, [
              'countOneBits',
              'firstLeadingBit',
              'firstTrailingBit',
              'reverseBits',
              'countLeadingZeros',
              'countTrailingZeros',
              '~',
              'abs',
            ]),
            sub(),
          )
        case 9:
          return call(
            'extractBits',
            sub(),
            make('u32', ['(', ' & 31u)'], sub('u32')),
            make('u32', ['(', ' & 15u)'], small('u32')),
          )
        case 10:
          return call(
            'insertBits',
            sub(),
            sub(),
            make('u32', ['(', ' & 31u)'], sub('u32')),
            make('u32', ['(', ' & 15u)'], small('u32')),
          )
        case 11:
          return make(
            type,
            [`${pick(random, [type, `A${type}`, `bitcast<${type}>`, `bitcast<A${type}>`])}(`, ')'],
            sub(other),
          )
        case 12: // most of the largest lie beyond what the integer holds
          return random(2)
            ? make(type, [type === 'u32' ? 'u32(abs(' : 'i32((', '))'], sub('f32'))
            : make(type, [`${type}(q1(`, `) * ${pick(random, ['1e9', '-1e9', '134217728.0', '3e36'])})`], sub('f32'))
        case 13:
          return make(type, ['', `.${'xyzw'[random(sizeOf(vector))]}`], small(vector))
        case 14:
          return make(type, ['', '[', ` % ${sizeOf(vector)}u]`], small(vector), small('u32'))
        case 15:
          return type === 'u32'
            ? make(type, [`${random(2) ? 'la' : 'pa'}[`, ' & 3u]'], sub('u32'))
            : make(type, ['(-', ')'], sub())
        default:
          return call('dot', small(vector), small(vector))
      }
    }
    case 'f32': {
      const vector = pick(random, ['vec2f', 'vec3f', 'vec4f'])
      switch (random(12)) {
        case 0:
        case 1:
          return binary(pick(random, ['+', '-']))
        case 2:
          return make(type, ['(', ' * ', ')'], small(type), literal(random, type, context))
        case 3:
          return call('fma', small(type), small(type), sub())
        case 4:
          return call(pick(random, ['floor', 'ceil', 'trunc', 'round', 'abs', 'fract', 'sign', '-']), sub())
        case 5:
          return call(pick(random, ['min', 'max']), sub(), last())
        case 6:
          return call('select', sub(), last(), sub('bool'))
        case 7:
          return make(type, ['clamp(', ', -8.0, 8.0)'], sub())
        case 8:
          return call('dot', small(vector), small(vector))
        case 9:
          return make(type, ['', `.${'xyzw'[random(sizeOf(vector))]}`], small(vector))
        case 10:
          return random(2) ? make(type, ['f32(', ' & 63u)'], sub('u32')) : make(type, ['f32(', ' % 64i)'], sub('i32'))
        default:
          return make(type, ['fa[', ' & 3u]'], sub('u32'))
      }
    }
    case 'soft': {
      switch (random(5)) {
        case 0:
          return make(type, ['(', ` ${pick(random, ['+', '-'])} `, ')'], sub(), sub())
        case 1:
          return call(pick(random, ['min', 'max']), sub(), sub())
        case 2:
          return make(type, ['(', ' * 0.5)'], sub())
        default: {
          const text = pick(random, [
            'exp(#*0.0625)',
            'exp2(#*0.0625)',
            'sin(#*0.25)',
            'cos(#*0.25)',
            'tanh(#*0.25)',
            'sqrt(abs(#))',
            'inverseSqrt(abs(#)+1.0)',
            'log(abs(#)+1.0)',
            'log2(abs(#)+1.0)',
            '(1.0/(abs(#)+1.0))',
            'pow(abs(#)*0.0625+0.5, 1.5)',
            'atan(#)',
            'length(vec2f(#, 1.0))',
            'smoothstep(-64.0, 64.0, #)',
          ])
          const [before, after] = text.split('#')
          return make(type, [before, after], make('f32', ['q1(', ')'], sub('f32')))
        }
      }
    }
    default: { // a vector
      const of = scalarOf(type), n = sizeOf(type), float = of === 'f32'
      switch (random(7)) {
        case 0: {
          const whole = spelled(random, type), wide = vectors.filter((v) => sizeOf(v) === n && scalarOf(v) === 'f32')
          if (!float && wide.length && random(2)) {
            return make(type, [`${whole}(q${n}(`, `) * ${pick(random, ['1.0', '1e9', '-3e36'])})`], small(wide[0]))
          }
          return make(
            type,
            [`${whole}(`, ...Array<string>(n - 1).fill(', '), ')'],
            ...Array.from({ length: n }, () => sub(of)),
          )
        }
        case 1:
          return float
            ? make(type, ['(', ' * ', ')'], small(type), random(2) ? small(type) : small(of))
            : make(type, ['(', ` ${pick(random, ['*', '&', '|', '^', '/', '%'])} `, ')'], sub(), sub())
        case 2:
          return make(type, ['(', ` ${pick(random, ['+', '-'])} `, ')'], sub(), random(2) ? sub() : small(of))
        case 3:
          return call(pick(random, ['min', 'max']), sub(), sub())
        case 4:
          return call(
            float
              ? pick(random, ['floor', 'abs', '-', 'trunc'])
              : of === 'i32'
              ? pick(random, ['abs', '-', '~'])
              : pick(random, ['~', 'countOneBits', 'reverseBits']),
            sub(),
          )
        case 5:
          return random(2)
            ? call('select', sub(), sub(), sub('bool'))
            : make(type, ['select(', ', ', ', ', ' < ', ')'], sub(), sub(), small(type), small(type))
        default: {
          const from = pick(random, vectors.filter((v) => scalarOf(v) === of))
          return make(
            type,
            ['', `.${Array.from({ length: n }, () => 'xyzw'[random(sizeOf(from))]).join('')}`],
            small(from),
          )
        }
      }
    }
  }
}

let nextName = 0

function block(random: Random, context: Context, length: number): Stmt[] {
  return Array.from({ length }, () => anyStatement(random, context))
}

function anyStatement(random: Random, context: Context): Stmt {
  const { depth, uniform, inMain } = context
  const bool = () => expression(random, 'bool', 2, context)
  const inner = (changes: Partial<Context> = {}) =>
    block(random, { ...context, depth: depth + 1, uniform: false, ...changes }, 1 + random(3))
  const types = Object.keys(variables)
  const exchanged = { u32: 'wu', i32: 'wi', f32: 'wf', vec4f: 'wv' }
  if (!random(5)) return pointed(random, context)
  if (inMain && uniform && !random(8)) { // to and from storage, which only a storage barrier orders
    const [store, type, stride] = pick(random, [['ou', 'u32', 6], ['oi', 'i32', 7], ['oe', 'f32', 12]] as const)
    const barrier = pick(random, ['storageBarrier();', 'storageBarrier(); workgroupBarrier();'])
    return statement([
      `${store}[g * ${stride}u] = `,
      `; ${barrier} ${pick(random, variables[type])} = ${store}[(wid.x * SIZE + (lid + `,
      `) % SIZE) * ${stride}u]; storageBarrier();`,
    ], [wrapped(random, type, 2, context), expression(random, 'u32', 1, context)])
  }
  const kind = random(uniform ? 23 : 16)
  if (kind >= 10 && kind < 16 && depth >= 2) return assignment(random, pick(random, types), context)
  if (inMain && kind >= 16) {
    switch (kind) {
      case 16:
      case 17:
      case 18: { // to and from workgroup memory
        const [type, store] = pick(random, Object.entries(exchanged))
        const target = pick(random, variables[type])
        return statement([
          `${store}[lid] = `,
          `; workgroupBarrier(); ${target} = ${store}[(lid + `,
          ') % SIZE]; workgroupBarrier();',
        ], [wrapped(random, type, 2, context), expression(random, 'u32', 1, context)])
      }
      case 19:
        return statement([
          'workgroupBarrier(); if (lid == SIZE - 1u) { wone = ',
          `; } ${pick(random, variables.u32)} = workgroupUniformLoad(&wone);`,
        ], [expression(random, 'u32', 2, context)])
      case 20: {
        const name = `k${nextName++}`
        return statement([`for (var ${name} = 0u; ${name} < ${pick(random, ['2u', '3u', 'p.n'])}; ${name}++) `, ''], [
          block(random, {
            ...context,
            depth: depth + 1,
            uniform: depth < 1,
            counters: [...context.counters, name],
            inLoop: false,
          }, 1 + random(3)),
        ])
      }
      case 21: { // all leave together
        const own = context.counters.at(-1)
        return own && depth === 1
          ? statement(
            [`if (${own} == ${random(2) ? '1u' : 'p.n - 1u'}) { ${pick(random, ['break', 'continue'])}; }`],
            [],
          )
          : statement([`if (${pick(random, ['wid.x == 1u', '(p.m & 7u) == 0u'])}) { return; }`], [])
      }
      default:
        return statement([`if (${pick(random, ['p.n > 2u', 'wid.x == 0u', '(p.m & 1u) == 0u'])}) `, ' else ', ''], [
          block(random, { ...context, depth: depth + 1, uniform: depth < 1 }, 1 + random(2)),
          block(random, { ...context, depth: depth + 1, uniform: depth < 1 }, 1),
        ])
    }
  }
  switch (kind) {
    case 8:
      return statement([`${random(2) ? 'la' : 'pa'}[`, ' & 3u] = ', ';'], [
        expression(random, 'u32', 1, context),
        expression(random, 'u32', 2, context),
      ])
    case 9:
      return statement(['fa[', ' & 3u] = ', ';'], [
        expression(random, 'u32', 1, context),
        wrapped(random, 'f32', 2, context),
      ])
    case 10:
    case 11:
      return random(2)
        ? statement(['if ', ' ', ''], [bool(), inner()])
        : statement(['if ', ' ', ' else ', ''], [bool(), inner(), inner()])
    case 12: {
      const name = `k${nextName++}`
      const body = inner({ counters: [...context.counters, name], inLoop: true })
      return statement([`for (var ${name} = 0u; ${name} < (`, ` & 7u); ${name}++) `, ''], [
        expression(random, 'u32', 1, context),
        body,
      ])
    }
    case 13: {
      const name = `k${nextName++}`
      return statement([
        `var ${name} = 0u; loop { if (${name} >= ${2 + random(4)}u) { break; } `,
        ` continuing { ${name}++; break if `,
        '; } }',
      ], [
        inner({ counters: [...context.counters, name], inLoop: false }),
        make('bool', [`(${name} > `, ')'], leaf(random, 'u32', context)),
      ])
    }
    case 14:
      return statement(['switch ', ' & 3u { case 0u: ', ' case 1u, 2u: ', ' default: ', ' }'], [
        expression(random, 'u32', 2, context),
        inner({ inLoop: false }),
        inner({ inLoop: false }),
        inner({ inLoop: false }),
      ])
    case 15: {
      if (context.inLoop) return statement(['if ', ` { ${pick(random, ['break', 'continue'])}; }`], [bool()])
      if (!inMain) return assignment(random, pick(random, ints), context)
      // one operation per element, and nobody looks at what comes back: the order cannot matter
      const at = random(4)
      return statement([`${['atomicAdd', 'atomicMax', 'atomicOr', 'atomicXor'][at]}(&at[${at}], `, ');'], [
        expression(random, 'i32', 2, context),
      ])
    }
    default:
      return assignment(random, pick(random, types), context)
  }
}

/** A write by way of a pointer: in place or by a function, to a variable, a private array, an element. */
function pointed(random: Random, context: Context): Stmt {
  const name = `t${nextName++}`
  switch (random(5)) {
    case 0: {
      const type = pick(random, Object.keys(variables).filter((each) => each !== 'soft')),
        target = pick(random, variables[type])
      return statement([`{ let ${name} = &${target}; *${name} = `, `; }`], [wrapped(random, type, 2, context)])
    }
    case 1:
      return statement([`turnU(&${pick(random, variables.u32)}, `, ');'], [expression(random, 'u32', 2, context)])
    case 2:
      return statement([`turnV(&${pick(random, variables.vec4f)}, `, ');'], [wrapped(random, 'vec4f', 1, context)])
    case 3:
      return statement([`turnL(&la, `, ', ', ');'], [
        expression(random, 'u32', 1, context),
        expression(random, 'u32', 2, context),
      ])
    default:
      return statement([`{ let ${name} = &pa; (*${name})[`, ` & 3u] ${pick(random, ['=', '+=', '^='])} `, '; }'], [
        expression(random, 'u32', 1, context),
        expression(random, 'u32', 2, context),
      ])
  }
}

/** The same type by another name: WGSL's own, a template list, or an alias. */
const spelled = (random: Random, type: string): string => {
  const of = scalarOf(type), list = `vec${sizeOf(type)}<${of}>`
  return pick(random, [type, list, `${list.slice(0, -1)},>`, `vec${sizeOf(type)}<A${of}>`, `A${type}`])
}

function assignment(random: Random, type: string, context: Context): Stmt {
  const target = pick(random, variables[type])
  if (sizeOf(type) > 1 && random(3) === 0) {
    const of = scalarOf(type)
    return random(2)
      ? statement([`${target}.${'xyzw'[random(sizeOf(type))]} = `, ';'], [wrapped(random, of, 2, context)])
      : statement([`${target}[`, ` % ${sizeOf(type)}u] = `, ';'], [
        expression(random, 'u32', 1, context),
        wrapped(random, of, 2, context),
      ])
  }
  const whole = type === 'u32' || type === 'i32'
  return statement([
    `${target} ${whole && random(3) === 0 ? pick(random, ['+=', '-=', '*=', '^=', '|=', '/=']) : '='} `,
    ';',
  ], [wrapped(random, type, 3, context)])
}

const text = (e: Expr): string => e.parts.reduce((sum, part, i) => sum + (i ? text(e.args[i - 1]) : '') + part, '')
const lines = (list: Stmt[], indent: string): string =>
  list.map((s) =>
    indent + s.parts.reduce((sum, part, i) => {
      const item = i ? s.items[i - 1] : null
      return sum
        + (item === null ? '' : Array.isArray(item) ? `{\n${lines(item, `${indent}  `)}${indent}}` : text(item)) + part
    }, '') + '\n'
  ).join('')

const locals = (u: string, i: string, f: string): string => `
  var u0 = ${u}; var u1 = u0 * 2654435761u + 7u; var u2 = u0 ^ (u1 >> 3u); var i0 = ${i}; var i1 = i0 - 5i;
  var i2 = bitcast<i32>(u1);
  var f0 = ${f}; var f1 = q1(f0 * 0.5 + 1.0); var f2 = q1(3.0 - f0); var s0 = 0.5 + f0; var s1 = f1 - 0.25;
  var v2u = vec2u(u0, u1); var v3i = vec3i(i0, i1, i2); var v4u = vec4u(u2, u1, u0, 9u + u0);
  var v4i = vec4i(i2, i0, 4i - i0, i1);
  var v2f = vec2f(f0, f1); var v3f = vec3f(f2, f1, f0); var w3f = q3(v3f + 1.0);
  var v4f = vec4f(f0, f1, f2, q1(f0 + 9.0)); var w4f = v4f.wzyx;
  var la = array<u32, 4>(u0, u1, u2, u0 + 1u); var fa = array<f32, 4>(f0, f1, f2, f0);
`

const aliases = [...ints, 'f32', ...vectors].map((type) =>
  `alias A${type} = ${sizeOf(type) > 1 ? `vec${sizeOf(type)}<${scalarOf(type)}>` : type};\n`
).join('')
const turning = `fn turnU(at: ptr<function, Au32>, by: u32) { *at = *at * 3u + by; }
fn turnV(at: ptr<function, vec4<f32>>, by: Avec4f) { let whole = at;
  *whole = q4(by - (*at).wxyz); (*at).y = q1((*whole).x * 0.5); }
fn turnL(at: ptr<function, array<u32, 4>>, i: u32, by: u32) { (*at)[i & 3u] ^= by;
  let one = &(*at)[(i + 1u) & 3u]; *one += by; }
`

/** The WGSL text; helpers that nobody calls are left out. */
export function render({ size, rows, helpers, main }: Pick<Fuzzed, 'size' | 'rows' | 'helpers' | 'main'>): string {
  const body = lines(main, '  ')
  const functions: string[] = []
  let seen = body
  for (const { name, type, body: inside, result } of helpers.toReversed()) {
    if (!seen.includes(`${name}(`)) continue
    const made = `fn ${name}(x: u32, y: i32, z: f32) -> ${type === 'soft' ? 'f32' : type} {
  let lid = x & 7u;${locals('x', 'y', 'z')}${lines(inside, '  ')}  return ${text(result)};\n}\n`
    functions.unshift(made)
    seen += made
  }
  const q = [1, 2, 3, 4].map((n) => {
    const type = n === 1 ? 'f32' : `vec${n}f`
    return `fn q${n}(x: ${type}) -> ${type} { return floor(clamp(x, ${type}(-64.0), ${type}(64.0)) * 4.0) * 0.25; }\n`
  }).join('')
  return `struct P { n: u32, m: u32, o: u32, r: u32 }
@group(0) @binding(0) var<storage, read> xu: array<u32>;
@group(0) @binding(1) var<storage, read> xf: array<f32>;
@group(0) @binding(2) var<storage, read_write> ou: array<u32>;
@group(0) @binding(3) var<storage, read_write> oi: array<i32>;
@group(0) @binding(4) var<storage, read_write> oe: array<f32>;
@group(0) @binding(5) var<storage, read_write> os: array<f32>;
@group(0) @binding(6) var<storage, read_write> at: array<atomic<i32>, 4>;
@group(0) @binding(7) var<uniform> p: P;
const SIZE = ${size}u;
${aliases}var<workgroup> wu: array<u32, SIZE>;
var<workgroup> wi: array<i32, SIZE>;
var<workgroup> wf: array<f32, SIZE>;
var<workgroup> wv: array<vec4f, SIZE>;
var<workgroup> wone: u32;
var<private> pa: array<u32, 4>;
${q}${turning}${functions.join('')}@compute @workgroup_size(${size / rows}, ${rows})
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) wid: vec3u) {
  let g = wid.x * SIZE + lid;${locals('xu[g]', 'bitcast<i32>(xu[g * 3u + 1u])', 'xf[g * 2u]')}${body}
  ou[g * 6u] = u0; ou[g * 6u + 1u] = u1; ou[g * 6u + 2u] = u2; ou[g * 6u + 3u] = v2u.x ^ v2u.y;
  ou[g * 6u + 4u] = v4u.x + v4u.y * 3u + v4u.z * 5u + v4u.w * 7u;
  ou[g * 6u + 5u] = la[g & 3u] + pa[(g + 1u) & 3u];
  oi[g * 7u] = i0; oi[g * 7u + 1u] = i1; oi[g * 7u + 2u] = i2; oi[g * 7u + 3u] = v3i.x + v3i.y * 3i;
  oi[g * 7u + 4u] = v3i.z; oi[g * 7u + 5u] = v4i.x ^ v4i.y; oi[g * 7u + 6u] = v4i.z + v4i.w * 3i;
  oe[g * 12u] = f0; oe[g * 12u + 1u] = f1; oe[g * 12u + 2u] = f2; oe[g * 12u + 3u] = v2f.x; oe[g * 12u + 4u] = v2f.y;
  oe[g * 12u + 5u] = v3f.x + v3f.y; oe[g * 12u + 6u] = v3f.z + w3f.x;
  oe[g * 12u + 7u] = w3f.y - w3f.z; oe[g * 12u + 8u] = v4f.x + v4f.y; oe[g * 12u + 9u] = v4f.z - v4f.w;
  oe[g * 12u + 10u] = w4f.x + w4f.y + w4f.z; oe[g * 12u + 11u] = w4f.w + fa[g & 3u];
  os[g * 2u] = s0; os[g * 2u + 1u] = s1;
  atomicAdd(&at[0], 1i);
}
`
}

/**
 * Why two results differ, or null. Integers and exact floats must be equal; soft floats within what WGSL grants sin and
 * cos.
 */
export function difference(got: Record<string, Numbers>, expected: Record<string, Numbers>): string | null {
  for (const [name, want] of Object.entries(expected)) {
    for (let i = 0; i < want.length; i++) {
      const a = got[name][i], b = want[i]
      if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
      if (name === 'os' && Math.abs(a - b) <= 4e-3 + 1e-4 * Math.abs(b)) continue
      return `${name}[${i}] is ${a} here and ${b} there`
    }
  }
  return null
}

/**
 * The smallest program found that is still interesting: statements are left out, blocks take their statement's place,
 * expressions become one of their own operands or a variable. At most `budget` programs are tried.
 */
export async function shrink(
  program: Fuzzed,
  interesting: (program: Fuzzed) => Promise<boolean>,
  budget = 400,
): Promise<Fuzzed> {
  const small = structuredClone(program)
  let left = budget
  const attempt = async (change: () => () => void): Promise<boolean> => {
    if (left-- <= 0) return false
    const undo = change()
    if (await interesting(small)) return true
    undo()
    return false
  }
  const expressionAt = async (list: (Expr | Stmt[])[] | Expr[], i: number): Promise<boolean> => {
    const e = list[i] as Expr
    const choices = [
      ...variables[e.type] && e.args.length + e.parts[0].length > 3 ? [make(e.type, [variables[e.type][0]])] : [],
      ...e.args.filter((arg) => arg.type === e.type),
    ]
    for (const choice of choices) {
      if (
        await attempt(() => {
          list[i] = choice
          return () => {
            list[i] = e
          }
        })
      ) return true
    }
    for (let j = 0; j < e.args.length; j++) if (await expressionAt(e.args, j)) return true
    return false
  }
  const blockAt = async (list: Stmt[]): Promise<boolean> => {
    let changed = false
    for (let width = Math.max(1, list.length >> 1); width >= 1; width >>= 1) {
      for (let i = 0; i + width <= list.length;) {
        if (
          await attempt(() => {
            const cut = list.splice(i, width)
            return () => {
              list.splice(i, 0, ...cut)
            }
          })
        ) changed = true
        else i++
      }
    }
    for (let i = 0; i < list.length; i++) {
      const s = list[i]
      for (const item of s.items) {
        if (
          Array.isArray(item) && await attempt(() => {
            list.splice(i, 1, ...item)
            return () => {
              list.splice(i, item.length, s)
            }
          })
        ) return true
      }
      for (let j = 0; j < s.items.length; j++) {
        const item = s.items[j]
        if (Array.isArray(item) ? await blockAt(item) : await expressionAt(s.items, j)) changed = true
      }
    }
    return changed
  }
  while (left > 0) {
    let changed = await blockAt(small.main)
    for (const helper of small.helpers) {
      if (await blockAt(helper.body)) changed = true
      const holder = [helper.result]
      const before = helper.result
      if (await expressionAt(holder, 0)) {
        helper.result = holder[0]
        changed ||= before !== helper.result
      }
    }
    if (!changed) break
  }
  return small
}
