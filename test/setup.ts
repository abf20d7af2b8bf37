// Before all tests: is there an adapter for dawn? Installs the software driver where that is allowed. After all tests:
// was every golden in test/fixtures used?
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { diagnose, driverAdvice, mayInstall } from '../src/commands/doctor/driver.ts'
import { aptSources, inContainer, installDriver, isRoot, osRelease, vulkanFacts } from '../src/commands/doctor/host.ts'
import { probeDawn } from '../src/commands/doctor/probe.ts'
import { summarize, unusedGoldens } from './support/golden.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Why the tests that need dawn cannot run; empty where they can. */
    noDawn: string
    /** Folder where each test file notes which goldens it used. */
    goldenLedger: string
  }
}

const say = (line: string) => process.stderr.write(`${line}\n`)

/** Empty when dawn has an adapter that computes, else why not and what would help. */
async function findDawn(): Promise<string> {
  let probe = await probeDawn()
  const works = () => probe.adapters.some((adapter) => adapter.failure === null)
  if (works()) return ''
  const why = () => probe.adapters[0]?.failure ?? diagnose(vulkanFacts(), probe.messages, probe.failure)
  const plan = driverAdvice(osRelease(), aptSources())
  if (
    process.platform !== 'linux' || vulkanFacts().override || plan.kind !== 'apt'
    || !mayInstall({ root: isRoot(), container: inContainer(), env: process.env })
  ) {
    return `${why()}. Run \`npx espalier doctor --fix\``
  }
  say(`No adapter for dawn: ${why()}. Installing Mesa's software Vulkan driver.`)
  try {
    await installDriver(plan, say)
  } catch (error) {
    return `${why()}. ${(error as Error).message}`
  }
  probe = await probeDawn()
  return works() ? '' : why()
}

/** Runs once in vitest's main process; what it returns runs after the last test. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const noDawn = await findDawn()
  if (noDawn) say(`\nTests on dawn are skipped: ${noDawn}\n`)
  const ledger = mkdtempSync(join(tmpdir(), 'espalier-goldens-'))
  project.provide('noDawn', noDawn)
  project.provide('goldenLedger', ledger)
  return async () => {
    const { state, config } = project.vitest
    const every = await project.vitest.globTestSpecifications()
    const long = config.env.ESPALIER_LONG === '1' // test:long reads none of them
    const whole = state.getFiles().length === every.length && !config.testNamePattern && !config.watch && !long
    const unused = whole ? unusedGoldens(ledger) : []
    rmSync(ledger, { recursive: true, force: true })
    if (!unused.length) return
    const list = summarize(unused)
    // Without dawn the tests that would have used them were skipped with their reason; CI insists all the same.
    if (noDawn && !process.env.CI) {
      say(`\nGoldens not checked, because tests on dawn were skipped: ${list}`)
      return
    }
    say(`\nGoldens in test/fixtures that no test used: ${list}`)
    process.exitCode = 1
  }
}
