// The public API. Nothing else is public.
export * from './core/index.ts'
export * from './ops/index.ts'
export * from './nn/index.ts'
export { version } from './base/version.ts'
export { AdapterError, DeviceError, DeviceLostError, DTypeError, EspalierError, FreedError, InputError, KernelError,
  NumericError, ShapeError } from './base/errors.ts'

export { type AdapterDescription, close, type Gpu, gpu, init, type InitOptions } from './gpu/device.ts'
export { type Memory } from './gpu/buffers.ts'
export { type Kernel, kernel, kernelFromText, type KernelOptions, type Overrides } from './gpu/kernel.ts'
export { type Grid } from './gpu/launches.ts'
export { type ProfileRow, Profiler } from './gpu/profiler.ts'
export { deviceTime } from './gpu/timing.ts'
export { tuned, tuning } from './gpu/tune.ts'

export { adam, adamW, cosineRate, type Optimizer, type OptimizerOptions, sgd, updateAverage } from './train/optim.ts'
export { maskModel, unmaskModel } from './pruning/plan/mask.ts'
export { hostWeights, type Plan, sliceModel, type SliceOptions } from './pruning/plan/slice.ts'
export { type Member, type Traceable, type Unit, type UnitOptions, units } from './pruning/units/units.ts'
export { chooseUnits, type UnitKind, unitKinds } from './pruning/units/kinds.ts'
export { type LatencyTable, latencyTable } from './pruning/latency.ts'
export { countAt, keptOf, onlyCuts, rank, type Ranking, type SelectOptions,
  withinBudget } from './pruning/plan/select.ts'
export { type ImportanceCriterion, type ScoreParts, type Scores, type Scoring,
  type WeightScoring } from './pruning/scores/criterion.ts'
export { criterionNames, criterionOf, methodNames, methodOf, methods } from './pruning/methods/index.ts'
export { byCriterion, goneFirst } from './pruning/methods/by-criterion.ts'
export { type ClassMask, type Method, type MethodOption, type PlannedStage, type Pruned,
  type PruningJob } from './pruning/methods/method.ts'
export { costAt, costPolynomial, type CostPolynomial, goneShare } from './pruning/learning/cost.ts'
export { ascending, constraintLoss, type RateConstraint } from './pruning/learning/dual.ts'
export { type FinetuneOptions } from './pruning/learning/finetune.ts'
export { GateMasks } from './pruning/learning/gate-masks.ts'
export { type StageRecord } from './pruning/learning/record.ts'
export { learnStage, type LearningJob, type StageOptions } from './pruning/learning/stage.ts'
export { rateTarget, type RateTarget } from './pruning/learning/target.ts'
export { type KeepBest, keepBest } from './train/keep-best.ts'
export { prune, type PruneOptions, type PruneResult } from './pruning/prune.ts'
export { prunePattern, type PatternPruneOptions, type PatternPruneResult } from './pruning/pattern.ts'
export { addSums, score, type ScoreOptions, scoresFrom, scoreSums, select } from './pruning/steps.ts'
export { type OnProgress } from './pruning/progress.ts'
export { difference, logitsOf, type Probe, probesOf } from './pruning/check.ts'
export { type FigureOptions, figuresOf, type NetworkFigures, type SizeAndAccuracy,
  sizeAndAccuracy } from './pruning/figures.ts'
export { type CurveOptions, type LearnedCurveOptions, measureCurve, measureLearnedCurve } from './pruning/curve.ts'
export { type Budget, type BudgetContext, type Choice, planWithin } from './pruning/budget.ts'
export { planCost, type TrialOptions, type TrialResult, Trials } from './pruning/trial.ts'
export { type Accuracy, accuracyOf, type Evaluation, evaluate, type EvaluateOptions } from './train/evaluate.ts'
export { timeBoth, timeInTurns, timeOf, type TimeShare, type Timing } from './train/timing.ts'
export { compareTurns, type Comparison, spreadOf, type Spread, takeTurns, type TurnOptions } from './base/turns.ts'
export { sparsity, type Sparsity, type SparsityOptions } from './train/sparsity.ts'
export { fit, type FitOptions, type TrainingState } from './train/fit.ts'
export { type Moment, type ParameterGroup } from './train/groups.ts'
export { type FitHook, type FitRun, type Gradients } from './train/hooks.ts'
export { type BatchLoss, classification, type ClassificationOptions, type Distillation, distilled, type Examples,
  type LossContext } from './train/objective.ts'
export { fitStage, memoryStore, noStore, type Stage, type StateStore } from './train/resume.ts'

export { bytesOf, checkPacked, densityOf } from './sparse/check-packed.ts'
export { checkPattern, type PatternCheck } from './sparse/check-pattern.ts'
export { sparseConv2d, type SparseConvAttrs } from './sparse/conv2d.ts'
export { sparseLinear, sparseLinearAdd, sparseLinearGelu } from './sparse/linear.ts'
export { type TileMaskedOptions, tileMaskedLinear } from './sparse/masked.ts'
export { type Packing } from './sparse/packing.ts'
export { definePattern, type KernelWork, type MatrixShape, type Packed, type Pattern, type PatternKernel,
  type PatternKernels, type PatternSpec, type TileWalk } from './sparse/pattern.ts'
export { type PatternFamily, patternFamilies, patternForms, patternOf,
  type PatternParameter } from './sparse/registry.ts'
export { keepStrongestTiles, keepTiles, packTiles, placeInTile, positionsOf, strongest, stripOf, type Tile, tileScores,
  tilesOf, unpackTiles } from './sparse/tiles.ts'
export { type ChooseOptions, chooseEntries, type EntryScores } from './sparse/choose.ts'
export { chooseSites, putWeight, type WeightSite, type WeightSites, weightSites } from './sparse/sites.ts'
export { densify, sparseWeights, sparsify, type SparsifyOptions } from './sparse/sparsify.ts'
export { type SparseAxes, SparseWeight } from './sparse/weight.ts'

export { type Batch, type BatchOptions, type Dataset, openDataset } from './data/datasets.ts'
export { cached, drawReferences, ofClasses, partOf } from './data/subset.ts'
export { type ImageSource, loadImage, type LoadedImage, type RgbaPixels } from './data/picture.ts'
export { type Pixels, setJpegWasm, type WasmSource } from './data/images.ts'
export { type ByteSource } from './files/bytes.ts'
export { type Files } from './files/files.ts'
export { defaultPreprocessing, type Preprocessing } from './data/preprocess.ts'
export * from './base/random.ts'

export { type Composite, type Line, type LrpRule, on, type OpSelector, rulesFor } from './attribution/composite.ts'
export { type Group, type LayerSelector, Network } from './attribution/network.ts'
export * as rules from './attribution/rules.ts'
export { attnLRP, attnLRPGamma, boxOf, compositeNames, compositeOf, cpLRP, epsilonAlpha2Beta1, epsilonGammaBox,
  epsilonPlus, epsilonPlusFlat, recipe, type Recipe, type RuleName, type SoftmaxHandling, structure,
  zPlusEverywhere } from './attribution/composites.ts'
export { attentionRollout, attributionMethodNames, attributionMethodOf, gradient, gradientTimesInput,
  integratedGradients, lrp, taylor } from './attribution/methods.ts'
export { type Aggregation, attribute, type AttributionMethod, oneHot, type Reading, type Request, scoreUnits,
  type ScoreSums, type Walk } from './attribution/relevance.ts'
export { attributeWeights } from './attribution/weights.ts'
export { type Flow, Ledger, summarize } from './attribution/conservation.ts'
export { firstNonFiniteRelevance } from './attribution/diagnose.ts'
export { type Checkpoint, type CheckpointInfo, encodeCheckpoint, loadCheckpoint, type LoadOptions, modelOf, type Origin,
  type ParsedCheckpoint, parseCheckpoint, saveCheckpoint, type SaveOptions } from './checkpoint/checkpoint.ts'
export { type PackedLayer, type PackedRecord, type SparsityRecord, type SparsityStep } from './checkpoint/packed.ts'
export { exportOnnx, type OnnxExport, type OnnxExportOptions } from './checkpoint/onnx-file.ts'
export { type Build, encodeModel, type LoadedModel, loadModel, type LoadModelOptions, type OwnArchitecture,
  registerArchitecture, type RunState, saveModel, type SaveModelOptions } from './checkpoint/model-file.ts'
export { type Heatmap, heatmapOf, type Picture } from './report/heatmap.ts'
export { type CanvasLike, drawHeatmap, type HeatmapOptions, heatmapPixels, heatmapPng,
  type Shown } from './report/show.ts'
