// ONNX files that are damaged or mean harm, and what is said of each.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { AttributeProto_AttributeType as Kind, AttributeProtoSchema, GraphProtoSchema, type ModelProto,
  ModelProtoSchema, NodeProtoSchema, StringStringEntryProtoSchema,
  TensorProto_DataLocation as Location } from 'onnx-buf'
import { encodeOnnx, type OnnxNode, type OnnxTensor } from '../../src/onnx/encode.ts'

/** A small classifier: convolution, relu, mean, gemm; with more nodes before or constants beside if asked. */
export function small(nodes: OnnxNode[] = [], tensors: OnnxTensor[] = []): Uint8Array {
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i))
  return encodeOnnx({
    nodes: [
      ...nodes,
      {
        type: 'Conv',
        name: '/conv/Conv',
        inputs: ['input', 'conv.weight'],
        outputs: ['a'],
        attributes: { pads: [1, 1, 1, 1] },
      },
      { type: 'Relu', name: '/Relu', inputs: ['a'], outputs: ['b'] },
      { type: 'GlobalAveragePool', name: '/pool', inputs: ['b'], outputs: ['c'] },
      { type: 'Flatten', name: '/flat', inputs: ['c'], outputs: ['d'] },
      { type: 'Gemm', name: '/fc/Gemm', inputs: ['d', 'fc.weight'], outputs: ['logits'], attributes: { transB: 1 } },
    ],
    tensors: [
      ...tensors,
      { name: 'conv.weight', shape: [8, 3, 3, 3], data: values(216) },
      { name: 'fc.weight', shape: [10, 8], data: values(80) },
    ],
    inputs: [{ name: 'input', shape: [{ batch: 1 }, 3, 32, 32] }],
    output: { name: 'logits', shape: [{ batch: 1 }, 10] },
  })
}

const edited = (edit: (model: ModelProto) => void) => {
  const model = fromBinary(ModelProtoSchema, small())
  edit(model)
  return toBinary(ModelProtoSchema, model)
}
/** The first weights lie elsewhere. */
const inAnotherFile = (location: string, more: Readonly<Record<string, string>> = {}) =>
  edited(({ graph }) => {
    const [tensor] = graph!.initializer
    tensor.dataLocation = Location.EXTERNAL
    tensor.rawData = new Uint8Array(0)
    tensor.externalData = Object.entries({ location, ...more }).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value })
    )
  })

/** The same file with another opset named. */
export function ofOpset(bytes: Uint8Array, version: number): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes)
  model.opsetImport[0].version = BigInt(version)
  return toBinary(ModelProtoSchema, model)
}

/** A file's tensors in another, as exporters lay them: each at a multiple of 64, under a name or without length. */
export function splitOnnx(bytes: Uint8Array, location: string, withLength = true): { net: Uint8Array, data: Buffer } {
  const model = fromBinary(ModelProtoSchema, bytes), parts: Buffer[] = []
  let at = 0
  for (const tensor of model.graph!.initializer) {
    const raw = Buffer.from(tensor.rawData)
    const where = { location, offset: String(at), ...withLength && { length: String(raw.length) } }
    tensor.dataLocation = Location.EXTERNAL
    tensor.rawData = new Uint8Array(0)
    tensor.externalData = Object.entries(where).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value })
    )
    parts.push(raw, Buffer.alloc((64 - raw.length % 64) % 64))
    at += parts.at(-2)!.length + parts.at(-1)!.length
  }
  return { net: toBinary(ModelProtoSchema, model), data: Buffer.concat(parts) }
}
const wholes = (name: string, ...values: number[]): OnnxTensor => ({
  name,
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
})
const scalar = (name: string, value: number): OnnxTensor => ({ name, shape: [], data: BigInt64Array.of(BigInt(value)) })
/** A node whose output joins the graph as a factor of the images, so that it is read. */
const beside = (node: OnnxNode, tensors: OnnxTensor[]) => {
  const bytes = small([node], tensors), model = fromBinary(ModelProtoSchema, bytes)
  model.graph!.node.splice(
    1,
    0,
    create(NodeProtoSchema, { opType: 'Mul', input: ['input', node.outputs[0]], output: ['x'] }),
  )
  model.graph!.node.find(({ opType }) => opType === 'Conv')!.input[0] = 'x'
  return toBinary(ModelProtoSchema, model)
}
/** A field of the wire format: its number and bytes. */
const field = (number: number, bytes: Uint8Array): Buffer => {
  const varint = (n: number): number[] => n < 128 ? [n] : [n % 128 + 128, ...varint(Math.floor(n / 128))]
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes])
}

/** Each with a sentence. */
export const hostileOnnx: readonly (readonly [name: string, bytes: () => Uint8Array, sentence: RegExp])[] = [
  ['nothing', () => new Uint8Array(0), /empty or truncated|no ONNX file|cannot be read|no nodes/],
  ['text', () => Buffer.from('not a network'), /no ONNX file|text file/],
  ['cut in its weights', () => small().subarray(0, 500), /cannot be read at byte .*truncated/],
  ['cut at its end', () => small().subarray(0, small().length - 3), /cannot be read at byte .*truncated/],
  [
    'a circle',
    () => edited(({ graph }) => graph!.node.reverse()),
    /which nothing before it makes; expected nodes in the order/,
  ],
  [
    'a node that reads itself',
    () => edited(({ graph }) => graph!.node[1].input[0] = 'b'),
    /which nothing before it makes/,
  ],
  ['a value made twice', () => edited(({ graph }) => graph!.node[1].output[0] = 'a'), /is made twice/],
  [
    'no output',
    () => edited(({ graph }) => graph!.output[0].name = 'elsewhere'),
    /nothing makes its output 'elsewhere'/,
  ],
  ...['../../etc/passwd', '/etc/passwd', 'a/../../b', 'c:/weights', 'a\\\\b', 'a//b', '', '..', '.', 'a\\0b'].map((
    location,
  ): [string, () => Uint8Array, RegExp] => [
    `weights in ${JSON.stringify(location)}`,
    () => inAnotherFile(location),
    /tensor 'conv.weight' lies in another file, '.*', expected a name in the folder of this one or below it/,
  ]),
  [
    'weights beside it, of which nothing is given',
    () => inAnotherFile('weights.bin'),
    /lies in another file, 'weights.bin', and only the bytes of this one are given; give its path/,
  ],
  [
    'weights at no place',
    () => inAnotherFile('weights.bin', { offset: '-4' }),
    /has the offset '-4' in another file, expected a whole number of bytes/,
  ],
  ...([['Where', ['one', 'one']], ['Reshape', ['one']], ['Add', ['', 'one']], ['Range', ['one', 'one']], ['Slice', [
    '',
  ]], [
    'Concat',
    ['one', ''],
  ]] as [string, string[]][]).map(([type, inputs]): [string, () => Uint8Array, RegExp] => [
    `${type} without what it reads`,
    () => beside({ type, name: '/odd', inputs, outputs: ['big'] }, [wholes('one', 1)]),
    new RegExp(`node '/odd' \\('${type}'\\): its input \\d is missing`),
  ]),
  [
    'a sum of nothing',
    () => beside({ type: 'Sum', name: '/odd', inputs: [], outputs: ['big'] }, []),
    /node '\/odd' \('Sum'\): /,
  ],
  [
    'letters that are a number',
    () =>
      beside({
        type: 'Einsum',
        name: '/odd',
        inputs: ['input', 'input'],
        outputs: ['big'],
        attributes: { equation: 3 },
      }, []),
    /node '\/odd' \('Einsum'\): /,
  ],
  [
    'weights beside it of a negative size',
    () =>
      edited(({ graph }) => {
        const [tensor] = graph!.initializer
        tensor.dataLocation = Location.EXTERNAL
        tensor.rawData = new Uint8Array(0)
        tensor.dims = [-1000000000000n]
        tensor.externalData = [create(StringStringEntryProtoSchema, { key: 'location', value: 'weights.bin' })]
      }),
    /has the shape \[-1000000000000\]; it is damaged/,
  ],
  [
    'weights beside it, under a name that an address reads otherwise',
    () => inAnotherFile('%2e%2e/weights.bin'),
    /expected a name in the folder of this one or below it/,
  ],
  [
    'a giant tensor',
    () => edited(({ graph }) => graph!.initializer[0].dims = [2n ** 40n]),
    /expected less than 2\^31 elements/,
  ],
  [
    'a tensor of 2^62 elements',
    () => edited(({ graph }) => graph!.initializer[0].dims = [2n ** 31n, 2n ** 31n]),
    /expected less than 2\^31/,
  ],
  [
    'a negative size',
    () => edited(({ graph }) => graph!.initializer[0].dims = [-8n, 27n]),
    /expected less than 2\^31 elements/,
  ],
  [
    'sizes that do not match the bytes',
    () => edited(({ graph }) => graph!.initializer[0].dims = [9n, 3n, 3n, 3n]),
    /takes 972 bytes and has 864/,
  ],
  [
    'a NaN',
    () => edited(({ graph }) => graph!.initializer[0].rawData.set([0, 0, 192, 127], 8)),
    /holds NaN at entry 2/,
  ],
  [
    'an opset of the future',
    () => edited((model) => model.opsetImport[0].version = 99n),
    /its opset is 99, expected 9 to 22; export it with opset_version=17/,
  ],
  ['no opset', () => edited((model) => model.opsetImport = []), /its opset is not named/],
  [
    'an operator that we lack',
    () => edited(({ graph }) => graph!.node[1].opType = 'GridSample'),
    /node '\/Relu' \('GridSample'\): this operator is not read/,
  ],
  [
    'an operator of a name that objects have',
    () => edited(({ graph }) => graph!.node[1].opType = 'constructor'),
    /node '\/Relu' \('constructor'\): this operator is not read/,
  ],
  [
    'an operator of a runtime',
    () => edited(({ graph }) => graph!.node[1].domain = 'com.microsoft'),
    /is of domain 'com.microsoft', expected operators of ONNX itself/,
  ],
  [
    'a branch',
    () =>
      edited(({ graph }) => {
        const inner = create(AttributeProtoSchema, {
          name: 'then_branch',
          type: Kind.GRAPH,
          g: create(GraphProtoSchema, {}),
        })
        graph!.node[1].attribute.push(inner)
      }),
    /networks with branches or loops are not read/,
  ],
  [
    'two inputs',
    () => edited(({ graph }) => graph!.input.push({ ...graph!.input[0], name: 'more' })),
    /its inputs are 'input' with 4 axes, 'more' with 4 axes, expected one of images/,
  ],
  [
    'weights that do not fit',
    () => edited(({ graph }) => graph!.initializer[1].dims = [8n, 10n]),
    /node '\/fc\/Gemm' \('Gemm'\): linear: x \[2,8\] does not contract/,
  ],
  [
    'a constant that expands to 2^60 numbers',
    () =>
      beside({ type: 'Expand', inputs: ['one', 'to'], outputs: ['big'] }, [
        wholes('one', 1),
        wholes('to', 2 ** 30, 2 ** 30),
      ]),
    /expected at most 2\^26 elements/,
  ],
  [
    'a shape of 2^60 zeros',
    () => beside({ type: 'ConstantOfShape', inputs: ['to'], outputs: ['big'] }, [wholes('to', 2 ** 30, 2 ** 30)]),
    /expected at most 2\^26 elements/,
  ],
  [
    'a shape of negative sizes',
    () => beside({ type: 'ConstantOfShape', inputs: ['to'], outputs: ['big'] }, [wholes('to', -1, -7)]),
    /expected at most 2\^26 elements/,
  ],
  [
    'a range without end',
    () =>
      beside({ type: 'Range', inputs: ['from', 'until', 'by'], outputs: ['big'] }, [
        scalar('from', 0),
        scalar('until', 5),
        scalar('by', 0),
      ]),
    /expected at most 2\^26 elements/,
  ],
  [
    'a tile of 2^40',
    () =>
      beside({ type: 'Tile', inputs: ['one', 'times'], outputs: ['big'] }, [
        wholes('one', 1),
        wholes('times', 2 ** 40),
      ]),
    /expected at most 2\^26 elements/,
  ],
  [
    'whole numbers beyond 2^53',
    () =>
      beside({ type: 'Identity', inputs: ['n'], outputs: ['big'] }, [{
        name: 'n',
        shape: [1],
        data: BigInt64Array.of(2n ** 60n),
      }]),
    /expected a whole number below 2\^53/,
  ],
  [
    'a padding of 2^40',
    () => edited(({ graph }) => graph!.node[0].attribute[0].ints = [1n, 1n, 2n ** 40n, 1n]),
    /its pads are .*expected 4 numbers from 0 to 4096/,
  ],
  // Two bytes each, which become an object of two hundred.
  [
    'a million empty nodes',
    () => Buffer.concat([Buffer.from([8, 8]), field(7, Buffer.from('0a00'.repeat(2 ** 21), 'hex'))]),
    /more than 1048576 fields/,
  ],
  ['messages in messages', () => {
    let inner: Uint8Array = new Uint8Array(0)
    for (let i = 0; i < 5000; i++) inner = field(1, field(5, field(6, inner)))
    return Buffer.concat([Buffer.from([8, 8]), field(7, inner)])
  }, /messages \d+ deep, expected at most/],
  [
    'fifty million numbers one by one',
    () => Buffer.concat([Buffer.from([8, 8]), field(7, field(5, field(7, Buffer.alloc(5e7, 1))))]),
    /numbers one by one, expected raw bytes/,
  ],
]
