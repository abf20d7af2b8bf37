// Scores by name, as criteria of users give them: a missing one or a NaN would put elements in an order of chance.
import { InputError, NumericError, ShapeError } from './errors.ts'
import { shown } from './quote.ts'

/**
 * The scores of one name, `size` finite numbers. @throws InputError where the scores are no Map; ShapeError where there
 * are none or too few of them; NumericError naming the element that is no finite number.
 */
export function scoresOf<T extends ArrayLike<number>>(
  scores: ReadonlyMap<string, T>,
  name: string,
  size: number,
  part = 'element',
): T {
  if (!(scores instanceof Map)) {
    throw new InputError(
      `the scores are ${shown(scores, 60)}; expected a Map from names, such as ${name}, to lists of numbers`,
    )
  }
  const score = scores.get(name)
  if (score === undefined) {
    const keys = [...scores.keys()]
    const got = keys.length ? `${keys.length} scores, the first under ${shown(keys[0], 60)}` : 'none'
    throw new ShapeError(`no scores of ${name}: expected ${size} of them under that name, got ${got}`)
  }
  if (score?.length !== size) throw new ShapeError(`${name} has ${score?.length ?? 0} scores, expected ${size}`)
  const bad = Array.prototype.findIndex.call(score, (value: unknown) => !Number.isFinite(value))
  if (bad >= 0) {
    const got: unknown = score[bad]
    throw new NumericError(
      `score of ${name}, ${part} ${bad}, is ${
        typeof got === 'number' ? got : shown(got, 30)
      }; expected a finite number`,
    )
  }
  return score
}
