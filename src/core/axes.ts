// Which axes of an op are one and the same. Letters are axes; equal letters are one axis; `...` is any leading axes;
// `.` is an axis of its own; `!` marks an axis the op normalises or otherwise mixes. `'... i, o i, o -> ... o'` is a
// linear layer.
import { ShapeError } from '../base/errors.ts'

/**
 * Indices of one tensor's axis that are the same thing as indices of another's: `size` of them from `offset`, `stride`
 * apart.
 */
export interface Segment {
  axis: number
  offset: number
  stride: number
}

/** Two segments of equal length that belong together. Tensor -1 is the output, others are arguments. */
export interface Link {
  a: { tensor: number } & Segment
  b: { tensor: number } & Segment
  size: number
}

/** What a reshape-like op returns: its links, and the axes (tensor, axis, why) that cannot be followed. */
export interface Mapping {
  links: Link[]
  blocked?: { tensor: number, axis: number, reason: string }[]
}

/** Either the letter notation, or a function from shapes and attributes to links. */
export type AxesSpec =
  | string
  | ((shapes: readonly (readonly number[] | null)[], out: readonly number[], attrs: object) => Mapping)

/** One axis in the letter notation. */
export interface AxisName {
  letter: string
  mixed: boolean
}

/**
 * A parsed notation: per argument and for the output, the axes named from the right, and whether `...` stands before
 * them.
 */
export interface ParsedAxes {
  inputs: AxisPattern[]
  output: AxisPattern
}

/** The axes of one tensor. `rest` tells that unnamed leading axes may stand before the named ones. */
export interface AxisPattern {
  rest: boolean
  names: AxisName[]
}

const parsed = new Map<string, ParsedAxes>()

/** Parses `'... c, c, c -> ... c!'`. @throws ShapeError on a malformed notation (a mistake in the op's file). */
export function parseAxes(notation: string): ParsedAxes {
  let result = parsed.get(notation)
  if (!result) {
    const sides = notation.split('->')
    if (sides.length !== 2) throw new ShapeError(`axes '${notation}': expected exactly one '->'`)
    result = {
      inputs: sides[0].split(',').map((part) => parsePattern(part, notation)),
      output: parsePattern(sides[1], notation),
    }
    parsed.set(notation, result)
  }
  return result
}

function parsePattern(text: string, notation: string): AxisPattern {
  const words = text.trim().split(/\s+/).filter(Boolean)
  const rest = words[0] === '...'
  const names = (rest ? words.slice(1) : words).map((word) => {
    if (!/^([a-z]|\.)!?$/.test(word)) {
      throw new ShapeError(
        `axes '${notation}': '${word}' is no axis; use one letter or '.', with '!' where it is mixed`,
      )
    }
    return { letter: word[0], mixed: word.endsWith('!') }
  })
  return { rest, names }
}

/**
 * The links of one call: which axes of its arguments and output are the same.
 * @throws ShapeError if the shapes do not fit the notation.
 */
export function linksOf(
  spec: AxesSpec,
  shapes: readonly (readonly number[] | null)[],
  out: readonly number[],
  attrs: object,
): Mapping {
  if (typeof spec !== 'string') return spec(shapes, out, attrs)
  const { inputs, output } = parseAxes(spec)
  const places = new Map<string, { tensor: number, axis: number, size: number }[]>()
  const blocked: NonNullable<Mapping['blocked']> = []
  const note = (key: string, tensor: number, axis: number, size: number) => {
    const list = places.get(key)
    if (list) list.push({ tensor, axis, size })
    else places.set(key, [{ tensor, axis, size }])
  }
  const visit = (pattern: AxisPattern, shape: readonly number[], tensor: number) => {
    const leading = shape.length - pattern.names.length
    if (leading < 0 || (leading > 0 && !pattern.rest)) {
      throw new ShapeError(
        `axes '${spec}': shape [${shape}] has ${shape.length} axes, the notation names ${pattern.names.length}`,
      )
    }
    for (let axis = 0; axis < leading; axis++) note(`rest ${leading - axis}`, tensor, axis, shape[axis])
    pattern.names.forEach(({ letter, mixed }, i) => {
      const axis = leading + i
      if (letter !== '.') note(letter, tensor, axis, shape[axis])
      if (mixed) blocked.push({ tensor, axis, reason: 'the op mixes values along this axis' })
    })
  }
  shapes.forEach((shape, i) => {
    if (shape) visit(inputs[Math.min(i, inputs.length - 1)], shape, i)
  })
  visit(output, out, -1)
  const links: Link[] = []
  for (const list of places.values()) {
    // A broadcast axis of size 1 is no part of the axis it is stretched over.
    const size = Math.max(...list.map((place) => place.size))
    const same = list.filter((place) => place.size === size)
    for (const place of same.slice(1)) {
      links.push({
        size,
        a: { tensor: same[0].tensor, axis: same[0].axis, offset: 0, stride: 1 },
        b: { tensor: place.tensor, axis: place.axis, offset: 0, stride: 1 },
      })
    }
  }
  return { links, blocked }
}
