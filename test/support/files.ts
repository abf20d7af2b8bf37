// Where the read-only inputs of the project lie; tests that need them skip with this reason when they are absent.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

/** Folder of the shared data: ESPALIER_SHARED, or ../shared beside the checkout. */
export const shared = resolve(process.env.ESPALIER_SHARED ?? '../shared')
/** Undefined where the file is there, else why the test is skipped. */
export const lacking = (path: string) =>
  existsSync(resolve(shared, path)) ? undefined : `${resolve(shared, path)} is not here; set ESPALIER_SHARED`
