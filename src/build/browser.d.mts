import type { BuildOptions, BuildResult, Metafile } from 'esbuild'

export function workerScript(): Promise<string>
export function bundleForBrowser<const Options extends BuildOptions>(
  options: Options,
  worker?: string,
): Promise<BuildResult<Options & { metafile: true }>>
export function licencesOf(metafile: Metafile): string
