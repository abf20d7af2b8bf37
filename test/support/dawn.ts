// Tests that need an adapter of dawn: skipped, with the reason in their name, on a machine without one.
import { describe, inject } from 'vitest'

/** Why tests on dawn cannot run here; empty where they can. */
export const noDawn: string = inject('noDawn')

/** Like `describe`, for tests that need dawn; run once and skipped with the reason where there is no adapter. */
export function describeDawn(name: string, body: () => void): void {
  if (noDawn) describe.skip(`${name} (skipped: ${noDawn})`, body)
  else describe(name, body)
}
