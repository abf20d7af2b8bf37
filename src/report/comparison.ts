// Methods side by side at one budget: a table with what each came to.
import { count, percent } from './format.ts'
import { html, type Html } from './html.ts'

/** What a network came to by one method. Fractions are 0..1. */
export interface ComparedRun {
  method: string
  top1: number
  /** Multiply-adds of one image. */
  macs: number
  params: number
  /** Epochs of training, by the name of the stage. */
  epochs: readonly (readonly [stage: string, epochs: number])[]
}

/** Networks that were pruned from one, with as many images seen in training. */
export interface Comparison {
  title: string
  /** What was done, in a sentence. */
  summary: string
  /** The dense network first. */
  runs: readonly ComparedRun[]
}

/** The section of a page. */
export function comparisonSection({ title, summary, runs }: Comparison): Html {
  return html`
<section><h2>${title}</h2>
<p>${summary}</p>
<div class="scroll"><table><thead><tr><th>method</th><th>top-1</th><th>multiply-adds</th><th>parameters</th>
<th>trained</th></tr></thead><tbody>${
    runs.map(({ method, top1, macs, params, epochs }) =>
      html`
<tr><th>${method}</th><td>${percent(top1, 1)}</td><td>${count(macs)}</td><td>${count(params)}</td><td>${
        epochs.map(([stage, number]) => `${stage} ${number}`).join(', ')
      }</td></tr>`
    )
  }
</tbody></table></div></section>`
}
