// The layers of the networks that benches are about, as published: ViT (Dosovitskiy et al., 2021; DeiT has the same
// shapes) at 197 tokens, ResNet-50 (He et al., 2016; stride on the 3 x 3) at 224 pixels.

/** A linear layer: x [rows, inner] to [rows, outer], the rows being the tokens of a batch. */
export interface LinearShape {
  name: string
  rows: number
  inner: number
  outer: number
}

/** A convolution of a picture [inner, side, side]. */
export interface ConvolutionShape {
  name: string
  inner: number
  outer: number
  side: number
  kernel: number
  stride: number
  padding: number
}

const widths = { 'vit-t': 192, 'vit-s': 384, 'vit-b': 768 } as const

/** Tokens of a picture of 224 pixels in patches of 16, with the class token. */
const TOKENS = 197

/** Projection and both layers of the perceptron of ViT-Tiny, Small and Base. */
export function vitLayers(batch: number): LinearShape[] {
  const rows = TOKENS * batch
  return Object.entries(widths).flatMap(([name, width]) => [
    { name: `${name} proj`, rows, inner: width, outer: width },
    { name: `${name} fc1`, rows, inner: width, outer: 4 * width },
    { name: `${name} fc2`, rows, inner: 4 * width, outer: width },
  ])
}

/** The stem of ResNet-50 and, of each of its four stages, the three convolutions of a block after the first. */
export function resnet50Layers(): ConvolutionShape[] {
  const stage = (side: number, width: number): ConvolutionShape[] => [
    { name: 'reduce', inner: 4 * width, outer: width, side, kernel: 1, stride: 1, padding: 0 },
    { name: '3x3', inner: width, outer: width, side, kernel: 3, stride: 1, padding: 1 },
    { name: 'expand', inner: width, outer: 4 * width, side, kernel: 1, stride: 1, padding: 0 },
  ]
  const stages = [[56, 64], [28, 128], [14, 256], [7, 512]] as const
  return [
    { name: 'resnet50 stem', inner: 3, outer: 64, side: 224, kernel: 7, stride: 2, padding: 3 },
    ...stages.flatMap(([side, width]) =>
      stage(side, width).map((layer) => ({ ...layer, name: `resnet50 ${side} ${layer.name}` }))
    ),
  ]
}
