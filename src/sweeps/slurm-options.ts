// `--slurm "--partition=gpu --time=2:00:00"`: text that becomes arguments of sbatch. No shell reads it, and nothing in
// it can become the script that sbatch runs or change what this program says of its jobs.
import { InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'

/** What is said by this program, with what to do instead. */
const ours: Record<string, string> = {
  array: '--parallel says how many run at once',
  dependency: 'the arrays and the merging wait for each other by it',
  output: 'logs are in the folder slurm of --out',
  error: 'logs are in the folder slurm of --out',
  chdir: 'tasks run where the command was typed',
  wrap: 'the script is the sweep',
  parsable: 'it is set already',
  wait: 'the command waits anyway, until Ctrl-C',
  'test-only': 'nothing would run',
  requeue: 'it is set already',
  'no-requeue': 'a task whose machine is lost would not be run again',
  clusters: 'log in to that cluster',
  'kill-on-invalid-dep': 'it is set already',
  'open-mode': 'it is set already',
  help: "see 'man sbatch'",
  usage: "see 'man sbatch'",
  version: "see 'sbatch --version'",
}

const short: Record<string, string> = {
  a: 'array',
  d: 'dependency',
  o: 'output',
  e: 'error',
  D: 'chdir',
  W: 'wait',
  M: 'clusters',
  h: 'help',
  V: 'version',
}

/** Short options of sbatch that take no value. */
const bare = 'HkOQsv'

/**
 * The text as arguments, each an option with its value attached. Words end at blanks outside quotes; within single
 * quotes all is meant as it stands, within double quotes and outside a backslash takes what follows as it stands.
 * @throws InputError for an open quote, for words that are no options, and for options that are ours to set.
 */
export function parseSlurmOptions(text: string): string[] {
  const words = split(text), found: string[] = []
  const refuse = (word: string, why: string) => new InputError(`--slurm ${quoted(word)}: ${why}`)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]
    const long = /^--([A-Za-z][\w-]*)(=?)/.exec(word), letter = /^-([A-Za-z])/.exec(word)?.[1]
    if (!long && letter === undefined) {
      throw refuse(
        word,
        "expected an option of sbatch, such as --partition=gpu; write a value behind its option's name",
      )
    }
    const mine = long ? ourName(long[1]) : short[letter!]
    if (mine !== undefined) throw refuse(word, `--${mine} cannot be given, ${ours[mine]}`)
    if (!long && bare.includes(letter!)) {
      if (word.length > 2) throw refuse(word, 'expected one option, found several in one word; write them apart')
      found.push(word)
      continue
    }
    // With its value in the same word nothing that follows can be taken for the name of a script.
    const next = words[i + 1] as string | undefined
    const open = long ? long[2] === '' : word.length === 2
    if (!open || next === undefined || next.startsWith('-')) found.push(word)
    else {
      found.push(long ? `${word}=${next}` : `${word}${next}`)
      i++
    }
  }
  return found
}

/** The option of ours that a name means: sbatch takes the beginnings of names too. */
function ourName(name: string): string | undefined {
  if (name in ours) return name
  const known = ['export', 'export-file', 'exclusive', 'extra-node-info', 'wait-all-nodes', 'hold', 'wckey', 'w']
  return known.includes(name) ? undefined : Object.keys(ours).find((each) => each.startsWith(name))
}

function split(text: string): string[] {
  if (text.includes('\0')) throw new InputError('--slurm: expected text, found a zero byte; leave it out')
  const words: string[] = []
  let word: string | null = null, quote = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i]
    if (quote) {
      if (character === quote) quote = ''
      else if (character === '\\' && quote === '"' && i + 1 < text.length) word += text[++i]
      else word += character
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word)
      word = null
    } else {
      word ??= ''
      if (character === "'" || character === '"') quote = character
      else if (character === '\\' && i + 1 < text.length) word += text[++i]
      else word += character
    }
  }
  if (quote) throw new InputError(`--slurm ${plain(text)}: expected a second ${quote}, found the end; close the quote`)
  if (word !== null) words.push(word)
  return words
}
