// Features and limits: what the adapter offers, what a device gets when it asks for nothing, what it may ask for.
import { operationError } from './errors.ts'

/**
 * Features of the embedded device. f16 is a storage format here: kernels load, store and convert it, and compute in
 * f32.
 */
export const adapterFeatures: readonly GPUFeatureName[] = ['core-features-and-limits', 'timestamp-query', 'shader-f16']

/** The limits that matter to compute, by name. */
export type Limits = Record<string, number>

// the standard's defaults; 'alignment' limits are better when smaller, all others when larger
const defaults: Limits = {
  maxTextureDimension1D: 8192,
  maxTextureDimension2D: 8192,
  maxTextureDimension3D: 2048,
  maxTextureArrayLayers: 256,
  maxBindGroups: 4,
  maxBindGroupsPlusVertexBuffers: 24,
  maxBindingsPerBindGroup: 1000,
  maxDynamicUniformBuffersPerPipelineLayout: 8,
  maxDynamicStorageBuffersPerPipelineLayout: 4,
  maxSampledTexturesPerShaderStage: 16,
  maxSamplersPerShaderStage: 16,
  maxStorageBuffersPerShaderStage: 8,
  maxStorageTexturesPerShaderStage: 4,
  maxUniformBuffersPerShaderStage: 12,
  maxUniformBufferBindingSize: 65536,
  maxStorageBufferBindingSize: 134217728,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
  maxVertexBuffers: 8,
  maxBufferSize: 268435456,
  maxVertexAttributes: 16,
  maxVertexBufferArrayStride: 2048,
  maxInterStageShaderVariables: 16,
  maxColorAttachments: 8,
  maxColorAttachmentBytesPerSample: 32,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65535,
}

/**
 * What the adapter can do with `memoryLimit` bytes of linear memory; texture and vertex limits are the standard's,
 * unused.
 */
export function adapterLimits(memoryLimit: number): Limits {
  // the control block and one page of kernels must fit beside the largest buffer; 256 keeps it a multiple of every
  // alignment
  const largest = Math.floor((memoryLimit - 65536 * 2) / 256) * 256
  return {
    ...defaults,
    maxBufferSize: largest,
    maxStorageBufferBindingSize: largest,
    maxDynamicUniformBuffersPerPipelineLayout: 16,
    maxDynamicStorageBuffersPerPipelineLayout: 16,
    maxStorageBuffersPerShaderStage: 16,
    minUniformBufferOffsetAlignment: 32,
    minStorageBufferOffsetAlignment: 32,
    maxComputeWorkgroupStorageSize: 262144,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupSizeY: 1024,
    maxComputeWorkgroupSizeZ: 1024,
  }
}

/**
 * The limits of a device that asks for `required`. Throws what `requestDevice` rejects with if the adapter has not got
 * them.
 */
export function deviceLimits(adapter: Limits, required: Record<string, number | undefined> = {}): Limits {
  const limits: Limits = {}
  for (const name in defaults) {
    limits[name] = name.startsWith('min')
      ? defaults[name]
      : Math.min(defaults[name], adapter[name])
  }
  for (const [name, value] of Object.entries(required)) {
    if (value === undefined) continue
    if (!(name in adapter)) throw operationError(`requiredLimits: no limit is called ${name}`)
    const smallerIsBetter = name.startsWith('min')
    if (smallerIsBetter ? value < adapter[name] : value > adapter[name]) {
      throw operationError(`requiredLimits: ${name} ${value} asked for, the embedded device has ${adapter[name]}`)
    }
    if (smallerIsBetter && (value & (value - 1)) !== 0) {
      throw operationError(`requiredLimits: ${name} ${value} is no power of two`)
    }
    limits[name] = smallerIsBetter ? Math.min(limits[name], value) : Math.max(limits[name], value)
  }
  return limits
}

/** Refuses a feature the adapter has not got, as `requestDevice` does; returns the device's set. */
export function deviceFeatures(required: Iterable<string> = []): Set<string> {
  const features = new Set<string>(['core-features-and-limits'])
  for (const name of required) {
    if (!adapterFeatures.includes(name as GPUFeatureName)) {
      throw new TypeError(`requiredFeatures: the embedded device has no ${name}, only ${adapterFeatures.join(', ')}`)
    }
    features.add(name)
  }
  return features
}
