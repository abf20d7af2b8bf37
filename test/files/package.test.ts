import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { packageFile, packageVersion } from '../../src/files/package.ts'

test('the packaged digits are whole, with their licence beside them', () => {
  const images = gunzipSync(readFileSync(packageFile('models/data/digits/images-idx3-ubyte.gz')))
  const labels = gunzipSync(readFileSync(packageFile('models/data/digits/labels-idx1-ubyte.gz')))
  expect([0, 4, 8, 12].map((offset) => images.readUInt32BE(offset))).toEqual([2051, 2000, 28, 28])
  expect([0, 4].map((offset) => labels.readUInt32BE(offset))).toEqual([2049, 2000])
  expect(images).toHaveLength(16 + 2000 * 784)
  expect(Array.from(labels.subarray(8, 18))).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]) // as every MNIST test set begins
  expect(Math.max(...labels.subarray(8))).toBe(9)
  expect(readFileSync(packageFile('models/data/digits/LICENSE.txt'), 'utf8')).toContain('CC BY-SA 3.0')
})

test('the version is that of package.json', () => {
  expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/)
})
