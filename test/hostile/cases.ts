// All kinds of hostile input, as many of each as weigh.
import type { HostileCase } from './case.ts'
import { architectureCase, recordCase, safetensorsCase } from './checkpoints.ts'
import { flagCase, folderCase, kernelCase, outputCase, streamCase } from './commands.ts'
import { hubCase } from './hub.ts'
import type { Material } from './material.ts'
import { onnxCase } from './onnx.ts'
import { dataCase, pictureCase } from './pictures.ts'

/** `count` inputs of a seed, kinds in turn so that any slice has all of them. */
export function* hostileCases(
  material: Material,
  endpoint: string,
  seed: number,
  count: number,
): Generator<HostileCase> {
  const kinds = [
    (i: number) => safetensorsCase(material, seed, i),
    (i: number) => recordCase(material, seed, i),
    (i: number) => pictureCase(material, seed, i),
    (i: number) => dataCase(material, seed, i),
    (i: number) => flagCase(material, seed, i),
    (i: number) => kernelCase(material, seed, i),
    (i: number) => architectureCase(material, seed, i),
    (i: number) => outputCase(material, seed, i),
    (i: number) => streamCase(material, endpoint, seed, i),
    (i: number) => folderCase(material, seed, i),
    (i: number) => hubCase(endpoint, seed, i),
    (i: number) => onnxCase(material, seed, i),
  ]
  for (let i = 0; i < count; i++) yield kinds[i % kinds.length](Math.floor(i / kinds.length))
}
