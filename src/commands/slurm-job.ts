// What jobs of Slurm begin and end with: the plan as it was submitted, and how the last one ended.
import { existsSync } from 'node:fs'
import { EspalierError, InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { packageVersion } from '../files/package.ts'
import { slurmFolder, writeOutcome } from '../sweeps/jobs.ts'
import { type PlanFile, planFile } from '../sweeps/plan-file.ts'

/**
 * Checks that a plan is the one that was submitted and this the program that submitted it, and goes to the folder that
 * the command was typed in. @throws InputError.
 */
export function takeUp(plan: PlanFile, folder: string, digest: string): void {
  const name = plain(planFile(folder))
  if (plan.digest !== digest) {
    throw new InputError(
      `${name}: expected the plan with digest ${plain(digest, 64)}, found ${plan.digest}; it was `
        + 'submitted anew, and this job is of the older one',
    )
  }
  if (plan.version !== packageVersion()) {
    throw new InputError(
      `${name}: expected version ${
        plain(plan.version)
      } of espalier, found ${packageVersion()} on this machine; submit again`,
    )
  }
  if (!existsSync(plan.cwd)) {
    throw new InputError(
      `${plain(plan.cwd)}: expected the folder that the ${plan.kind ?? 'sweep'} was started in, found none on this `
        + 'machine; start it in a folder that all machines share',
    )
  }
  process.chdir(plan.cwd)
}

/** Puts things together, and puts down how that ended, for whoever follows. @throws what `merge` does. */
export async function withOutcome<T>(folder: string, submission: string, merge: () => Promise<T>): Promise<T> {
  try {
    const answer = await merge()
    writeOutcome(folder, { submission })
    return answer
  } catch (error) {
    const exitCode = error instanceof EspalierError ? error.exitCode : 1
    try {
      writeOutcome(folder, { submission, error: (error as Error).message, exitCode })
    } catch {
      // Where nothing can be written, what went wrong first is in the log.
    }
    throw error
  }
}

/** How long the merging waits for a folder that another process has: longer than a lock of the dead is believed. */
export const PATIENCE = 10 * 60_000

/** Why there is no result yet, and what to do. `open` are names of tasks that did not end, of so many. */
export const incomplete = (folder: string, what: string, open: readonly string[], all: number): string =>
  `${plain(folder)}: expected ${all} whole ${what}, found ${all - open.length}; ${
    open.slice(0, 5).map((key) => plain(key)).join(', ')
  }${
    open.length > 5 ? ` and ${open.length - 5} more have` : open.length > 1 ? ' have' : ' has'
  } ended early: see the logs in ${plain(slurmFolder(folder))}, then give the same command again, which goes on`
