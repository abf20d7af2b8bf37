import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folderStore } from '../../src/files/folder-store.ts'
import { scratch } from '../support/model.ts'

const dir = scratch()

test('what one process writes another reads, under any name and nowhere else', async () => {
  const folder = join(dir, 'a', 'state'), names = ['masks', '../masks', 'a/b.c', '..', 'Übung 1']
  const store = folderStore(folder)
  expect(await store.read('masks')).toBeNull()
  expect(existsSync(folder)).toBe(false)
  mkdirSync(join(dir, 'a'))
  for (const [i, name] of names.entries()) await store.write(name, Uint8Array.of(i, 7))
  await store.write('masks', Uint8Array.of(9))
  expect(readdirSync(join(dir, 'a'))).toEqual(['state'])
  expect(readdirSync(folder)).toHaveLength(names.length)
  const later = folderStore(folder)
  expect([...(await later.read('masks'))!]).toEqual([9])
  for (const [i, name] of names.entries()) if (i > 0) expect([...(await later.read(name))!]).toEqual([i, 7])
  writeFileSync(join(folder, 'notes.txt'), 'of the user')
  later.clear()
  expect(readdirSync(folder)).toEqual(['notes.txt'])
})

test('the folder goes with the last file', async () => {
  const folder = join(dir, 'b'), store = folderStore(folder)
  store.clear()
  await store.write('one', Uint8Array.of(1))
  store.clear()
  expect(existsSync(folder)).toBe(false)
})
