// What takes too long for `npm test`: random kernels by the thousand, and the whole conformance table on dawn.
import { mergeConfig } from 'vitest/config'
import base from '../vitest.config.ts'

const long = {
  ...base,
  test: {
    ...base.test,
    include: ['test/long/**/*.test.ts', 'test/cpu/compiler/dawn.test.ts'],
    exclude: ['**/node_modules/**'],
    env: { ...base.test?.env, ESPALIER_LONG: '1' },
  },
}
export default mergeConfig({}, long)
