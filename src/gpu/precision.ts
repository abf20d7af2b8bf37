// How exact the arithmetic is that a program asks for. A word of its own, because `init` takes it and ops read it.

/**
 * `default`: errors of 1e-6 or so of the largest value, as sums in another order have them. `fast`: also kernels with
 * errors up to 3e-5 of it, where they are faster (convolutions of three by three by Winograd's F(4x4, 3x3)). `high`:
 * sums of the very products of the definition and no transforms, as relevance and comparisons to the last digits want
 * it; attribution asks for it by itself.
 */
export type Precision = 'high' | 'default' | 'fast'

/** All of them. */
export const precisions: readonly Precision[] = ['high', 'default', 'fast']
