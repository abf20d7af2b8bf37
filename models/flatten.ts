// FLatten transformers (Han et al. 2023): focused linear attention in Swin (over large windows, in the first stages),
// in DeiT and, in pvt.ts, in PVT. Unverified are DeiT and PVT: no weights and no outputs of theirs were at hand; how
// they treat the class token is not shown in the published code, so it is left out and tokens are averaged. Parameters
// and multiply-adds agree with the paper's.
import { Swin, type SwinOptions } from './swin.ts'
import { ViT, type ViTOptions } from './vit.ts'

/**
 * FLatten-Swin-T as published: two linear stages over windows of 56 (stage 2: the whole 28 x 28 map), two softmax
 * stages.
 */
export const flattenSwinTiny = (options: SwinOptions = {}): Swin =>
  new Swin({ kinds: 'LLSS', windows: [56, 56, 7, 7], ...options })
/** FLatten-Swin-S. */
export const flattenSwinSmall = (options: SwinOptions = {}): Swin =>
  flattenSwinTiny({ depths: [2, 2, 18, 2], ...options })
/** FLatten-Swin-B. */
export const flattenSwinBase = (options: SwinOptions = {}): Swin =>
  flattenSwinTiny({ width: 128, depths: [2, 2, 18, 2], heads: [4, 8, 16, 32], ...options })

/** FLatten-DeiT-T (unverified): DeiT-T with focused linear attention in every block. */
export const flattenDeiTTiny = (options: ViTOptions = {}): ViT =>
  new ViT({ attention: 'focused', classToken: false, ...options })
/** FLatten-DeiT-S (unverified). */
export const flattenDeiTSmall = (options: ViTOptions = {}): ViT => flattenDeiTTiny({ width: 384, heads: 6, ...options })
