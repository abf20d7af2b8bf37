// Methods that learn beside methods that score, at the same budget and the same number of images seen in training: one
// `espalier prune` after the other, in processes of their own. What is done is in the results file and is not done
// again; a run that was interrupted goes on in its stage.
//
//   node bench/learned.mjs --network net.safetensors --data <training images> --test <images> --out results.json
//     [--macs 0.5,0.6] [--seeds 3] [--epochs 3] [--rate 5e-4] [--batch 32] [--flip 0.5] [--variants random,xpruner]
//     [--threads 2]
//   node bench/learned.mjs --table results.json
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const cli = fileURLToPath(new URL('../dist/src/cli.js', import.meta.url))
const short = [
  'mask-epochs=1',
  'gate-epochs=1',
  'mask-optimizer=adamw',
  'mask-rate=0.02',
  'scores=range',
  'sparsity=0.3',
  'smoothness=0.03',
]
const learning = (...more) => ({ method: 'xpruner', set: [...short, ...more], learns: 2 })
const searching = (...more) => ({ method: 'apma', set: ['search-epochs=2', 'score-rate=0.02', ...more], learns: 2 })

/** What is compared. `learns`: epochs of stages before fine-tuning, which count in the same budget. */
const variants = {
  'random': { method: 'random' },
  'magnitude': { method: 'magnitude' },
  'taylor': { method: 'taylor', references: 512 },
  'pxp': { method: 'pxp', references: 512 },
  'xpruner': learning(),
  'xpruner, no smoothness': learning('smooth=none'),
  'xpruner, no sparsity': learning('sparse=none'),
  'xpruner, uniform thresholds': learning('thresholds=uniform'),
  'xpruner, from relevance': learning('init=relevance'),
  'xpruner, from taylor': learning('init=taylor'),
  'apma': searching(),
  'apma, no adjustment': searching('adjust=off'),
  'apma, no similarity': searching('similarity=off'),
  'apma, no start': searching('init=uniform'),
  'apma, no reweighting': searching('reweight=none'),
  'apma, shared values': searching('v-index=shared'),
  'apma, single channels': searching('init=single-channel'),
  'apma, from taylor': searching('init=taylor'),
}

const { values: flags } = parseArgs({
  options: {
    network: { type: 'string' },
    data: { type: 'string' },
    test: { type: 'string' },
    out: { type: 'string' },
    table: { type: 'string' },
    macs: { type: 'string', default: '0.5' },
    seeds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '3' },
    rate: { type: 'string', default: '5e-4' },
    batch: { type: 'string', default: '32' },
    flip: { type: 'string', default: '0.5' },
    threads: { type: 'string', default: '2' },
    variants: { type: 'string', default: 'random,magnitude,taylor,pxp,xpruner' },
  },
})

function compare() {
  const { network, data, test, out } = flags
  if (!network || !data || !test || !out) throw new Error('expected --network, --data, --test and --out')
  const results = existsSync(out)
    ? JSON.parse(readFileSync(out, 'utf8'))
    : { network, data, test, machine: machine(), runs: [] }
  const names = flags.variants.split(/,(?! )/).map((name) => name.trim())
  const wanted = Array.from({ length: Number(flags.seeds) }, (_, seed) => seed).flatMap((seed) =>
    flags.macs.split(',').flatMap((macs) => names.map((name) => ({ name, macs: Number(macs), seed })))
  )
  const work = join(dirname(resolve(out)), 'learned')
  mkdirSync(work, { recursive: true })
  for (const { name, macs, seed } of wanted) {
    if (results.runs.some((run) => run.name === name && run.budget === macs && run.seed === seed)) continue
    const variant = variants[name]
    if (!variant) throw new Error(`no variant '${name}'; there are ${Object.keys(variants).join(', ')}`)
    const file = join(work, `${name.replace(/\W+/g, '-')}-${macs}-${seed}.safetensors`)
    const args = argumentsOf(variant, macs, seed, file), start = performance.now()
    const { stdout, status, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', maxBuffer: 1e9 })
    if (status !== 0) throw new Error(`${args.join(' ')}\n${stderr}`)
    const { before, after, rate, notes, stages, version, adapter } = JSON.parse(stdout)
    results.dense ??= pick(before)
    results.runs.push({
      name,
      budget: macs,
      seed,
      ...pick(after),
      rate,
      epochs: stages.map((stage) => [stage.name, stage.epochs]),
      images: stages.reduce((sum, stage) => sum + stage.epochs * stage.images, 0),
      seconds: Math.round((performance.now() - start) / 1000),
      command: `espalier ${args.join(' ')}`,
      commit: commit(),
      version,
      adapter,
      notes,
    })
    writeFileSync(`${out}.new`, `${JSON.stringify(results, null, 1)}\n`)
    renameSync(`${out}.new`, out)
    console.error(`${name}, ${macs}, seed ${seed}: ${(100 * after.top1).toFixed(2)} %`)
  }
  console.log(tableOf(results))
}

function argumentsOf({ method, set = [], references, learns = 0 }, macs, seed, file) {
  const { network, data, test, epochs, rate, batch, flip, threads } = flags
  return [
    'prune',
    network,
    '--method',
    method,
    '--macs',
    String(macs),
    ...['--data', data, '--test', test, '--batch', batch, '--seed', String(seed), '--flip', flip],
    ...[
      '--finetune',
      String(Number(epochs) - learns),
      '--rate',
      rate,
      '--out',
      file,
      '--overwrite',
      '--json',
      '--quiet',
    ],
    ...['--adapter', 'cpu', '--threads', threads],
    ...references ? ['--references', String(references)] : [],
    ...[...set, ...set.length ? [`weight-rate=${rate}`] : []].flatMap((each) => ['--set', each]),
  ]
}

const pick = ({ top1, loss, images, macs, params }) => ({ top1, loss, tested: images, macs, params })

const machine = () => ({ cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version })

function commit() {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', cwd: dirname(cli) }).trim()
  } catch {
    return 'unknown'
  }
}

/** Means over seeds, with the standard deviation of one run where there are several. */
function tableOf({ dense, runs }) {
  const budgets = [...new Set(runs.map(({ budget }) => budget))].sort((a, b) => b - a)
  const names = Object.keys(variants).filter((name) => runs.some((run) => run.name === name))
  const cell = (name, budget) => {
    const found = runs.filter((run) => run.name === name && run.budget === budget).map(({ top1 }) => 100 * top1)
    if (!found.length) return ''
    const mean = found.reduce((a, b) => a + b) / found.length
    const spread = Math.sqrt(found.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (found.length - 1))
    return `${mean.toFixed(1)}${found.length > 1 ? ` ± ${spread.toFixed(1)} (${found.length})` : ' (1)'}`
  }
  return [
    `| method | ${
      budgets.map((budget) => `top-1 at ${Math.round(100 * budget)} % of the multiply-adds`).join(' | ')
    } |`,
    `| --- |${budgets.map(() => ' ---: |').join('')}`,
    `| dense | ${budgets.map(() => (100 * dense.top1).toFixed(1)).join(' | ')} |`,
    ...names.map((name) => `| ${name} | ${budgets.map((budget) => cell(name, budget)).join(' | ')} |`),
  ].join('\n')
}

if (flags.table) console.log(tableOf(JSON.parse(readFileSync(flags.table, 'utf8'))))
else compare()
