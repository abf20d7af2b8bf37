// A folder of one folder per class, as torchvision reads it. What is left out of it is said, never dropped silently.
import { InputError } from '../base/errors.ts'
import type { Files } from '../files/files.ts'
import { readPicture } from './images.ts'
import { describe, parent, readClasses, type Source } from './sources.ts'

const READ = /\.(jpe?g|png)$/i
const PICTURE = /\.(webp|gif|bmp|dib|tiff?|avif|heic|heif|jfif|jpe|jp2|jxl|p[bgnp]m|svg|ico|raw|cr2|nef)$/i

/** The order of Python's `sorted`: by code points, where JavaScript's own goes by UTF-16 units. */
export function byCodePoints(a: string, b: string): number {
  const left = [...a], right = [...b]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return left[i].codePointAt(0)! - right[i].codePointAt(0)!
  }
  return left.length - right.length
}

/**
 * A folder of one folder per class. Labels follow the sorted folder names, or `classes.json` in or beside the folder
 * (a list of names, or of { name, wnid }) where there is one. Throws InputError, also where a class has no picture that
 * is read and its absence would move the labels of others.
 */
export async function folderSource(folder: string, files: Files): Promise<Source> {
  const all = (await files.list(folder)).filter((path) => path.includes('/'))
  const classOf = (path: string) => path.slice(0, path.indexOf('/'))
  const paths = all.filter((path) => READ.test(path))
    .sort((a, b) => byCodePoints(classOf(a), classOf(b)) || byCodePoints(a, b))
  const skipped = all.filter((path) => PICTURE.test(path))
  if (paths.length === 0) {
    throw new InputError(
      `${folder}: expected a folder per class with .jpg, .jpeg or .png files in it, found none${
        skipped.length ? ` (but ${kindsOf(skipped)}, which are not read)` : ''
      }; ${skipped.length ? 'convert them' : 'check the path'}`,
    )
  }
  const found = [...new Set(paths.map(classOf))], notes: string[] = []
  const empty = [...new Set(all.map(classOf))].filter((name) => !found.includes(name)).sort(byCodePoints)
  const given = await readClasses(folder, files) ?? await readClasses(parent(folder), files)
  const positions = given && new Map([...given.ids.entries(), ...given.names.entries()].map(([i, name]) => [name, i]))
  if (given) checkUnique(given.names, found, folder)
  const labelOf = new Map(found.map((name, i) => {
    const label = positions ? positions.get(name) : i
    if (label === undefined) {
      throw new InputError(
        `${folder}: the class ${describe(name)} is not in classes.json; add it there or remove the folder`,
      )
    }
    return [name, label]
  }))
  if (empty.length) {
    const inside = kindsOf(all.filter((path) => !path.endsWith('/') && empty.includes(classOf(path))))
    const what = `${empty.slice(0, 5).map(describe).join(', ')}${empty.length > 5 ? ', …' : ''}`
    notes.push(`${folder}: no picture is read from ${what}${inside ? ` (${inside})` : ''}`)
  }
  const others = skipped.filter((path) => found.includes(classOf(path)))
  if (others.length) {
    notes.push(`${folder}: ${kindsOf(others)} left out, only .jpg, .jpeg and .png are read; convert them`)
  }
  const turn = found.findIndex((name, i) => i > 0 && Number(name) < Number(found[i - 1]))
  if (!given && turn > 0 && found.every((name) => /^\d+$/.test(name))) {
    notes.push(
      `${folder}: its folders are numbers, and labels follow their names sorted as text, as torchvision does: ${
        describe(found[turn - 1])
      } is class ${turn - 1}; a classes.json says otherwise`,
    )
  }
  const names = given?.names ?? found
  return {
    name: folder,
    labels: Int32Array.from(paths, (path) => labelOf.get(classOf(path))!),
    classes: names,
    ids: given?.ids,
    classCount: names.length,
    sortedNames: !given,
    empty: given ? [] : empty,
    notes,
    item: (i) => `${folder}/${paths[i]}`,
    load: async (i) => readPicture(files, `${folder}/${paths[i]}`),
  }
}

function checkUnique(names: readonly string[], found: readonly string[], folder: string) {
  const twice = found.find((name) => names.indexOf(name) !== names.lastIndexOf(name))
  if (twice === undefined) return
  throw new InputError(
    `${folder}: classes.json names ${describe(twice)} at positions ${names.indexOf(twice)} and ${
      names.lastIndexOf(twice)
    }; name the folders by wnid instead`,
  )
}

/** '3 .webp and 1 .txt'. */
function kindsOf(paths: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const path of paths) {
    const kind = /\.\w+$/.exec(path)?.[0].toLowerCase() ?? 'without extension'
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return [...counts].slice(0, 5).map(([kind, count]) => `${count} ${kind}`).join(', ')
}
