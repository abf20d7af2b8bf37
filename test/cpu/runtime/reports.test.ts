// Findings of the debug modes: told once a line with the first index, and counted.
import { expect, test } from 'vitest'
import { type CompiledKernel, reportKind } from '../../../src/cpu/abi.ts'
import { Reports } from '../../../src/cpu/runtime/reports.ts'

const kernel = {
  bindings: [{ name: 'x', group: 0, binding: 3 }, { name: 'out', group: 1, binding: 0 }],
  workgroupVariables: ['tile'],
} as unknown as CompiledKernel

test('the same at one line is one finding with its first index; taken, they are gone', () => {
  const reports = new Reports(), report = reports.reporter('k', kernel)
  report(reportKind.bounds, 7, 12, 10)
  report(reportKind.bounds, 7, 15, 10)
  report(reportKind.bounds, 8, -1, 10)
  expect(reports.take()).toEqual([
    {
      kind: 'bounds',
      kernel: 'k',
      line: 7,
      index: 12,
      variable: null,
      count: 2,
      message: 'k: line 7: index 12 is out of bounds, there are 10 elements',
    },
    {
      kind: 'bounds',
      kernel: 'k',
      line: 8,
      index: -1,
      variable: null,
      count: 1,
      message: 'k: line 8: index -1 is out of bounds, there are 10 elements',
    },
  ])
  expect(reports.take()).toEqual([])
})

test('races name the variable, how, and the other invocation', () => {
  const reports = new Reports(), report = reports.reporter('k', kernel)
  report(reportKind.raceWorkgroup, 3, 0 << 8 | 1, 5 << 16 | 9)
  report(reportKind.raceStorage, 4, 1 << 8 | 0, 77)
  const [workgroup, storage] = reports.take()
  expect(workgroup).toMatchObject({ kind: 'race', variable: 'tile', index: 5 })
  expect(workgroup.message).toContain('word 5 of tile is read after another invocation wrote it')
  expect(workgroup.message).toContain('other invocation: local index 9')
  expect(storage).toMatchObject({ kind: 'race', variable: 'out', index: 77 })
  expect(storage.message).toContain('word 77 of out (group 1, binding 0) is written twice')
})

test('a NaN names word and binding, even one that is not known', () => {
  const reports = new Reports(), report = reports.reporter('k', kernel)
  report(reportKind.nan, 2, 1, 6)
  report(reportKind.nan, 2, 9, 6)
  expect(reports.take().map(({ variable, message }) => [variable, message])).toEqual([
    ['out', 'k: line 2: the first NaN of this dispatch is written to word 6 of out (group 1, binding 0)'],
    [null, 'k: line 2: the first NaN of this dispatch is written to word 6 of binding slot 9'],
  ])
})
