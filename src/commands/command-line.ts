/** The command as it was typed, for reports: `espalier prune net.safetensors --keep 0.5`. */
export function commandLine(): string {
  return [
    'espalier',
    ...process.argv.slice(2).map((word) =>
      /^[\w./:=,#@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
    ),
  ].join(' ')
}
