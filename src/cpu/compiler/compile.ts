// The compiler's two entries: `analyse` parses and checks a module, `compile` makes WASM of one entry point.
import { WgslError } from '../abi.ts'
import type { BindingInfo, CompiledKernel, CompileOptions, Mode, Module, OverrideInfo } from '../abi.ts'
import { check, globalsOf } from './check.ts'
import { emitKernel } from './emit.ts'
import { encodeModule } from './encode.ts'
import type { WasmFunction } from './encode.ts'
import { raceFunctions, shadowBytes } from './debug.ts'
import { withinStack } from './limits.ts'
import { lower } from './lower.ts'
import { fixOverrides } from './overrides.ts'
import type { Lowered } from './lower.ts'
import { parse } from './parse.ts'
import { splitRegions } from './regions.ts'
import type { Group } from './regions.ts'
import { shareIntegers } from './share.ts'
import { reduceStrength } from './strength.ts'
import type { FunctionDecl, Program, VarDecl } from './tree.ts'
import { roundUp, sizeOf } from './types.ts'
import type { Value } from './values.ts'

export { WgslError }
export type { Module }

/**
 * Parses and type-checks a shader module. `features` are the device's; without it all that the embedded device knows
 * are allowed. Throws WgslError for the first mistake, with all of them in `.errors`.
 */
export function analyse(source: string, features?: Set<string>): Module {
  const program = withinStack(() => parse(source))
  const errors = withinStack(() => check(program))
  if (program.enables.has('f16') && features && !features.has('shader-f16')) {
    errors.push(new WgslError("enable f16 needs the device feature 'shader-f16': request it, or keep to f32", 1, 1, 0))
  }
  const fail = (list: WgslError[]) => {
    list[0].errors = list
    return list[0]
  }
  if (errors.length) throw fail(errors)
  const module: Module = {
    source,
    program,
    entryPoints: entriesOf(program).map((fn) => fn.name),
    overrides: program.decls.filter((d): d is VarDecl => d.kind === 'override').map((d): OverrideInfo => ({
      name: d.name,
      id: d.id,
      type: (d.type as { name: OverrideInfo['type'] }).name,
      hasDefault: d.init !== null,
    })),
    bindings: program.decls.filter((d): d is VarDecl => d.kind === 'var' && d.group >= 0).map(bindingInfo),
  }
  // Barriers in divergent control flow are mistakes of the module, so they are looked for now, with the defaults of
  // overrides.
  if (
    module.overrides.every((o) => o.hasDefault)
    && ['Barrier', 'workgroupUniformLoad'].some((name) => source.includes(name))
  ) {
    for (const entry of entriesOf(program)) {
      try {
        plan(program, entry, fixOverrides(program, {}), 'fast')
      } catch (error) {
        if (error instanceof WgslError) errors.push(error)
        else throw error
      }
    }
  }
  if (errors.length) throw fail(errors)
  return module
}

const entriesOf = (program: Program) =>
  program.decls.filter((d): d is FunctionDecl => d.kind === 'function' && d.workgroupSize !== null)

function bindingInfo(decl: VarDecl): BindingInfo {
  return {
    group: decl.group,
    binding: decl.binding,
    name: decl.name,
    minSize: sizeOf(decl.type),
    kind: decl.space === 'uniform' ? 'uniform' : decl.access === 'read' ? 'read-only-storage' : 'storage',
  }
}

function plan(program: Program, entry: FunctionDecl, constants: Map<VarDecl, Value>, mode: Mode) {
  return withinStack(() => planned(lower(program, entry, constants, mode)))
}
function planned(lowered: Lowered) {
  const { size } = lowered, count = size[0] * size[1] * size[2]
  // the loop's variable, where there is but one loop
  const lane = size.includes(count) ? lowered.state.inputs.index : null
  return { lowered, lane, plan: splitRegions(lowered.body, lane, count) }
}

/** Compiles one entry point with its overrides fixed. Throws WgslError. */
export function compile(module: Module, options: CompileOptions): CompiledKernel {
  const program = module.program as Program, entries = entriesOf(program), mode = options.mode ?? 'fast'
  const entry = options.entryPoint === undefined ? entries[0] : entries.find((e) => e.name === options.entryPoint)
  if (!entry) {
    throw new WgslError(
      `there is no compute entry point '${options.entryPoint ?? ''}': this module has ${
        module.entryPoints.join(', ') || 'none'
      }`,
      1,
      1,
      0,
    )
  }
  if (options.entryPoint === undefined && entries.length > 1) {
    throw new WgslError(`name the entry point: this module has ${module.entryPoints.join(', ')}`, 1, 1, 0)
  }
  const { lowered, lane, plan: { groups, crossing } } = plan(
    program,
    entry,
    fixOverrides(program, options.constants ?? {}),
    mode,
  )
  const { state, size } = lowered, invocations = size[0] * size[1] * size[2]
  if (mode === 'fast' || mode === 'deterministic') {
    reduceStrength(groups, state.privateBytes ? null : lane, invocations)
    shareIntegers(groups)
  }
  // Scratch: workgroup variables, private memory, locals that cross barriers, the shadow of race mode.
  const stride = inOneGo(groups) ? 0 : roundUp(state.privateBytes, 16)
  const privateOffset = roundUp(state.workgroupBytes, 16)
  const crossingOffset = privateOffset + (stride ? stride * invocations : roundUp(state.privateBytes, 16))
  const wide = crossing.filter((l) => l.type === 'v128').length
  const shadowOffset = crossingOffset + roundUp(invocations * (16 * wide + 4 * (crossing.length - wide)), 16)
  const constantOffset = shadowOffset + (mode === 'race' ? roundUp(shadowBytes(state.workgroupBytes), 16) : 0)
  const race = mode === 'race', report = race || mode === 'bounds' || mode === 'nan'
  const functions: WasmFunction[] = race ? raceFunctions({ workgroupBytes: state.workgroupBytes, shadowOffset }) : []
  functions.push(emitKernel(lowered, { groups, crossing }, {
    relaxed: options.relaxed === true && mode !== 'deterministic',
    permuted: mode === 'permuted',
    privateOffset,
    privateStride: stride,
    crossingOffset,
    constantOffset,
    watchAll: mode !== 'fast' && mode !== 'deterministic',
    traceFunction: race ? 2 : null,
    epochFunction: race ? 3 : null,
  }))
  return {
    wasm: encodeModule(functions, { sharedMemory: options.sharedMemory, report }),
    bindings: globalsOf(entry).filter((d) => d.group >= 0).map(bindingInfo),
    workgroupSize: size,
    workgroupStorage: state.workgroupBytes,
    scratchBytes: constantOffset + 16,
    workgroupVariables: state.workgroupVars.map((v) => v.decl.name),
  }
}

/**
 * Whether an invocation runs from beginning to end before the next one starts, so that one private memory serves all.
 */
function inOneGo(groups: Group[]): boolean {
  let regions = 0, loops = false
  const count = (list: Group[]): void => {
    for (const g of list) {
      if (g.op === 'region') regions++
      else if (g.op === 'if') {
        count(g.then)
        count(g.otherwise)
      } else if (g.op === 'block' || g.op === 'loop') {
        loops ||= g.op === 'loop'
        count(g.body)
      }
    }
  }
  count(groups)
  return regions <= 1 && !loops
}
