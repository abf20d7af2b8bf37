// `espalier pull`: a checkpoint from a model hub, resumed and checksummed.
import { pull, pullBeside } from '../checkpoint/hub.ts'
import { packageVersion } from '../files/package.ts'
import { type CommandSpec, type CommonOptions, wholeNumber } from './command.ts'
import { large } from './model.ts'

interface PullOptions extends CommonOptions {
  file: string
  endpoint: string
  revision: string
  dir: string
  overwrite?: boolean
  limit?: number
  token?: string
}

/** The command `espalier pull <owner/name>`. */
export const pullCommand: CommandSpec<PullOptions> = {
  name: 'pull',
  summary: 'loads a checkpoint from a model hub; goes on where it stopped, and checks the checksum',
  example: 'espalier pull timm/deit_tiny_patch16_224.fb_in1k --dir models',
  declare(command) {
    command.argument('<owner/name>', 'the model on the hub, e.g. timm/deit_tiny_patch16_224.fb_in1k')
      .option('--file <path>', 'file inside the repository', 'model.safetensors')
      .option('--endpoint <address>', 'address of the hub', 'https://huggingface.co')
      .option('--revision <name>', 'branch or commit', 'main')
      .option('--dir <folder>', 'where the file is put', '.')
      .option('--overwrite', 'replace another file of that name')
      .option('--limit <MB>', 'most megabytes a file may have: 4295', wholeNumber(1, 2 ** 32))
      .option(
        '--token <text>',
        'access token for private and gated models: HF_TOKEN of the environment; sent to the endpoint alone',
      )
  },
  async run({ args, file, endpoint, revision, dir, overwrite, limit, token }, reporter) {
    let progress: ReturnType<typeof reporter.progress> | null = null
    const options = {
      endpoint,
      revision,
      dir,
      overwrite,
      limit: limit === undefined ? undefined : limit * 1e6,
      token: token ?? (process.env.HF_TOKEN || undefined),
    }
    const pulled = await pull(args[0], {
      ...options,
      file,
      progress: (received, total) => {
        if (total) (progress ??= reporter.progress(args[0], total)).update(received)
      },
    }).finally(() => {
      progress?.stop()
    })
    const beside = file.endsWith('.safetensors') ? await pullBeside(args[0], file, options) : []
    const how = pulled.cached
      ? 'was there already'
      : pulled.resumedAt
      ? `resumed at byte ${pulled.resumedAt}`
      : 'loaded'
    return {
      json: { model: args[0], ...pulled, beside, version: packageVersion() },
      text: `${pulled.path}: ${large(pulled.bytes)}B, ${how}, ${
        pulled.checked === 'none' ? 'the hub gave no checksum, its content looks right' : `${pulled.checked} is right`
      }${beside.length ? `; with ${beside.join(' and ')}` : '; the hub has no configuration of it'}`,
    }
  },
}
