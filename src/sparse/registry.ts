// Patterns by name: `block:32x32`, `nm:2:4`. Help and messages are made from this table.
import { InputError } from '../base/errors.ts'
import { nearest } from '../base/options.ts'
import { quoted } from '../base/quote.ts'
import type { Pattern } from './pattern.ts'
import { band } from './patterns/band.ts'
import { block, columns, headBlock, rows } from './patterns/block.ts'
import { hashed, strided } from './patterns/computed.ts'
import { nOfM, type PlaceBits } from './patterns/n-of-m.ts'
import { unstructured } from './patterns/unstructured.ts'

/** One parameter of a family: a whole number in a range, or one of some words or numbers. */
export interface PatternParameter {
  name: string
  least?: number
  most?: number
  choices?: readonly string[]
  /** Taken where it is left out; without one it must be given. */
  default?: string
}

/** Patterns that differ in numbers: `block` with `height` and `width`. */
export interface PatternFamily {
  name: string
  summary: string
  /** As one writes it: `block:<height>x<width>`. */
  form: string
  parameters: readonly PatternParameter[]
  make(parameters: readonly string[]): Pattern
}

const size = (name: string, most = 1024): PatternParameter => ({ name, least: 1, most })

/** All patterns of the package. */
export const patternFamilies: readonly PatternFamily[] = [
  {
    name: 'block',
    summary: 'blocks of outputs by inputs (BSR)',
    form: 'block:<height>x<width>',
    parameters: [size('height'), size('width')],
    make: ([height, width]) => block(Number(height), Number(width)),
  },
  {
    name: 'nm',
    summary: 'N of every M inputs of an output',
    form: 'nm:<n>:<m>[:<bits of an index entry>]',
    parameters: [size('n', 256), { name: 'm', least: 2, most: 256 }, {
      name: 'bits',
      choices: ['fewest', '2', '4', '8', '32'],
      default: 'fewest',
    }],
    make([n, m, bits]) {
      if (Number(n) > Number(m)) throw new InputError(`pattern nm:${n}:${m}: ${n} of every ${m} cannot stay`)
      const width = bits === 'fewest' ? undefined : Number(bits) as PlaceBits
      if (width !== undefined && 2 ** width < Number(m)) {
        throw new InputError(`pattern nm:${n}:${m}:${bits}: ${bits} bits do not hold a place among ${m}`)
      }
      return nOfM(Number(n), Number(m), width)
    },
  },
  { ...unstructured, form: 'unstructured', parameters: [], make: () => unstructured },
  { ...rows, form: 'rows', parameters: [], make: () => rows },
  { ...columns, form: 'columns', parameters: [], make: () => columns },
  {
    name: 'head-block',
    summary: 'whole heads of so many channels',
    form: 'head-block:<channels>[:rows|columns]',
    parameters: [size('channels'), { name: 'side', choices: ['rows', 'columns'], default: 'rows' }],
    make: ([dim, side]) => headBlock(Number(dim), side as 'rows' | 'columns'),
  },
  {
    name: 'band',
    summary: 'square tiles nearest to the diagonal',
    form: 'band:<size>',
    parameters: [size('size')],
    make: ([side]) => band(Number(side)),
  },
  {
    name: 'strided',
    summary: 'one square tile of every few, one further each row',
    form: 'strided:<size>:<stride>',
    parameters: [size('size'), size('stride')],
    make: ([side, stride]) => strided(Number(side), Number(stride)),
  },
  {
    name: 'hashed',
    summary: 'one square tile of every few, by chance',
    form: 'hashed:<size>:<stride>[:<seed>]',
    parameters: [size('size'), size('stride'), { name: 'seed', least: 0, most: 65535, default: '0' }],
    make: ([side, stride, seed]) => hashed(Number(side), Number(stride), Number(seed)),
  },
]

/** What `--pattern` takes, for help texts. */
export const patternForms: readonly string[] = patternFamilies.map(({ form }) => form)

/**
 * A pattern by its text form. @throws InputError for an unknown name, a parameter that is missing or out of range, or
 * one too many.
 */
export function patternOf(text: string): Pattern {
  const [name, ...rest] = text.split(':'), family = patternFamilies.find((each) => each.name === name)
  if (!family) {
    const near = nearest(name, patternFamilies.map((each) => each.name))
    throw new InputError(
      `pattern ${quoted(text)}: expected ${patternForms.join(', ')}, or a file of your own that ends in .ts or .js${
        near === undefined ? '' : ` (did you mean ${near}?)`
      }`,
    )
  }
  const given = rest.flatMap((part) => part.split('x')), { parameters, form } = family
  if (given.length > parameters.length) {
    throw new InputError(`pattern ${quoted(text)}: ${given.length} parameters, expected ${form}`)
  }
  return family.make(parameters.map((parameter, i) => valueOf(text, form, parameter, given[i])))
}

function valueOf(text: string, form: string, parameter: PatternParameter, given: string | undefined): string {
  const { name, choices, least = 0, most = Infinity } = parameter, value = given ?? parameter.default
  if (value === undefined) throw new InputError(`pattern ${quoted(text)}: ${name} is missing; expected ${form}`)
  if (choices ? choices.includes(value) : /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most) {
    return value
  }
  throw new InputError(
    `pattern ${quoted(text)}: ${name} is ${quoted(value)}, expected ${
      choices ? choices.join(', ') : `a whole number from ${least} to ${most}`
    } as in ${form}`,
  )
}
