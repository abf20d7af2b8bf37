// `--pattern`: names of the registry, or files of the user's own.
import { InputError } from '../base/errors.ts'
import { plain } from '../base/quote.ts'
import { isPluginPath, loadPlugin } from '../files/plugin.ts'
import type { Pattern } from '../sparse/pattern.ts'
import { patternOf } from '../sparse/registry.ts'

/** A pattern by name or by file. @throws InputError. */
export async function namedPattern(name: string): Promise<Pattern> {
  if (!isPluginPath(name)) return patternOf(name)
  const [espalier, models] = await Promise.all([import('../index.ts'), import('../models.ts')])
  return loadPlugin(name, 'pattern', (value) => patternFrom(value, name), {
    'espalier': espalier,
    'espalier/models': models,
  })
}

const methods = ['tile', 'unfit', 'fixedDensity', 'keep', 'pack', 'unpack', 'positions'] as const

/** What a module exports as a pattern; null for anything else, an error for half of one. */
function patternFrom(value: unknown, path: string): Pattern | null {
  if (typeof value !== 'object' || value === null) return null
  const { name, keep, walk } = value as Partial<Pattern>
  if (typeof name !== 'string' || typeof keep !== 'function') return null
  const missing = methods.find((method) => typeof (value as Partial<Pattern>)[method] !== 'function')
  if (missing !== undefined || typeof walk?.wgsl !== 'string' || !Array.isArray(walk.index)) {
    throw new InputError(
      `${plain(path)}: its pattern has no ${
        missing ?? (typeof walk?.wgsl === 'string' ? 'walk.index' : 'walk.wgsl')
      }; make it with definePattern, which fills in what is left out`,
    )
  }
  return value as Pattern
}
