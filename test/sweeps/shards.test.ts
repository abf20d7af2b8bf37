// Files of shards on the disk: what attempts left behind counts once, and what is wrong with one is said with its name.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { newAttempt } from '../../src/sweeps/attempts.ts'
import { digestOf, planFile, sealPlan, writePlan } from '../../src/sweeps/plan-file.ts'
import { findPlan } from '../../src/sweeps/plan.ts'
import { findPrunePlan, findShard, rangesOf, readPrunePlan, type Shard, shardKey, sumOfShards,
  writeShard } from '../../src/sweeps/shards.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shards-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const range = { first: 4, last: 6 }, of = 'settings', place = { node: 'n1', adapter: 'cpu', versions: { node: '20' } }
const sums = (...values: number[]) => ({
  images: 2,
  sums: new Map([['blocks.0.heads', Float64Array.from(values)], ['1', Float64Array.of(-1e-300)]]),
})
const write = (found = sums(0.1, 3), where = place) => {
  writeShard(folder, { ...range, of, ...where }, found)
}
const file = (attempt: number) => join(folder, 'attempts', `images-4-5.${attempt}.json`)
/** Changes a file; its digest is right again unless `honest` is false. */
const change = (attempt: number, edit: (shard: Shard) => void, honest = true) => {
  const shard = JSON.parse(readFileSync(file(attempt), 'utf8')) as Shard
  edit(shard)
  writeFileSync(file(attempt), JSON.stringify(honest ? { ...shard, digest: digestOf(shard) } : shard))
}
const find = () => findShard(folder, range, of)

test('images are cut into shards of so many, whoever computes them', () => {
  expect(rangesOf({ images: 10, shard: 4 })).toEqual([{ first: 0, last: 4 }, { first: 4, last: 8 }, {
    first: 8,
    last: 10,
  }])
  expect(rangesOf({ images: 1, shard: 256 })).toEqual([{ first: 0, last: 1 }])
  expect(shardKey(range)).toBe('images-4-5')
})

test('sums come back bit by bit; an attempt that did not end counts for nothing, an equal one once', () => {
  expect(find()).toBeNull()
  newAttempt(folder, shardKey(range), 'json')
  expect(find()).toBeNull()
  write(sums(0.1 + 0.2, 1 / 3))
  write(sums(0.1 + 0.2, 1 / 3))
  expect(readdirSync(join(folder, 'attempts'))).toHaveLength(3)
  const shard = find()!
  expect(shard).toMatchObject({ ...range, ...place })
  expect(sumOfShards([shard])).toEqual(sums(0.1 + 0.2, 1 / 3))
  expect(sumOfShards([shard, shard]).images).toBe(4)
  expect(existsSync(file(3))).toBe(false)
})

test('attempts that differ are refused, those of other adapters in more than rounding', () => {
  write(sums(1, 3))
  write(sums(1, 3 + 4e-16))
  expect(find).toThrow(InputError)
  expect(find).toThrow(
    /images-4-5\.1\.json: has 3\.0000000000000004 and not 3 for blocks\.0\.heads, element 1; .*\.0\.json differs/,
  )
  change(1, (shard) => {
    shard.adapter = 'another'
  })
  expect(find()!.adapter).toBe('cpu')
  change(1, (shard) => {
    shard.sums['blocks.0.heads'][0] = 1.1
  })
  expect(find).toThrow(/has 1\.1 and not 1 for/)
  change(1, (shard) => {
    delete shard.sums['1']
  })
  expect(find).toThrow(/has no sums of 1|and not 1 for/)
})

test.each<[string, () => void, RegExp]>([
  ['one digit', () => change(0, (shard) => void shard.sums['blocks.0.heads'][0]++, false), /found something else; it/],
  ['cut', () => writeFileSync(file(0), readFileSync(file(0), 'utf8').slice(0, -30)), /expected the sums of images 4/],
  ['no object', () => writeFileSync(file(0), 'null'), /expected the sums of images 4 to 5/],
  ['not numbers', () => change(0, (shard) => void (shard.sums['1'] = [null as never])), /edited or damaged, remove it/],
  ['other images', () => change(0, (shard) => void shard.first--), /expected the sums of images 4 to 5/],
  [
    'other settings',
    () => change(0, (shard) => void (shard.of = 'x')),
    /holds sums of other settings or another network/,
  ],
])('a file that is damaged, %s', (_, damage, said) => {
  write()
  damage()
  expect(find).toThrow(InputError)
  expect(find).toThrow(said)
})

test('a plan says whose it is, and its digest when it was edited', () => {
  const plan = sealPlan({
    kind: 'prune' as const,
    command: 'espalier prune',
    cwd: '/',
    model: 'net',
    options: {},
    settings: {},
    images: 10,
    shard: 4,
  })
  expect(findPrunePlan(folder)).toBeNull()
  expect(() => readPrunePlan(folder, 'small.safetensors')).toThrow(
    /^small\.safetensors: expected the --out of a prune that was started with --on slurm, found no .*plan\.json/,
  )
  writePlan(folder, plan)
  expect(readPrunePlan(folder, 'x')).toEqual(plan)
  expect(() => findPlan(folder)).toThrow(/expected the plan of a sweep, found that of a prune; ask espalier prune/)
  writeFileSync(planFile(folder), JSON.stringify({ ...plan, shard: 5 }))
  expect(() => findPrunePlan(folder)).toThrow(/is not what its digest says; .*submit the prune again/)
  writePlan(folder, sealPlan({ ...plan, images: 0, digest: undefined }))
  expect(() => findPrunePlan(folder)).toThrow(/is not what its digest says/)
})
