// `espalier import`: an ONNX file as a checkpoint of ours.
import { plain } from '../base/quote.ts'
import { inputOf } from '../../models/registry.ts'
import { encodeCheckpoint, modelOf } from '../checkpoint/checkpoint.ts'
import { InputError } from '../base/errors.ts'
import { isOnnx } from '../files/formats.ts'
import { type Files, nodeFiles } from '../files/files.ts'
import { openOutput } from '../files/output.ts'
import { packageVersion } from '../files/package.ts'
import { close, init } from '../gpu/device.ts'
import { costOf } from '../nn/macs.ts'
import { claimOutputs, filesRead } from './claims.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { large } from './model.ts'
import { openCheckpoint } from './open.ts'

interface ImportOptions extends CommonOptions {
  out: string
  overwrite?: boolean
}

/** The command `espalier import <net.onnx> --out <file>`. */
export const importCommand: CommandSpec<ImportOptions> = {
  name: 'import',
  summary: "an ONNX file, ours or another program's, as a checkpoint",
  example: 'espalier import resnet50.onnx --out resnet50.safetensors',
  declare(command) {
    command.argument('<file>', 'an ONNX file of a network that takes images and gives logits')
      .requiredOption('--out <file>', 'the checkpoint')
      .option('--overwrite', 'replace --out if it is there')
  },
  async run({ args: [file], out, overwrite = false, adapter, threads }, reporter) {
    claimOutputs([{ flag: '--out', path: out }], filesRead({ model: file }), overwrite)
    const checked = await openCheckpoint(file, { files: onlyOnnx(file) }, reporter),
      input = inputOf(checked.architecture)
    const { params, macs } = costOf(checked.shape, input)
    const output = openOutput(out)
    let opened = false
    try {
      await init({ adapter: adapter ?? 'cpu', threads })
      opened = true
      const bytes = await encodeCheckpoint(modelOf(checked), { ...checked, naming: 'espalier' })
      output.write(bytes)
      output.commit()
      const { type } = checked.architecture, { notes, classCount } = checked
      return {
        json: {
          file,
          out,
          architecture: type,
          input,
          classes: classCount,
          params,
          macs,
          bytes: bytes.length,
          notes,
          version: packageVersion(),
        },
        text: [
          `${plain(out)}: ${type}, ${large(params)} parameters, ${large(macs)} multiply-adds per image, ${
            large(bytes.length)
          }B`,
          `  images [${input.join(', ')}], ${classCount} classes`,
        ].join('\n'),
      }
    } finally {
      output.abandon()
      if (opened) await close()
    }
  },
}

/** Files of this machine, of which the one to import must be ONNX. */
const onlyOnnx = (file: string): Files => ({
  ...nodeFiles,
  async read(path, check) {
    const bytes = await nodeFiles.read(path, check)
    if (path === file && !isOnnx(bytes.subarray(0, 16), file)) {
      throw new InputError(`${plain(file)}: expected an ONNX file; other checkpoints need no import`)
    }
    return bytes
  },
})
