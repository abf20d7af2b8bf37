// Files beside an ONNX file, found on the disk without reading it as a whole.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { AttributeProtoSchema, ModelProtoSchema, NodeProtoSchema, StringStringEntryProtoSchema, TensorProtoSchema,
  TensorProto_DataLocation as Location } from 'onnx-buf'
import { afterAll, expect, test } from 'vitest'
import { onnxDataFiles } from '../../src/files/onnx-data.ts'
import { small, splitOnnx } from '../support/onnx-hostile.ts'

const folder = mkdtempSync(join(tmpdir(), 'onnx-data-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})
const written = (name: string, bytes: Uint8Array | string) => {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}
const external = (location: string) => ({
  dataLocation: Location.EXTERNAL,
  externalData: [create(StringStringEntryProtoSchema, { key: 'location', value: location })],
})

test('each file once, of weights and of constants in nodes, behind tensors of any size', () => {
  const model = fromBinary(ModelProtoSchema, splitOnnx(small(), './a.bin').net)
  model.graph!.initializer.splice(
    1,
    0,
    create(TensorProtoSchema, { name: 'large', rawData: new Uint8Array(300_000) }),
    create(TensorProtoSchema, { name: 'empty', ...external('') }),
  )
  const t = create(TensorProtoSchema, { name: 'c', ...external('below/b ü.bin') })
  model.graph!.node.push(
    create(NodeProtoSchema, { opType: 'Constant', attribute: [create(AttributeProtoSchema, { name: 'value', t })] }),
  )
  expect(onnxDataFiles(written('net.onnx', toBinary(ModelProtoSchema, model))).sort()).toEqual(
    [join(folder, 'a.bin'), join(folder, 'below/b ü.bin')].sort(),
  )
})

test('none of what is one file, damaged, or no ONNX file', () => {
  const { net } = splitOnnx(small(), 'a.bin')
  expect(onnxDataFiles(written('whole.onnx', small()))).toEqual([])
  expect(onnxDataFiles(join(folder, 'nothing.onnx'))).toEqual([])
  expect(onnxDataFiles(folder)).toEqual([])
  expect(onnxDataFiles('deit-tiny')).toEqual([])
  expect(onnxDataFiles(written('empty.onnx', ''))).toEqual([])
  expect(onnxDataFiles(written('text.onnx', 'location'))).toEqual([])
  for (let end = 1; end < net.length; end += 7) {
    expect(onnxDataFiles(written('cut.onnx', net.subarray(0, end))).every((each) => each === join(folder, 'a.bin')))
      .toBe(true)
  }
  // A million messages in each other.
  expect(onnxDataFiles(written('deep.onnx', Buffer.alloc(1_000_000, Uint8Array.of(0x3a, 0x80, 0x80, 0x40))))).toEqual(
    [],
  )
})
