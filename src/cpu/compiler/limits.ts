// How large a shader may become in the compiler: beyond these, a text of a few lines could take minutes and gigabytes.
import { WgslError } from '../abi.ts'

/** Bytes of a value that is loaded, constructed or declared as a whole. */
export const valueBytes = 2 ** 18
/** Bytes of a struct. */
export const structBytes = 2 ** 30
/** How deep structs and arrays may lie in each other; the limit of WGSL. */
export const typeNesting = 15

/** What one entry point may come to, counted in statements and calls, over all attempts of lowering. */
export class Budget {
  private left = 4_000_000
  private readonly what: string

  constructor(what: string) {
    this.what = what
  }

  /** @throws WgslError when nothing is left */
  spend(amount: number): void {
    this.left -= amount
    if (this.left < 0) {
      throw new WgslError(
        `${this.what} becomes too large: calls are replaced by the functions they call, and loops over private arrays `
          + 'are unrolled; call less often or less deep',
        1,
        1,
        0,
      )
    }
  }
}

/** Runs a part of the compiler; a text nested so deep that the stack ends is a mistake of the text. */
export function withinStack<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof RangeError) || !/call stack/.test(error.message)) throw error
    throw new WgslError('the shader is nested too deep, or one of its expressions is too long', 1, 1, 0)
  }
}
