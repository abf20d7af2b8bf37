// What gpu-check found, as one page and as the few lines that come first.
import { html, type Html } from '../../src/report/html.ts'
import { packageVersion } from '../../src/files/package.ts'
import { page } from '../../src/report/page.ts'
import { benchSections } from '../html.ts'
import type { BenchReport } from '../schema.ts'
import type { PartResult } from './parts.ts'

const isReport = (result: unknown): result is BenchReport =>
  typeof result === 'object' && result !== null && Array.isArray((result as BenchReport).rows)

/** One page of everything; it fetches nothing. */
export function gpuCheckPage(results: readonly PartResult[]): string {
  const adapter = results.map(({ result }) => result).find(isReport)?.adapter ?? 'no adapter answered'
  return page(`Espalier gpu-check, ${adapter}`, packageVersion(), [
    html`<ul>${summary(results).map((line) => html`<li>${line}</li>`)}</ul>`,
    ...results.map(section),
  ])
}

function section({ name, what, state, seconds, result, said }: PartResult): Html {
  return html`<section><h2>${name}: ${what}</h2>
<p class="small">${state} after ${seconds.toFixed(0)} s</p>
${said && html`<pre>${said}</pre>`}
${
    isReport(result)
      ? benchSections(result)
      : result !== null
        && html`<details><summary>all of it</summary><pre>${JSON.stringify(result, null, 1)}</pre></details>`
  }</section>`
}

/** A line for each part, with what matters most of it. */
export function summary(results: readonly PartResult[]): string[] {
  return results.map(({ name, state, result, said }) => {
    const told = state === 'done' || result !== null ? essence(result) : said?.split('\n').at(-1) ?? ''
    return `${name}: ${state}${told && `, ${told}`}`
  })
}

function essence(result: unknown): string {
  if (typeof result !== 'object' || result === null) return ''
  const { checks, passed, worst, adapter } = result as Record<string, unknown>
  if (typeof checks === 'number') {
    return `${String(passed)} of ${checks} checks passed, the worst error ${String(worst)}`
  }
  if (!isReport(result)) {
    const { name, kind } = (adapter ?? {}) as Record<string, unknown>
    return name ? `${String(name)} (${String(kind)})` : (result as { notes?: string[] }).notes?.join('; ') ?? ''
  }
  const roofs = Object.entries(result.rooflines).map(([profile, { copyGbps, fmaGflops }]) =>
    `${profile} ${copyGbps.toFixed(0)} GB/s, ${fmaGflops.toFixed(0)} GFLOP/s`
  )
  const best = result.rows.toSorted((a, b) => (b.gflops ?? 0) - (a.gflops ?? 0))[0]
  const even = result.breakEven.map(({ pattern, value }) => `${pattern} breaks even at ${value.toFixed(2)}`)
  return [
    `${result.rows.length} rows`,
    ...roofs,
    ...best?.gflops ? [`the most ${best.gflops.toFixed(0)} GFLOP/s (${best.name})`] : [],
    ...even.slice(0, 4),
  ].join('; ')
}
