// What a hostile input is: files in a folder of its own, a command on them, and how that may end.

/** One input. */
export interface HostileCase {
  /** The kind it is counted under: `safetensors`, `pictures`, ... */
  kind: string
  name: string
  /** Files of its folder; a function makes what is no plain file (a pipe, a link). */
  files: Readonly<Record<string, Uint8Array | string | ((path: string) => void)>>
  /** Arguments of the command line; `$` at their start stands for the folder (`$/net.safetensors`). */
  args: readonly string[]
  /**
   * How it may end: exit codes. `[2]` for what must be refused, `[0, 2]` where a change may have hit nothing that
   * matters.
   */
  codes: readonly number[]
  /** Names of files it may leave; all others must be as they were. */
  leaves?: readonly string[]
  /** Where stdout goes: read by the test, a full device, or a reader that goes away at once. */
  stdout?: 'read' | 'full' | 'closed'
  stderr?: 'read' | 'closed'
  /** Lines for the shell before the command starts (`ulimit -n 24`). */
  shell?: string
  /** Words before the command: a program that starts it as another user, or with mounts of its own. */
  through?: readonly string[]
}
