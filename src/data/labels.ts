// Labels against the number of classes a network tells apart.
import { InputError } from '../base/errors.ts'
import type { Dataset } from './datasets.ts'

/** @throws InputError for the first label that is negative or not below `classes`. */
export function checkLabels(what: string, { name, labels }: Pick<Dataset, 'name' | 'labels'>, classes: number): void {
  const at = labels.findIndex((label) => !(label >= 0 && label < classes))
  if (at < 0) return
  throw new InputError(
    `${what}: ${name}: image ${at} has label ${labels[at]}, the network tells ${classes} classes apart; expected 0 to ${
      classes - 1
    }`,
  )
}
