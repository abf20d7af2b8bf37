// Labels by name: the same name wherever it stands, and no guess where names contradict.
import { describe, expect, test } from 'vitest'
import { classesNamed, labelsFor } from '../../src/data/class-names.ts'
import type { Source } from '../../src/data/sources.ts'

const source = (labels: number[], classes?: string[], more: Partial<Source> = {}) =>
  ({ name: 'set', labels: Int32Array.from(labels), classes, ...more }) as Source

describe('a name means', () => {
  const names = ['tench, Tinca tinca', 'Great_White', 'great white', 'drake']
  test('what is spelt exactly so, else whatever its case and underscores', () => {
    expect(classesNamed('great white', names)).toEqual([2])
    expect(classesNamed('GREAT WHITE', names)).toEqual([1, 2])
  })
  test('one of several names, or an id', () => {
    expect(classesNamed('tinca TINCA', names)).toEqual([0])
    expect(classesNamed('n2', names, ['n0', 'n1', 'n2', 'n3'])).toEqual([2])
    expect(classesNamed('tinca', names)).toEqual([])
  })
})

describe('labels', () => {
  test('follow the names where these stand elsewhere', () => {
    const { labels, classes, notes } = labelsFor(source([0, 1, 1], ['cat', 'dog']), { names: ['dog', 'cow', 'cat'] })
    expect([...labels]).toEqual([2, 0, 0])
    expect(classes).toEqual(['dog', 'cow', 'cat'])
    expect(notes).toEqual(["set: labels follow the network's class names, 2 of 3 classes"])
  })

  test('stay where the names are the same', () => {
    const { labels, notes } = labelsFor(source([1, 0], ['a', 'b']), { count: 2, names: ['a', 'b'] })
    expect([[...labels], notes]).toEqual([[1, 0], []])
  })

  test('of names in another language are numbers, with a word', () => {
    const { labels, notes } = labelsFor(source([0, 1], ['Katze', 'Hund']), { names: ['cat', 'dog'] })
    expect([...labels]).toEqual([0, 1])
    expect(notes[0]).toMatch(/class names differ .*labels are taken as numbers/)
  })

  test('of which some names stand elsewhere and some nowhere are refused', () => {
    expect(() => labelsFor(source([0, 1], ['dog', 'yak']), { names: ['cat', 'dog'] })).toThrow(/has no class .*yak/)
  })

  test('of folders must all be known', () => {
    expect(() => labelsFor(source([0], ['yak'], { sortedNames: true }), { names: ['cat'] })).toThrow(
      /rename the folders/,
    )
  })

  test('of a name that several classes have are refused, unless one stands at the same place', () => {
    const two = { names: ['crane', 'dog', 'Crane'], count: 3 }
    expect(() => labelsFor(source([1], ['x', 'CRANE']), two)).toThrow(/several classes named .*numbers 0 and 2/)
    expect([...labelsFor(source([2], ['x', 'y', 'CRANE']), two).labels]).toEqual([2])
  })

  test('of folders that the network does not name must be as many as its classes', () => {
    const folders = source([0, 1], ['a', 'b'], { sortedNames: true, classCount: 2 })
    expect(() => labelsFor(folders, { count: 3 })).toThrow(
      '2 classes, the network tells 3 apart and does not name them',
    )
    expect([...labelsFor(folders, { count: 2 }).labels]).toEqual([0, 1])
  })

  test('of an empty folder would move all after it', () => {
    expect(() => labelsFor(source([0], ['a'], { empty: ['b'] }), { count: 1 })).toThrow(
      /nothing is read from the folder .*b/,
    )
  })

  test('far below the number of classes are said to be so', () => {
    const list = source(Array.from({ length: 12 }, (_, i) => i % 3))
    expect(labelsFor(list, { count: 1000 }).notes[0]).toContain('labels of 3 classes, the network tells 1000 apart')
    expect(labelsFor(list, { count: 20 }).notes).toEqual([])
  })
})
