// `--method` and `--methods`: names of the registry, or files of the user's own.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { InputError } from '../base/errors.ts'
import { plain, quoted } from '../base/quote.ts'
import { isPluginPath, loadPlugin } from '../files/plugin.ts'
import { byCriterion } from '../pruning/methods/by-criterion.ts'
import { methodOf } from '../pruning/methods/index.ts'
import type { Method } from '../pruning/methods/method.ts'
import type { ImportanceCriterion } from '../pruning/scores/criterion.ts'

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

/** A method as a curve names it. */
export interface CurveMethod {
  /** As the user wrote it, `iterative:` included. */
  name: string
  method: Method
  /** Scores anew before each rate. */
  iterative: boolean
  /** The start of the SHA-256 of a user's own file, so that results of an older version are not taken for its own. */
  source?: string
}

/**
 * Methods with commas; `iterative:<method>` scores anew before each rate.
 * @throws InputError for an unknown one, or if one that has no scores is to be iterative.
 */
export async function curveMethods(list: string): Promise<CurveMethod[]> {
  const names = [...new Set(list.split(',').map((name) => name.trim()))]
  const found: CurveMethod[] = []
  for (const name of names) {
    const base = name.replace(/^iterative:/, ''), iterative = base !== name
    const method = await namedMethod(base)
    if (iterative && !method.criterion) {
      throw new InputError(
        `method ${quoted(name)}: ${plain(base)} has no scores that could be computed anew; give it without iterative:`,
      )
    }
    const source = isPluginPath(base) ? { source: digestOf(base) } : {}
    found.push({ name, method, iterative, ...source })
  }
  return found
}

const digestOf = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12)

/** What a module exports as a method; a criterion is one too. Null for anything else. */
function methodFrom(value: unknown, path: string): Method | null {
  if (typeof value !== 'object' || value === null) return null
  const { prune, summary, reads } = value as Partial<Method>, { score, images } = value as Partial<ImportanceCriterion>
  if (typeof prune === 'function') {
    if (reads !== 'nothing' && reads !== 'references' && reads !== 'training') {
      throw new InputError(
        `${path}: its method reads ${JSON.stringify(reads)}; expected nothing, references or training`,
      )
    }
    return typeof summary === 'string' ? value as Method : { ...value as Method, summary: path }
  }
  return typeof score === 'function' && typeof images === 'boolean'
    ? byCriterion(value as ImportanceCriterion, path)
    : null
}
