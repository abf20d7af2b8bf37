// `--set name=value`, which may be given several times.
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'

/** Adds one to those before. @throws InputError. */
export function addSetting(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [, name, value] = /^([\w-]+)=(.*)$/s.exec(text) ?? []
  if (name === undefined) throw new InputError(`--set ${plain(text)}: expected name=value`)
  return { ...before, [name]: value }
}
