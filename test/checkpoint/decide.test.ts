// Which network a file is said to be: metadata, names under plain keys, configurations inside.
import { describe, expect, test } from 'vitest'
import type { Architecture } from '../../models/registry.ts'
import { classNames, configsIn, decide, foreignNames, parsed, preparation } from '../../src/checkpoint/decide.ts'
import { preprocessingFor } from '../../models/registry.ts'

const vit = {
  type: 'vit',
  image: 32,
  patch: 8,
  width: 32,
  depth: 1,
  heads: 2,
  hidden: 64,
  classes: 3,
} as unknown as Architecture
const nothing = { options: {}, preprocessing: {}, from: {}, notes: [] }

test('JSON of a metadata string, and none', () => {
  expect(parsed('[1]')).toEqual([1])
  expect(parsed(undefined)).toBeUndefined()
  expect(() => parsed('{', 'mine')).toThrow('metadata mine is not valid JSON')
})

test('our own names must be as many as there are classes, those of others are ignored with a word', () => {
  expect(classNames(['a', 'b'], 2)).toEqual(['a', 'b'])
  expect(classNames(null, 2)).toBeUndefined()
  expect(() => classNames(['a'], 2)).toThrow('names 1 classes, the network tells 2 apart')
  expect(() => classNames({ a: 1 }, 2)).toThrow('names no list of classes')
  const notes: string[] = []
  expect(foreignNames('["a"]', 2, notes)).toBeUndefined()
  expect(foreignNames('nonsense', 2, notes)).toBeUndefined()
  expect(foreignNames('["a","b"]', 2, notes)).toEqual(['a', 'b'])
  expect(notes).toEqual(Array(2).fill('metadata classes is not ours and is ignored'))
})

test('what the file says stands under --arch of the same family, and gives way to one of another', () => {
  const own = { naming: 'espalier', architecture: vit }
  const said = (given?: Partial<Architecture>) => decide(given, own, 'espalier', {}, new Map(), [])
  expect(said()).toEqual({ architecture: vit, said: true })
  expect(said({ heads: 4 } as Partial<Architecture>)).toEqual({ architecture: { ...vit, heads: 4 }, said: true })
  const vgg = { type: 'vgg', layers: 11, classes: 3 } as unknown as Architecture
  expect(said(vgg)).toEqual({ architecture: vgg, said: true })
})

test('configurations inside a file are read by their names, timm under its key', () => {
  expect(configsIn({ config: '{"a":1}', pretrained_cfg: ' {"b":2}', preprocessor_config: 'no', other: '{}' })).toEqual([
    { name: 'metadata pretrained_cfg', text: '{"pretrained_cfg": {"b":2}}' },
    { name: 'metadata config', text: '{"a":1}' },
  ])
})

describe('how pictures are prepared', () => {
  const usual = preprocessingFor(vit)

  test('nothing said: as usual, all by default', () => {
    const { preprocessing, from } = preparation(null, {}, nothing, vit, 'f', [])
    expect(preprocessing).toEqual(usual)
    expect(new Set(Object.values(from))).toEqual(new Set(['default']))
  })

  test('a plain key of the file goes before a configuration', () => {
    const told = { ...nothing, preprocessing: { mean: [0.1, 0.1, 0.1], resize: 40 }, from: { mean: 'c', resize: 'c' } }
    const { preprocessing, from } = preparation(null, { mean: '[0.5,0.5,0.5]' }, told, vit, 'f', [])
    expect(preprocessing).toMatchObject({ mean: [0.5, 0.5, 0.5], resize: 40 })
    expect(from).toMatchObject({ mean: 'file', resize: 'c', std: 'default' })
  })

  test('a configuration that does not fit is ignored with a word', () => {
    const notes: string[] = []
    const told = { ...nothing, preprocessing: { resize: -3 }, from: { resize: 'c.json' } }
    expect(preparation(null, {}, told, vit, 'f', notes).preprocessing).toEqual(usual)
    expect(notes).toEqual(['the preprocessing of c.json does not fit and is ignored'])
  })
})
