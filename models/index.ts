// Model families by file, the registry of their names, and checkpoints.
export * from './vit.ts'
export * from './swin.ts'
export * from './flatten.ts'
export * from './pvt.ts'
export * from './vgg.ts'
export * from './resnet.ts'
export * from './mlp.ts'
export {
  type Architecture,
  type ArchitectureEntry,
  architectures,
  buildModel,
  checkArchitecture,
  classesOf,
  entryOf,
  type Family,
  fitToData,
  inputOf,
  parseArchitecture,
  preprocessingFor,
  startOf,
} from './registry.ts'
export {
  type Checkpoint,
  type CheckpointInfo,
  encodeCheckpoint,
  loadCheckpoint,
  modelOf,
  type Origin,
  type ParsedCheckpoint,
  parseCheckpoint,
  saveCheckpoint,
  type SaveOptions,
} from '../src/checkpoint/checkpoint.ts'
