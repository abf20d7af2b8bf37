// The options of GOHSP: defaults are read, each is refused out of its range, and recipes name no others.
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { options, settingsOf } from '../../../../src/pruning/methods/gohsp/settings.ts'

test('defaults are within what each option allows, and values beyond are refused by name', () => {
  expect(settingsOf({})).toMatchObject({ heads: null, neurons: null, soft: 'admm', rho: 1e-3, ranking: 'graph' })
  for (const [name, { words, range }] of Object.entries(options)) {
    const message = new RegExp(`--set ${name}=.*: expected`)
    if (words) expect(() => settingsOf({ [name]: 'nonsense' }), name).toThrow(message)
    if (!range) continue
    const [least, most] = range
    for (const beyond of [least - 1, most + 1]) {
      expect(() => settingsOf({ [name]: String(beyond) }), name).toThrow(message)
    }
  }
  expect(settingsOf({ heads: '0.5' })).toMatchObject({ heads: 0.5, neurons: null })
})

test('recipes set options that there are, to values they take', () => {
  const folder = 'models/data/recipes', names = readdirSync(folder).filter((name) => name.startsWith('gohsp'))
  expect(names.length).toBeGreaterThan(1)
  for (const name of names) {
    const { set } = JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as { set: Record<string, string> }
    expect(Object.keys(set).filter((option) => !Object.hasOwn(options, option)), name).toEqual([])
    expect(settingsOf(set).epochs, name).toBe(100)
  }
})
