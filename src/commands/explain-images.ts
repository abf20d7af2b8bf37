// The pictures of `explain`: files, or a data set, one batch after the other.
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { InputError } from '../base/errors.ts'
import { pictureName } from '../data/datasets.ts'
import { loadImage } from '../data/picture.ts'
import type { Preprocessing } from '../data/preprocess.ts'
import { nodeFiles } from '../files/files.ts'
import type { Reads } from './claims.ts'
import type { Reporter } from './command.ts'
import type { Images } from './explainer.ts'
import { openLabelled } from './open.ts'

/** Pictures one batch after the other. */
export interface ImageSource {
  count: number
  /** What each image is called, and where they are read from. */
  names: string[]
  read: Pick<Reads, 'images' | 'data'>
  /** As of a data set. */
  normalised?: string
  source: () => AsyncGenerator<Images>
}

/** Pictures from files or from a data set. @throws InputError. */
export async function openImages(
  image: string[] | undefined,
  data: string | undefined,
  preprocessing: Preprocessing,
  batch: number,
  checked: ParsedCheckpoint,
  reporter: Reporter,
): Promise<ImageSource> {
  if (image === undefined && data === undefined) {
    throw new InputError('explain: expected --image <file> or --data <data>, found neither')
  }
  if (image !== undefined && data !== undefined) {
    throw new InputError('explain: expected --image or --data, found both; leave one out')
  }
  if (data !== undefined) return openData(data, preprocessing, batch, checked, reporter)
  const files = image!
  for (const file of files) if (!await nodeFiles.exists(file)) throw new InputError(`--image ${file}: no such file`)
  return {
    count: files.length,
    names: files,
    read: { images: files },
    source: async function*() {
      for (let start = 0; start < files.length; start += batch) {
        const names = files.slice(start, start + batch)
        const loaded = await Promise.all(names.map((name) => loadImage(name, preprocessing)))
        const [{ pixels: { channels, height, width } }] = loaded
        const odd = loaded.findIndex(({ pixels }) => pixels.height !== height || pixels.width !== width)
        if (odd >= 0) {
          const { pixels } = loaded[odd]
          throw new InputError(
            `--image ${names[odd]}: ${pixels.width} x ${pixels.height} pixels beside ${width} x ${height}; `
              + 'give --resize and --crop, or --batch 1',
          )
        }
        const values = new Float32Array(names.length * channels * height * width)
        loaded.forEach(({ input }, i) => {
          values.set(input, i * input.length)
        })
        yield { values, shape: [names.length, channels, height, width], names }
      }
    },
  }
}

async function openData(
  data: string,
  preprocessing: Preprocessing,
  batch: number,
  checked: ParsedCheckpoint,
  reporter: Reporter,
): Promise<ImageSource> {
  const set = await openLabelled(data, checked, preprocessing, reporter)
  const title = (i: number) => pictureName(set, i)
  return {
    count: set.length,
    names: Array.from(set.labels, (_, i) => title(i)),
    read: { data: set },
    normalised: set.normalised,
    source: async function*() {
      for await (const { images, shape, indices } of set.batches({ size: batch })) {
        yield { values: images, shape, names: [...indices].map(title) }
      }
    },
  }
}
