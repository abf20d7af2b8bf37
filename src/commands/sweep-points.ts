// The points of a folder, whoever measured them: those of its journal, and those of attempts on many machines.
import { join } from 'node:path'
import { attemptFiles, type Found, mergePoints } from '../sweeps/attempts.ts'
import type { Point } from '../sweeps/point.ts'
import { readSettled, settingsAsKept } from './result-folder.ts'
import { pointAt } from './sweep-curve.ts'
import type { PreparedSweep, SweepSetup } from './sweep-setup.ts'

/** Every point once. @throws InputError where journals are damaged, of another sweep, or contradict each other. */
export function knownPoints({ opening: { folder, settings, isEntry, journal } }: PreparedSweep): Point[] {
  const own = settingsAsKept(settings)
  const files = [join(folder, journal), ...[...attemptFiles(folder).values()].flat()]
  return mergePoints(
    files.flatMap((file): Found[] => readSettled<Point>(file, own, isEntry).map((point) => ({ point, file }))),
  )
}

/**
 * Takes what attempts have measured into the folder's journal, in the order in which one machine would have. @throws
 * InputError as `knownPoints`.
 */
export function takeAttempts(setup: SweepSetup): void {
  const { runs, rates, journal, opening: { folder } } = setup
  if (!attemptFiles(folder).size) return
  const found = knownPoints(setup)
  for (const run of runs) {
    for (const rate of rates) {
      const point = pointAt(journal.entries, run, rate) ? undefined : pointAt(found, run, rate)
      if (point) journal.append(point)
    }
  }
}
