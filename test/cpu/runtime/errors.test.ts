// Error scopes: the innermost that fits takes the first error, and what none takes is reported.
import { expect, test } from 'vitest'
import { errorNamed, ErrorScopes, operationError, PipelineError, refuse,
  Refusal } from '../../../src/cpu/runtime/errors.ts'

function scopes() {
  const loose: GPUError[] = []
  return { loose, scopes: new ErrorScopes((error) => loose.push(error)) }
}

test('the innermost scope of the kind takes the first error, outer ones those of other kinds', () => {
  const { loose, scopes: stack } = scopes()
  stack.push('internal')
  stack.push('validation')
  stack.validation('first')
  stack.validation('second')
  expect(stack.pop()?.error?.message).toBe('first')
  stack.validation('third')
  expect(stack.pop()?.error).toBeNull()
  expect(stack.pop()).toBeUndefined()
  expect(loose.map(({ message }) => message)).toEqual(['third'])
})

test('after the loss of the device nothing is reported', () => {
  const { loose, scopes: stack } = scopes()
  stack.silent = true
  stack.validation('late')
  expect(loose).toEqual([])
})

test('a scope of no kind is refused', () => {
  expect(() => scopes().scopes.push('nonsense' as never)).toThrow(
    "'nonsense' is none of validation, out-of-memory, internal",
  )
})

test('errors are told apart by the names of the standard', () => {
  for (const name of ['GPUValidationError', 'GPUOutOfMemoryError', 'GPUInternalError']) {
    expect(errorNamed(name, 'm').constructor.name).toBe(name)
    expect(errorNamed(name, 'm').message).toBe('m')
  }
  expect(() => refuse('no')).toThrow(Refusal)
  expect(operationError('no')).toMatchObject({ name: 'OperationError', message: 'no' })
  expect(new PipelineError('no', 'internal')).toMatchObject({ name: 'GPUPipelineError', reason: 'internal' })
})
