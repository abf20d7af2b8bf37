// `--method`: a name of the registry, or a file of the user's own.
import { InputError } from '../base/errors.ts'
import { isPluginPath, loadPlugin } from '../files/plugin.ts'
import { byScore } from '../pruning/methods/by-score.ts'
import { methodOf } from '../pruning/methods/index.ts'
import type { Method } from '../pruning/methods/method.ts'
import type { Score } from '../pruning/scores/score.ts'

/** A method by name or by file. @throws InputError. */
export async function namedMethod(name: string): Promise<Method> {
  if (!isPluginPath(name)) return methodOf(name)
  const [espalier, models] = await Promise.all([import('../index.ts'), import('../models.ts')])
  const found = await loadPlugin(name, 'method or criterion', (value) => methodFrom(value, name), {
    'espalier': espalier,
    'espalier/models': models,
  })
  return found
}

/** What a module exports as a method; a criterion is one too. Null for anything else. */
function methodFrom(value: unknown, path: string): Method | null {
  if (typeof value !== 'object' || value === null) return null
  const { prune, summary, reads } = value as Partial<Method>, { score, images } = value as Partial<Score>
  if (typeof prune === 'function') {
    if (reads !== 'nothing' && reads !== 'references' && reads !== 'training') {
      throw new InputError(
        `${path}: its method reads ${JSON.stringify(reads)}; expected nothing, references or training`,
      )
    }
    return typeof summary === 'string' ? value as Method : { ...value as Method, summary: path }
  }
  return typeof score === 'function' && typeof images === 'boolean' ? byScore(value as Score, path) : null
}
