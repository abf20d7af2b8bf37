// Labels against the number of classes a network tells apart.
import { InputError } from '../base/errors.ts'
import { type Dataset, pictureName } from './datasets.ts'

/**
 * @throws InputError for the first label that is negative or not below `classes`, with the picture's name; `first` is
 * the position of the first of `labels` in the data set.
 */
export function checkLabels(
  what: string,
  { labels, ...data }: Pick<Dataset, 'name' | 'labels' | 'nameOf'>,
  classes: number,
  first = 0,
): void {
  const at = labels.findIndex((label) => !(label >= 0 && label < classes))
  if (at < 0) return
  throw new InputError(
    `${what}: ${pictureName(data, first + at)} has label ${labels[at]}, the network tells ${classes} classes apart; `
      + `expected 0 to ${classes - 1}`,
  )
}
