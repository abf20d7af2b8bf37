// ONNX Runtime where the user has it: in the folder that the command runs in, or above. It is no part of the package.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Runner } from '../checkpoint/onnx/check.ts'

interface Runtime {
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{
      run(feeds: object): Promise<Record<string, { data: Float32Array }>>,
      release?(): Promise<void>,
    }>,
  }
  Tensor: new(type: string, data: Float32Array, shape: readonly number[]) => object
}

/** A file's logits by onnxruntime-node, with its version; null where that is not installed. */
export async function onnxRuntime(bytes: Uint8Array): Promise<{ name: string, run: Runner } | null> {
  const require = createRequire(join(process.cwd(), 'package.json'))
  let ort: Runtime, version: string
  try {
    ort = require('onnxruntime-node') as Runtime
    version =
      (JSON.parse(readFileSync(require.resolve('onnxruntime-node/package.json'), 'utf8')) as { version: string })
        .version
  } catch {
    return null
  }
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['cpu'], logSeverityLevel: 3 })
  return {
    name: `onnxruntime-node ${version}`,
    run: async (images, shape) => {
      const { logits } = await session.run({ images: new ort.Tensor('float32', images, shape) })
      return logits.data
    },
  }
}
