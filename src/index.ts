// The public API. Nothing else is public: models, commands and tests of models import from here.
export { version } from './base/version.ts'
export {
  AdapterError,
  DeviceError,
  DeviceLostError,
  DTypeError,
  EspalierError,
  FreedError,
  InputError,
  KernelError,
  NumericError,
  ShapeError,
} from './base/errors.ts'

export { type AdapterDescription, close, type Gpu, gpu, init, type InitOptions } from './gpu/device.ts'
export { type Memory } from './gpu/buffers.ts'
export { type Kernel, kernel, kernelFromText, type KernelOptions, type Overrides } from './gpu/kernel.ts'
export { type Grid } from './gpu/launches.ts'
export { type ProfileRow, Profiler } from './gpu/profiler.ts'
export { deviceTime } from './gpu/timing.ts'
export { tuned, tuning } from './gpu/tune.ts'
export { grid, launch, type LaunchOptions } from './core/launch.ts'

export { type DType, empty, type Nested, Tensor, tensor, type TypedArray } from './core/tensor.ts'
export { copyInto, copyOf, full, zeros } from './core/fill.ts'
export { disposeTree, leaves, type Leaf, mapTree, parameters, put, take, type Tree } from './core/tree.ts'
export { type Call, pullback, type PullbackOptions, record, type Rule } from './core/tape.ts'
export {
  finite,
  grad,
  lean,
  type Loss,
  scope,
  stopGradient,
  trace,
  type Trace,
  valueAndGrad,
  valueAndGradAux,
  vjp,
} from './core/transform.ts'
export { firstNonFinite } from './core/diagnose.ts'
export { compile, type Compiled } from './core/compile.ts'
export { type AxesSpec, type Link, linksOf, type Mapping } from './core/axes.ts'

export { type AnyOp, op, type OpFunction, type OpSpec, type Run, type TypedCall } from './core/op.ts'
export * from './ops/elementwise.ts'
export * from './ops/reduce.ts'
export { reshape } from './ops/reshape.ts'
export * from './ops/permute.ts'
export * from './ops/gather.ts'
export * from './ops/matmul/matmul.ts'
export * from './ops/matmul/linear.ts'
export { conv2d } from './ops/conv2d/conv2d.ts'
export { depthwise } from './ops/conv2d/depthwise.ts'
export { adaptiveAvgPool, avgPool, maxPool } from './ops/pool.ts'
export { logSoftmax, softmax } from './ops/softmax.ts'
export { crossEntropy, softCrossEntropy } from './ops/cross-entropy.ts'
export { attention, attentionOpen } from './ops/attention/attention.ts'
export { linearAttention } from './ops/attention/linear-attention.ts'
export { layerNorm } from './ops/layernorm.ts'
export { batchNorm, batchNormTrain } from './ops/batchnorm.ts'
export { dropout, dropPath, randomState } from './ops/dropout.ts'
export { gate } from './ops/gate.ts'

export { Attention } from './nn/attention.ts'
export { type Context } from './nn/context.ts'
export { Conv2d, type ConvOptions, Depthwise } from './nn/conv2d.ts'
export { FocusedAttention } from './nn/focused-attention.ts'
export { Gate, type GateOptions } from './nn/gate.ts'
export { initialize, type Scheme } from './nn/init.ts'
export { Linear } from './nn/linear.ts'
export { Mlp } from './nn/mlp.ts'
export { BatchNorm, LayerNorm } from './nn/norm.ts'
export { Patches } from './nn/patches.ts'
export { WindowAttention } from './nn/window-attention.ts'
export { fromWindows, relativeIndex, shiftMask, toWindows } from './nn/windows.ts'

export { adam, adamW, cosineRate, type Optimizer, type OptimizerOptions, sgd, updateAverage } from './train/optim.ts'
export { gatesOf } from './nn/gates.ts'
export { maskModel, unmaskModel } from './pruning/plan/mask.ts'
export { hostWeights, type Plan, sliceModel, type SliceOptions } from './pruning/plan/slice.ts'
export { type Member, type Traceable, type Unit, type UnitOptions, units } from './pruning/units/units.ts'
export { chooseUnits, kindsOf, type UnitKind, unitKinds } from './pruning/units/kinds.ts'
export { type LatencyTable, latencyTable } from './pruning/latency.ts'
export {
  countAt,
  keptOf,
  onlyCuts,
  rank,
  type Ranking,
  type SelectOptions,
  withinBudget,
} from './pruning/plan/select.ts'
export { type Score, type Scores, type Scoring } from './pruning/scores/score.ts'
export { scoreNames, scoreOf } from './pruning/scores/index.ts'
export { planCost, type TrialResult, Trials } from './pruning/trial.ts'
export { type Evaluation, evaluate, type EvaluateOptions, type Model } from './train/evaluate.ts'
export { fit, type FitOptions, type TrainingState } from './train/fit.ts'

export { type Batch, type BatchOptions, type Dataset, openDataset } from './data/datasets.ts'
export { drawReferences, hold, ofClasses } from './data/subset.ts'
export { defaultPreprocessing, type Preprocessing } from './data/preprocess.ts'
export * from './base/random.ts'

export {
  choose,
  type Composite,
  type Group,
  type Line,
  type LrpRule,
  Network,
  on,
  type Place,
} from './attribution/choose.ts'
export * as rules from './attribution/rules.ts'
export {
  attnLRP,
  attnLRPGamma,
  boxOf,
  compositeNames,
  compositeOf,
  cpLRP,
  epsilonAlpha2Beta1,
  epsilonGammaBox,
  epsilonPlus,
  epsilonPlusFlat,
  recipe,
  type Recipe,
  type RuleName,
  type SoftmaxHandling,
  structure,
  zPlusEverywhere,
} from './attribution/composite.ts'
export {
  attentionRollout,
  criterionNames,
  criterionOf,
  gradient,
  gradientTimesInput,
  integratedGradients,
  lrp,
  taylor,
} from './attribution/criteria.ts'
export {
  type Aggregation,
  attribute,
  type Criterion,
  oneHot,
  type Reading,
  type Request,
  scoreUnits,
  type Walk,
} from './attribution/relevance.ts'
export { type Flow, Ledger, summarize } from './attribution/conservation.ts'
export { foldBatchNorm, Identity } from './nn/fold.ts'
