// Model families by file, and the registry of their names.
export * from './vit.ts'
export * from './swin.ts'
export * from './flatten.ts'
export * from './pvt.ts'
export * from './vgg.ts'
export * from './resnet.ts'
export * from './mlp.ts'
export { type GraphGate, GraphNetwork, type GraphOptions, type GraphSize, type GraphStep } from './graph.ts'
export { type Architecture, type ArchitectureEntry, architectures, buildModel, checkArchitecture, classesOf, entryOf,
  type Family, fitToData, inputOf, parseArchitecture, preprocessingFor, startOf } from './registry.ts'
