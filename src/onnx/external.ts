// Tensors whose bytes lie in a file beside an ONNX file, as exporters write large networks and PyTorch's newer one
// writes all: a name in the same folder or below it, where they begin, and how many there are.
import { TensorProto_DataLocation as Location, type GraphProto, type TensorProto } from 'onnx-buf'
import { InputError } from '../base/errors.ts'
import { quoted } from '../base/quote.ts'

/** The files beside one, by name. */
export type Beside = ReadonlyMap<string, Uint8Array>

const MOST_FILES = 4096

const inOne = 'save the network in one file (onnx.save_model with save_as_external_data=False)'

/** Whether a tensor's bytes lie in another file. */
export const isExternal = ({ dataLocation, externalData }: TensorProto): boolean =>
  dataLocation === Location.EXTERNAL || externalData.length > 0

/** Where bytes lie. */
interface Place {
  file: string
  offset: number
  length: number | undefined
}

/** All files beside it, and how many bytes tensors take of each. @throws InputError for what leads elsewhere. */
export function externalFiles({ initializer, node }: GraphProto): {
  files: string[],
  taken: ReadonlyMap<string, number>,
} {
  const all = [...initializer, ...node.flatMap(({ attribute }) => attribute.flatMap(({ t }) => t ? [t] : []))]
  const taken = new Map<string, number>()
  for (const each of all) {
    if (!isExternal(each)) continue
    // Without a length it is at least a byte for each number.
    const { file, length = each.dims.reduce((size, n) => size * Number(n), 1) } = placeOf(
      each,
      `tensor ${quoted(each.name)}`,
    )
    if (!(length >= 0)) {
      throw new InputError(`tensor ${quoted(each.name)} has the shape [${each.dims.slice(0, 12)}]; it is damaged`)
    }
    taken.set(file, (taken.get(file) ?? 0) + length)
  }
  if (taken.size > MOST_FILES) {
    throw new InputError(`its tensors lie in ${taken.size} files, expected at most ${MOST_FILES}; ${inOne}`)
  }
  return { files: [...taken.keys()], taken }
}

/** Tensors that lie on each other make a small file a large network. @throws InputError */
export function checkExternal(taken: ReadonlyMap<string, number>, beside: Beside): void {
  for (const [file, length] of taken) {
    const size = beside.get(file)?.length
    if (size !== undefined && length > 4 * size) {
      throw new InputError(
        `its tensors take ${length} bytes of ${quoted(file, 80)}, which has ${size}; it is truncated or damaged`,
      )
    }
  }
}

/** The bytes of a tensor that takes so many. @throws InputError */
export function externalBytes(each: TensorProto, where: string, size: number, beside: Beside): Uint8Array {
  const { file, offset, length = size } = placeOf(each, where), content = beside.get(file)
  if (!content) {
    throw new InputError(
      `${where} lies in another file, ${quoted(file, 80)}, and only the bytes of this one are given; give its path, `
        + `with that file in its folder, or ${inOne}`,
    )
  }
  if (length !== size || offset + size > content.length) {
    throw new InputError(
      `${where} takes ${size} bytes and has ${length} from byte ${offset} of ${quoted(file, 80)}, which has `
        + `${content.length}; it is truncated, or another network's`,
    )
  }
  return content.subarray(offset, offset + size)
}

function placeOf({ externalData }: TensorProto, where: string): Place {
  const of = (wanted: string) => {
    const all = externalData.filter(({ key }) => key === wanted)
    if (all.length > 1) {
      throw new InputError(`${where} has ${all.length} entries ${wanted}, expected one; it is damaged`)
    }
    return all.at(0)?.value
  }
  const count = (wanted: string) => {
    const text = of(wanted)
    if (text === undefined || /^\d{1,15}$/.test(text)) return text === undefined ? undefined : Number(text)
    throw new InputError(
      `${where} has the ${wanted} ${quoted(text, 40)} in another file, expected a whole number of bytes; it is damaged`,
    )
  }
  const file = (of('location') ?? '').replace(/^(\.\/)+/, ''), parts = file.split('/')
  // What is read is said by whoever wrote the file, so it may not lead out of the folder, nor as part of an address.
  const isBelow = file.length <= 4096 && parts.every((part) => part !== '' && part !== '.' && part !== '..')
    && !/[\\%?#\u0000-\u001f\u007f]|^[A-Za-z][\w+.-]*:/.test(file)
  if (isBelow) return { file, offset: count('offset') ?? 0, length: count('length') }
  throw new InputError(
    `${where} lies in another file, ${quoted(file, 80)}, expected a name in the folder of this one or below it; put it `
      + `there, or ${inOne}`,
  )
}
