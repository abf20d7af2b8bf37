// The bare name `wgsl_reflect` throws in Node; the module file has no type entry of its own.
declare module 'wgsl_reflect/wgsl_reflect.module.js' {
  export * from 'wgsl_reflect/types/index.js'
}
