import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { jobIds, readJobs, readOutcome, slurmFolder, writeJobs, writeOutcome } from '../../src/sweeps/jobs.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jobs-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('what was submitted comes back, and an outcome is that of its own submission only', () => {
  expect(readJobs(folder)).toBeNull()
  const jobs = { plan: 'abc', submission: '1', arrays: [{ job: '12', first: 0, tasks: [0, 2] }], merge: '13' }
  writeJobs(folder, jobs)
  expect(readJobs(folder)).toEqual(jobs)
  expect(jobIds(jobs)).toEqual(['12', '13'])
  expect(jobIds({ ...jobs, merge: undefined })).toEqual(['12'])
  expect(readOutcome(folder, jobs)).toBeNull()
  writeOutcome(folder, { submission: '0' })
  expect(readOutcome(folder, jobs)).toBeNull()
  writeOutcome(folder, { submission: '1', error: 'no', exitCode: 2 })
  expect(readOutcome(folder, jobs)).toMatchObject({ error: 'no', exitCode: 2 })
})

test.each([
  '',
  '{',
  'null',
  '{}',
  '{"plan":"a","submission":"1","arrays":[{"job":"12; rm","first":0,"tasks":[]}]}',
  '{"plan":"a","submission":"1","arrays":[{"job":"12","first":-1,"tasks":[]}]}',
  '{"plan":"a","submission":"1","arrays":[null]}',
  '{"plan":"a","submission":"1","arrays":[],"merge":"--all"}',
])('damaged: %s', (text) => {
  mkdirSync(slurmFolder(folder))
  writeFileSync(join(slurmFolder(folder), 'jobs.json'), text)
  expect(() => readJobs(folder)).toThrow(/jobs\.json: expected the jobs of a sweep, found something else/)
  expect(() => readJobs(folder)).toThrow(InputError)
})
