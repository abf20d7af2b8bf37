/**
 * Optimiser steps of one parameter tensor, as PyTorch takes them. State goes in and comes out; nothing is changed in
 * place.
 */
import { nd } from './nd.ts'
import type { Nd } from './nd.ts'

/** Settings of SGD. `decay` is coupled: it is added to the gradient. */
export interface SgdOptions {
  rate: number
  momentum?: number
  nesterov?: boolean
  decay?: number
}

/** A parameter under SGD and its velocity, zeros before the first step. */
export interface SgdState {
  parameter: Nd
  velocity: Nd
}

/**
 * g = gradient + decay p;  v = momentum v + g;  p -= rate (g + momentum v) with Nesterov, rate v without. Without
 * momentum
 */
export function sgdStep(
  { parameter, velocity }: SgdState,
  gradient: Nd,
  { rate, momentum = 0, nesterov = false, decay = 0 }: SgdOptions,
): SgdState {
  const next = { parameter: nd(parameter.shape), velocity: nd(parameter.shape) }
  parameter.data.forEach((p, i) => {
    const g = gradient.data[i] + decay * p
    const v = momentum * velocity.data[i] + g
    next.velocity.data[i] = v
    next.parameter.data[i] = p - rate * (nesterov ? g + momentum * v : v)
  })
  return next
}

/** Settings of Adam and AdamW. */
export interface AdamOptions {
  rate: number
  beta1?: number
  beta2?: number
  eps?: number
  decay?: number
  /** true (AdamW): p shrinks by rate decay p. false (Adam): decay p is added to the gradient. */
  decoupled?: boolean
}

/** A parameter under Adam, its first and second moments (zeros at first), and the number of steps taken. */
export interface AdamState {
  parameter: Nd
  first: Nd
  second: Nd
  steps: number
}

/**
 * m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g²;  p -= rate (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps), t counted
 * from 1
 */
export function adamStep(
  { parameter, first, second, steps }: AdamState,
  gradient: Nd,
  { rate, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, decay = 0, decoupled = false }: AdamOptions,
): AdamState {
  const t = steps + 1
  const next = { parameter: nd(parameter.shape), first: nd(parameter.shape), second: nd(parameter.shape), steps: t }
  parameter.data.forEach((p, i) => {
    const g = gradient.data[i] + (decoupled ? 0 : decay * p)
    const m = beta1 * first.data[i] + (1 - beta1) * g
    const s = beta2 * second.data[i] + (1 - beta2) * g * g
    const shrunk = decoupled ? p - rate * decay * p : p
    next.first.data[i] = m
    next.second.data[i] = s
    next.parameter.data[i] = shrunk - rate * (m / (1 - beta1 ** t)) / (Math.sqrt(s / (1 - beta2 ** t)) + eps)
  })
  return next
}
