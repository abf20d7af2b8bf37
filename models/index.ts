// Model families by file; names to constructors come with the loader.
export * from './vit.ts'
export * from './swin.ts'
export * from './flatten.ts'
export * from './vgg.ts'
export * from './resnet.ts'
export * from './mlp.ts'
