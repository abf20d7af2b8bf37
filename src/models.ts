// The entry `espalier/models`: model families, their registry, and checkpoints of them.
export * from '../models/index.ts'
export { type Checkpoint, type CheckpointInfo, encodeCheckpoint, loadCheckpoint, type LoadOptions, modelOf, type Origin,
  type ParsedCheckpoint, parseCheckpoint, saveCheckpoint, type SaveOptions } from './checkpoint/checkpoint.ts'
