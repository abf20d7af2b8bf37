// Paths of a tree: every tensor is trained, averaged and saved by its own, whatever its fields and keys are called.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadModel, saveModel } from '../../src/checkpoint/model-file.ts'
import { type Tensor, tensor } from '../../src/core/tensor.ts'
import { leaves, mapTree, parameters, take } from '../../src/core/tree.ts'
import { adamW, sgd, updateAverage } from '../../src/train/optim.ts'
import { describeDevice } from '../support/device.ts'

const keys = [{}, {}]

/** Trees of two tensors each whose paths would be one. */
const alike: Record<string, (a: Tensor, b: Tensor) => unknown> = {
  'a field with a dot': (a, b) => ({ 'x.y': a, x: { y: b } }),
  'a field with a dot, later': (a, b) => ({ x: { y: a }, 'x.y': b }),
  'keys 1 and "1"': (a, b) => ({ map: new Map<unknown, Tensor>([[1, a], ['1', b]]) }),
  'keys that are objects': (a, b) => ({ map: new Map([[keys[0], { w: a }], [keys[1], { w: b }]]) }),
  'a set': (a, b) => ({ set: new Set([a, b]) }),
}

describeDevice('trees', () => {
  for (const [name, of] of Object.entries(alike)) {
    const made = (first: number[], second: number[]) => {
      const pair = [tensor([first]), tensor([second])] as const
      return { tree: of(...pair), values: async () => [...await pair[0].data(), ...await pair[1].data()] }
    }
    test(`${name}: two tensors have two paths`, async () => {
      const { tree, values } = made([1, 2], [3, 4]), paths = parameters(tree).map(([path]) => path)
      expect(new Set(paths).size).toBe(2)
      const seen: string[] = []
      const copy = mapTree(tree, (leaf, path) => {
        seen.push(path)
        return leaf
      })
      expect(seen).toEqual(paths)
      expect(leaves(copy).map(([path]) => path)).toEqual(paths)
      expect([...await take(tree, paths[1]).data()]).toEqual([3, 4])
      for (const optimizer of [sgd(tree, { rate: 1, momentum: 0.5 }), adamW(tree, { rate: 0.5 })]) {
        expect(optimizer.state.moments.size).toBe(2)
        optimizer.dispose()
      }
      const optimizer = sgd(tree, { rate: 1, momentum: 0.5 })
      for (let i = 0; i < 2; i++) optimizer.update(tree, made([1, 1], [10, 10]).tree)
      expect(await values()).toEqual([1 - 2.5, 2 - 2.5, 3 - 25, 4 - 25])
      const average = made([0, 0], [0, 0])
      updateAverage(average.tree, made([1, 2], [3, 4]).tree, 0)
      expect(await average.values()).toEqual([1, 2, 3, 4])
    })

    test(`${name}: both are in the file and come back from it`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tree-')), file = join(folder, 'model.safetensors')
      try {
        await saveModel(file, made([1, 2], [3, 4]).tree)
        const { model } = await loadModel(file, { template: made([0, 0], [0, 0]).tree })
        const found = leaves(model)
        expect(await Promise.all(found.map(async ([, leaf]) => [...await leaf.data()]))).toEqual([[1, 2], [3, 4]])
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }
})
