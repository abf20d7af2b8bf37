// FLatten-Swin (Han et al. 2023): Swin with focused linear attention over large windows in the first stages.
import { Swin, type SwinOptions } from './swin.ts'

/** FLatten-Swin-T as published: two linear stages over windows of 56 (stage 2: the whole 28 x 28 map), two softmax stages. */
export const flattenSwinTiny = (options: SwinOptions = {}): Swin => new Swin({ kinds: 'LLSS', windows: [56, 56, 7, 7], ...options })
/** FLatten-Swin-S. */
export const flattenSwinSmall = (options: SwinOptions = {}): Swin => flattenSwinTiny({ depths: [2, 2, 18, 2], ...options })
/** FLatten-Swin-B. */
export const flattenSwinBase = (options: SwinOptions = {}): Swin =>
  flattenSwinTiny({ width: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32], ...options })
