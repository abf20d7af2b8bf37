import { expect, test } from 'vitest'
import { ShapeError } from '../../../src/base/errors.ts'
import { maskedMatmul, matmul } from '../../../src/ops/matmul/matmul.ts'
import { productVariants } from '../../../src/ops/matmul/variants.ts'
import { canRun, choose, machine } from '../../../src/ops/shared/variants.ts'
import { productWith } from '../../../src/ops/matmul/product.ts'
import { empty, tensor, type Tensor } from '../../../src/core/tensor.ts'
import { vjp } from '../../../src/core/transform.ts'
import { checkOp, checkRaces, toTensor } from '../../support/check-op.ts'
import { describeDevice } from '../../support/device.ts'
import { opCase } from '../../support/golden.ts'
import { add, gelu } from '../../reference/elementwise.ts'
import { nd, random, relativeError } from '../../reference/nd.ts'
import * as reference from '../../reference/matmul.ts'

const both = [false, true]

describeDevice('matmul', (adapter) => {
  // Lavapipe compiles a second or more on each kernel: there some layouts and alignments, on the embedded device all of
  // them.
  const all = adapter === 'cpu'

  // Whole vectors or not is another kernel for each operand.
  const sizes: [M: number, K: number, N: number, layouts: string][] = [
    [17, 33, 65, 'NN NT TN'],
    [20, 64, 36, 'NN NT TN'],
    [1, 1, 1, 'NN'],
    [3, 5, 7, 'NT'],
    [5, 130, 3, 'TN'],
    ...all
      ? [[17, 33, 65, 'TT'], [20, 64, 36, 'TT'], [65, 4, 12, 'NN TN'], [33, 8, 31, 'NT']] as [
        number,
        number,
        number,
        string,
      ][]
      : [],
  ]
  for (const [M, K, N, layouts] of sizes) {
    for (const layout of layouts.split(' ')) {
      test(`${M}x${K}x${N} ${layout}`, async () => {
        const options = { transposeA: layout[0] === 'T', transposeB: layout[1] === 'T' }
        await checkOp({
          call: (a, b) => matmul(a, b, options),
          reference: (a, b) => reference.matmul(a, b, options),
          args: [random(1, options.transposeA ? [K, M] : [M, K]), random(2, options.transposeB ? [N, K] : [K, N])],
          samples: 12,
        })
      })
    }
  }

  const batches: [string, number[], number[]][] = [
    ['equal batches', [2, 3, 9, 5], [2, 3, 5, 11]],
    ['one matrix for all', [2, 3, 9, 5], [5, 11]],
    ['a shared', [9, 5], [3, 5, 11]],
    ['crossed', [2, 1, 9, 5], [1, 3, 5, 11]],
    ['alternating over four axes', [2, 1, 3, 1, 9, 5], [1, 2, 1, 2, 5, 11]],
  ]
  for (const [name, a, b] of batches) {
    for (const transposeA of both) {
      for (const transposeB of both) {
        test(`${name}${transposeA ? ' a transposed' : ''}${transposeB ? ' b transposed' : ''}`, async () => {
          const options = { transposeA, transposeB }
          const swap = (shape: number[], yes: boolean) =>
            yes ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape
          await checkOp({
            call: (x, y) => matmul(x, y, options),
            reference: (x, y) => reference.matmul(x, y, options),
            args: [random(3, swap(a, transposeA)), random(4, swap(b, transposeB))],
            samples: 12,
          })
        })
      }
    }
  }

  for (const golden of ['matmul_2d', 'matmul_batched', 'matmul_broadcast']) {
    test(`golden ${golden}`, async () => {
      const { inputs, out, weights, grads } = opCase(golden)
      const make = ({ shape, data }: { shape: number[], data: ArrayLike<number> }) =>
        tensor(Float32Array.from(data), shape)
      const { outputs: [y], back } = vjp((a, b) => matmul(a, b), make(inputs.x), make(inputs.w))
      expect(relativeError(await y.data(), out.data)).toBeLessThan(1e-5)
      const [da, db] = back(make(weights))
      expect(relativeError(await da!.data(), grads.x.data)).toBeLessThan(1e-5)
      expect(relativeError(await db!.data(), grads.w.data)).toBeLessThan(1e-5)
    })
  }

  test('masked', async () => {
    for (
      const [a, b, options] of [
        [[9, 5], [5, 11], {}],
        ...all ? [[[5, 9], [11, 5], { transposeA: true, transposeB: true }]] as const : [],
      ] as const
    ) {
      const mask = nd(b, random(9, b).data.map((v) => v > 0 ? 1 : 0))
      await checkOp({
        call: (a, b, m) => maskedMatmul(a, b, m, options),
        reference: (a, b, m) => reference.maskedMatmul(a, b, m, options),
        args: [random(1, a), random(2, b), mask],
        samples: 20,
      })
    }
  })

  // Every loop on sizes that do not divide its tile, whichever this adapter would choose; all give the same bits, which
  // is what lets the tuner change its mind. Lavapipe unrolls the loop over a staged step, so there the step is short.
  const quick = productVariants.rows.filter(({ name, adapters }) => adapters?.length === 0 || name === 'registers 4x4')
  for (const variant of all ? productVariants.rows : quick) {
    test(`${variant.name}`, async (context) => {
      if (!canRun(variant, { M: 68, N: 72 }, machine())) return context.skip('this adapter cannot run it')
      for (
        const [transposeA, transposeB, M, K, N] of [
          [false, true, 68, 44, 72],
          ...all
            ? [[false, true, 67, 42, 70], [true, false, 67, 42, 70], [false, true, 68, 45, 48], [
              false,
              true,
              66,
              45,
              48,
            ]] as const
            : [],
        ] as const
      ) {
        const batch = 2
        const a = random(1, transposeA ? [batch, K, M] : [batch, M, K]),
          b = random(2, transposeB ? [batch, N, K] : [batch, K, N])
        const out = empty([batch, M, N])
        const bias = random(3, [N])
        const residual = random(4, [batch, M, N])
        const shape = {
          M,
          N,
          K,
          transposeA,
          transposeB,
          batch: [1, batch],
          strideA: [0, M * K],
          strideB: [0, K * N],
        } as const
        const epilogue = { bias: toTensor(bias), gelu: K === 45, residual: toTensor(residual) },
          split = M === 68 ? 1 : 2
        productWith(variant, toTensor(a), toTensor(b), out, shape, epilogue, undefined, split)
        const values = await out.data(), sums = add(reference.matmul(a, b, { transposeA, transposeB }), bias)
        expect(relativeError(values, add(K === 45 ? gelu(sums) : sums, residual).data)).toBeLessThan(1e-5)
        const usual = empty([batch, M, N])
        productWith(choose(productVariants, shape), toTensor(a), toTensor(b), usual, shape, epilogue, undefined, split)
        expect(await usual.data()).toEqual(values)
      }
    })
  }

  // The tiles that are too large to unroll elsewhere; more than one of them each way, more than one piece of k, ends
  // inside a piece.
  if (adapter === 'cpu') {
    const large = productVariants.rows.filter(({ block, adapters }) => block && adapters!.length)
    test.each([[false, false], [false, true], [true, false], [true, true]])(
      'large tiles, transposed: %s and %s',
      async (transposeA, transposeB) => {
        for (const [M, K, N] of [[204, 200, 208], [197, 201, 99]]) {
          const a = random(1, transposeA ? [K, M] : [M, K]),
            b = random(2, transposeB ? [N, K] : [K, N]),
            shape = { M, N, K, transposeA, transposeB }
          const expected = reference.matmul(a, b, { transposeA, transposeB }), found: Float32Array[] = []
          for (const variant of large) {
            const out = empty([M, N])
            productWith(variant, toTensor(a), toTensor(b), out, shape)
            found.push(await out.data() as Float32Array)
          }
          for (const values of found) expect(values).toEqual(found[0])
          expect(relativeError(found[0], expected.data)).toBeLessThan(1e-5)
        }
      },
    )
  }

  // The race detector does not know subgroups; that loop has no workgroup memory and each output is written by one
  // lane. It interprets, so staged steps are the short ones.
  test('no races', () => {
    const [a, b, out] = [toTensor(random(1, [5, 6])), toTensor(random(2, [6, 7])), empty([5, 7])]
    const short = productVariants.rows.filter(({ features, overrides: { STEP = 0 } }) => !features && STEP <= 8)
    expect(short.map(({ file }) => file)).toEqual(
      expect.arrayContaining(['registers', 'tiled', 'blocked'].map((file) => `matmul/${file}.wgsl`)),
    )
    for (const variant of all ? short : quick) {
      checkRaces(() => {
        productWith(variant, a, b, out, { M: 5, N: 7, K: 6 })
      })
    }
    checkRaces(() => {
      productWith(quick[0], a, b, out, { M: 5, N: 7, K: 6 }, {}, undefined, 2)
    })
  })

  test('says what does not fit', () => {
    const wrong = (a: Tensor, b: Tensor, options = {}) => expect(() => matmul(a, b, options)).toThrow(ShapeError)
    const make = (...shape: number[]) => tensor(new Float32Array(shape.reduce((x, y) => x * y, 1)), shape)
    wrong(make(2, 3), make(4, 5))
    wrong(make(2, 3), make(3, 5), { transposeB: true })
    wrong(make(3), make(3, 5))
    wrong(make(2, 2, 3), make(3, 3, 5))
  })
})
