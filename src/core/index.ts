// Tensors, trees, the tape and the transformations of functions.
export { grid, launch, type LaunchOptions } from './launch.ts'
export { type DType, empty, type Nested, Tensor, tensor, type TypedArray } from './tensor.ts'
export { copyInto, copyOf, full, zeros } from './fill.ts'
export { describedLeaves, type DescribedLeaf, describedParameters, disposeTree, leaves, type Leaf, mapTree, nameOf,
  namesOf, nodes, parameters, put, take, type Tree, type TreeNode } from './tree.ts'
export { type DeclaresLeaves, isDecayed, type LeafRole, type LeafTraits } from './traits.ts'
export { type AnyOp, type Call, pullback, type PullbackOptions, record, type Rule, type Zero,
  type ZeroRule } from './tape.ts'
export { finite, grad, inference, type Loss, scope, stopGradient, trace, type Trace, valueAndGrad, valueAndGradAux,
  vjp } from './transform.ts'
export { type Precision } from '../gpu/precision.ts'
export { withPrecision } from './precision.ts'
export { firstNonFinite } from './diagnose.ts'
export { compile, type Compiled } from './compile.ts'
export { type AxesSpec, type Link, linksOf, type Mapping } from './axes.ts'
export { op, type OpFunction, opNames, type OpSpec, type Run, type TypedCall } from './op.ts'
export { type OnnxAttribute, type OnnxCall, type OnnxGraph, type OnnxSize, type OnnxValue } from './onnx-form.ts'
export { type Role, roles } from './roles.ts'
