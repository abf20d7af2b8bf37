/** The command as it was typed, for reports: `espalier prune net.safetensors --keep 0.5`. */
export const commandLine = (): string => ['espalier', ...process.argv.slice(2).map(shellWord)].join(' ')

/** A word as a shell reads it, in quotes where it must be. */
export const shellWord = (word: string): string =>
  /^[\w./:=,#@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
