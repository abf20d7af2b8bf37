// `espalier pull`: a checkpoint from a model hub, resumed and checksummed.
import { pull } from '../checkpoint/hub.ts'
import { packageVersion } from '../files/package.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { large } from './model.ts'

interface PullOptions extends CommonOptions {
  file: string
  endpoint: string
  revision: string
  dir: string
}

/** The command `espalier pull <owner/name>`. */
export const pullCommand: CommandSpec<PullOptions> = {
  name: 'pull',
  summary: 'loads a checkpoint from a model hub; goes on where it stopped, and checks the checksum',
  declare(command) {
    command.argument('<owner/name>', 'the model on the hub, e.g. timm/deit_tiny_patch16_224.fb_in1k')
      .option('--file <path>', 'file inside the repository', 'model.safetensors')
      .option('--endpoint <address>', 'address of the hub', 'https://huggingface.co')
      .option('--revision <name>', 'branch or commit', 'main')
      .option('--dir <folder>', 'where the file is put', '.')
  },
  async run({ args, file, endpoint, revision, dir }, reporter) {
    let progress: ReturnType<typeof reporter.progress> | null = null
    const pulled = await pull(args[0], {
      file,
      endpoint,
      revision,
      dir,
      progress: (received, total) => {
        if (total) (progress ??= reporter.progress(args[0], total)).update(received)
      },
    }).finally(() => {
      progress?.stop()
    })
    const how = pulled.cached
      ? 'was there already'
      : pulled.resumedAt
      ? `resumed at byte ${pulled.resumedAt}`
      : 'loaded'
    return {
      json: { model: args[0], ...pulled, version: packageVersion() },
      text: `${pulled.path}: ${large(pulled.bytes)}B, ${how}, ${
        pulled.checked === 'none' ? 'the hub gave no checksum' : `${pulled.checked} is right`
      }`,
    }
  },
}
