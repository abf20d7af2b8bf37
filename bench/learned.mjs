// Methods that learn beside methods that score, at the same budget and the same number of images seen in training (none
// where a row says `cut only`): one `espalier prune` after the other, in processes of their own, and what the smaller
// network takes in turns with the dense one. What is done is in the results file and is not done again; a run that was
// interrupted goes on in its stage.
//
//   node bench/learned.mjs --network net.safetensors --data <training images> --test <images> --out results.json
//     [--macs 0.5,0.6 | --params 0.6] [--seeds 3] [--epochs 3] [--rate 5e-4] [--batch 32] [--flip 0.5]
//     [--variants random,xpruner] [--threads 2] [--set gohsp:rho=0.01,apma:score-rate=0.05]
//   node bench/learned.mjs --latency results.json    times every network once more, where other work disturbed that
//   node bench/learned.mjs --table results.json [--curves curves.svg]
//   node bench/learned.mjs --list
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
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
const learning = (...more) => ({ method: 'xpruner', set: [...short, ...more], learns: 2, rate: 'weight-rate' })
const searching = (...more) => ({
  method: 'apma',
  set: ['search-epochs=2', 'score-rate=0.02', ...more],
  learns: 2,
  rate: 'weight-rate',
})
const softly = (...more) => ({
  method: 'gohsp',
  set: ['soft-epochs=2', 'rho=0.05', 'rho-growth=1.3', 'rho-cap=1000', ...more],
  learns: 2,
  rate: 'soft-rate',
  // Between two projections weights must be able to go to zero: steps times rate of a usual weight and more.
  faster: 4,
})
const scoring = (method, ...flags) => ({ method, references: 512, flags })
const cutOnly = (variant) => ({ ...variant, untrained: true })

/** What is compared. `learns`: epochs of stages before fine-tuning, in the same budget; `untrained`: no training. */
const variants = {
  'random': { method: 'random' },
  'magnitude': { method: 'magnitude' },
  'taylor': scoring('taylor'),
  'pxp': scoring('pxp'),
  'random, cut only': cutOnly({ method: 'random' }),
  'magnitude, cut only': cutOnly({ method: 'magnitude' }),
  'taylor, cut only': cutOnly(scoring('taylor')),
  'pxp, cut only': cutOnly(scoring('pxp')),
  'yeom, iterative, cut only': cutOnly(scoring('yeom', '--steps', '5')),
  'yeom, iterative': scoring('yeom', '--steps', '5'),
  'graph': scoring('graph', '--ranking', 'per-unit'),
  'graph, distinct first': scoring('graph:direction=distinct-first', '--ranking', 'per-unit'),
  'xpruner': learning(),
  'xpruner, no smoothness': learning('smooth=none'),
  'xpruner, no sparsity': learning('sparse=none'),
  'xpruner, uniform thresholds': learning('thresholds=uniform'),
  'xpruner, from relevance': learning('init=relevance'),
  'xpruner, from taylor': learning('init=taylor'),
  'gohsp': softly(),
  'gohsp, distinct first': softly('direction=distinct-first'),
  'gohsp, heads by magnitude': softly('ranking=magnitude'),
  'gohsp, heads at random': softly('ranking=random'),
  'gohsp, heads only': softly('neurons=1'),
  'gohsp, neurons only': softly('heads=1'),
  'gohsp, mask without duals': softly('soft=mask'),
  'gohsp, cut at once': { ...softly('soft-epochs=0'), learns: 0 },
  'apma': searching(),
  'apma, no adjustment': searching('adjust=off'),
  'apma, no similarity': searching('similarity=off'),
  'apma, no start': searching('init=uniform'),
  'apma, no reweighting': searching('reweight=none'),
  'apma, squeeze-excitation': searching('reweight=se'),
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
    latency: { type: 'string' },
    curves: { type: 'string' },
    list: { type: 'boolean', default: false },
    macs: { type: 'string' },
    params: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '3' },
    rate: { type: 'string', default: '5e-4' },
    batch: { type: 'string', default: '32' },
    flip: { type: 'string', default: '0.5' },
    threads: { type: 'string', default: '2' },
    set: { type: 'string', default: '' },
    variants: { type: 'string', default: 'random,magnitude,taylor,pxp,xpruner,gohsp,apma' },
  },
})

/** Images at once where latency is measured. */
const latencyBatch = 8

async function compare() {
  const { network, data, test, out } = flags
  if (!network || !data || !test || !out) throw new Error('expected --network, --data, --test and --out')
  const results = existsSync(out)
    ? JSON.parse(readFileSync(out, 'utf8'))
    : { network, data, test, machine: machine(), runs: [] }
  const names = flags.variants.split(/,(?! )/).map((name) => name.trim())
  const unknown = names.find((name) => !variants[name])
  if (unknown) throw new Error(`no variant '${unknown}'; there are ${Object.keys(variants).join('; ')}`)
  const kind = flags.params === undefined ? 'macs' : 'params'
  const budgets = (flags.params ?? flags.macs ?? '0.5').split(',').map(Number)
  for (const [flag, values] of Object.entries({ [kind]: budgets, ...numbers() })) {
    if (!values.every((value) => value > 0)) throw new Error(`--${flag}: expected numbers above 0`)
  }
  const wanted = Array.from({ length: Number(flags.seeds) }, (_, seed) => seed).flatMap((seed) =>
    budgets.flatMap((budget) => names.map((name) => ({ name, budget, seed })))
  )
  mkdirSync(folderOf(out), { recursive: true })
  for (const { name, budget, seed } of wanted) {
    const file = fileOf(out, { name, kind, budget, seed })
    const args = argumentsOf(variants[name], [`--${kind}`, String(budget)], seed, file)
    const done = results.runs.find((run) =>
      run.name === name && run.budget === budget && run.seed === seed && (run.kind ?? 'macs') === kind
    )
    if (done) {
      const [before, now] = [done.command, `espalier ${args.join(' ')}`].map(withoutPlace)
      if (before === now) continue
      throw new Error(
        `${out} has ${name}, ${kind} ${budget}, seed ${seed} by another command; give another --out\n`
          + `there: ${before}\nnow:   ${now}`,
      )
    }
    const start = performance.now(), ofOthers = childrenCpu()
    const { stdout, status, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', maxBuffer: 1e9 })
    if (status !== 0) throw new Error(`${args.join(' ')}\n${stderr}`)
    const { before, after, rate, notes, stages, version, adapter, pruningMs } = JSON.parse(stdout)
    const total = Math.round((performance.now() - start) / 1000), cpuSeconds = childrenCpu() - ofOthers
    const times = await latency(network, file)
    results.dense ??= { ...pick(before), ...times.before }
    results.runs.push({
      name,
      kind,
      budget,
      seed,
      ...pick(after),
      ...times.after,
      rate,
      epochs: stages.map((stage) => [stage.name, stage.epochs]),
      losses: stages.map((stage) => stage.losses),
      curves: stages.map((stage) => ofNetwork(stage.curves)),
      images: stages.reduce((sum, stage) => sum + stage.epochs * stage.images, 0),
      trainingSeconds: Math.round(pruningMs / 1000),
      seconds: total,
      ...cpuSeconds > 0 && { cpuSeconds: Math.round(cpuSeconds) },
      command: `espalier ${args.join(' ')}`,
      commit: commit(),
      version,
      adapter,
      notes,
    })
    save(out, results)
    console.error(`${name}, ${kind} ${budget}, seed ${seed}: ${(100 * after.top1).toFixed(2)} %`)
  }
  console.log(tableOf(results))
}

/** A command without where it writes and on how many threads, which change no number. */
const withoutPlace = (command) => command.replace(/ --(out|threads) \S+/g, '')

/** Smaller networks lie in a folder of the results file's name, by variant, budget and seed. */
const folderOf = (out) => out.replace(/\.json$/, '') + '-networks'

function fileOf(out, { name, kind = 'macs', budget, seed }) {
  const part = kind === 'macs' ? String(budget) : `${kind}-${budget}`
  return join(folderOf(out), `${name.replace(/\W+/g, '-')}-${part}-${seed}.safetensors`)
}

function save(out, results) {
  writeFileSync(`${out}.new`, `${JSON.stringify(results, null, 1)}\n`)
  renameSync(`${out}.new`, out)
}

/** Times all networks of a results file that still lie beside it. */
async function measureAgain(out) {
  const results = JSON.parse(readFileSync(out, 'utf8'))
  for (const run of results.runs) {
    const file = fileOf(out, run)
    if (!existsSync(file)) {
      console.error(`${file} is not there: not timed; take its row out of the file and run it again`)
      continue
    }
    const { before, after } = await latency(results.network, file)
    Object.assign(run, after, { latencyThreads: Number(flags.threads) })
    Object.assign(results.dense, before)
  }
  save(out, results)
  console.log(tableOf(results))
}

const numbers = () =>
  Object.fromEntries(['seeds', 'epochs', 'rate', 'batch', 'threads'].map((flag) => [flag, [Number(flags[flag])]]))

function argumentsOf(variant, budget, seed, file) {
  const { method, set = [], references, learns = 0, rate: own, faster = 1, untrained, flags: more = [] } = variant
  const { network, data, test, epochs, rate, batch, flip, threads } = flags
  const rest = untrained ? 0 : Number(epochs) - learns
  if (rest < 0) throw new Error(`--epochs ${epochs}: ${method} learns for ${learns} before it fine-tunes`)
  const mine = flags.set.split(',').filter((each) => each.startsWith(`${method}:`)).map((each) =>
    each.slice(method.length + 1)
  )
  // What stands later replaces what stands before.
  const settings = new Map(
    [...set, ...own ? [`${own}=${faster * Number(rate)}`] : [], ...mine].map((each) => each.split(/=(.*)/s)),
  )
  return [
    ...['prune', network, '--method', method, ...budget, '--data', data, '--test', test],
    ...['--batch', batch, '--seed', String(seed), '--flip', flip],
    ...rest ? ['--finetune', String(rest), '--rate', rate] : [],
    ...['--out', file, '--overwrite', '--json', '--quiet', '--adapter', 'cpu', '--threads', threads],
    ...references ? ['--references', String(references)] : [],
    ...more,
    ...[...settings].flatMap(([name, value]) => ['--set', `${name}=${value}`]),
  ]
}

/** Processor time of all ended children in seconds, which a busy machine changes little; 0 where it is not told. */
function childrenCpu() {
  try {
    const [user, system] = readFileSync('/proc/self/stat', 'utf8').split(') ')[1].split(' ').slice(13, 15).map(Number)
    return (user + system) / 100
  } catch {
    return 0
  }
}

/** Curves of the whole network; those of its layers, which have a path, stay in the report. */
const ofNetwork = (curves = {}) => Object.fromEntries(Object.entries(curves).filter(([name]) => !name.includes('.')))

const pick = ({ top1, loss, images, macs, params }) => ({ top1, loss, tested: images, macs, params })

/** Both networks in turns, `latencyBatch` images at once: milliseconds per image, and the share of the dense one's. */
async function latency(dense, small) {
  const [{ close, disposeTree, init, loadCheckpoint }, { inputOf }, { timeBoth }] = await Promise.all(
    ['src/index.js', 'models/registry.js', 'src/train/timing.js'].map((file) => import(`../dist/${file}`)),
  )
  await init({ adapter: 'cpu', threads: Number(flags.threads) })
  try {
    const [one, other] = [await loadCheckpoint(dense), await loadCheckpoint(small)]
    const times = await timeBoth(one.model, other.model, [latencyBatch, ...inputOf(one.architecture)])
    disposeTree([one.model, other.model])
    return times
  } finally {
    await close()
  }
}

const machine = () => ({ cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version })

function commit() {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      encoding: 'utf8',
      cwd: dirname(cli),
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}

const mean = (values) => values.reduce((a, b) => a + b) / values.length

/** Means over seeds, with the standard deviation of one run where there are several; what was not measured is empty. */
function tableOf({ dense, runs }) {
  const keyOf = (run) => `${run.kind ?? 'macs'} ${run.budget}`, whatOf = { macs: 'multiply-adds', params: 'parameters' }
  const budgets = [...new Set(runs.map(keyOf))].sort((a, b) =>
    a.split(' ')[0].localeCompare(b.split(' ')[0]) || b.split(' ')[1] - a.split(' ')[1]
  )
  const titles = budgets.map((key) => key.split(' ')).map(([kind, budget]) =>
    `${Math.round(100 * budget)} % of the ${whatOf[kind]}`
  )
  const overview = Object.keys(variants).flatMap((name) => {
    const cells = budgets.map((key) => runs.filter((run) => run.name === name && keyOf(run) === key))
    return cells.some((found) => found.length) ? [[name, ...cells.map(accuracyOf)]] : []
  })
  const summary = [
    `| top-1, % | ${titles.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(budgets.length)}`,
    ...[['dense', ...budgets.map(() => accuracyOf([dense]))], ...overview].map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n')
  const tables = budgets.map((key, i) => {
    const mine = runs.filter((run) => keyOf(run) === key)
    const rows = Object.keys(variants).flatMap((name) => {
      const found = mine.filter((run) => run.name === name)
      return found.length ? [[name, ...cellsOf(found)]] : []
    })
    const all = [['dense', ...cellsOf([dense])], ...rows]
    return [
      `${titles[i]}:`,
      '',
      '| method | top-1, % | parameters | multiply-adds '
      + `| ms per image, batch ${latencyBatch} | of dense | processor time |`,
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
      ...all.map((cells) => `| ${cells.join(' | ')} |`),
    ].join('\n')
  })
  return [summary, ...tables].join('\n\n')
}

/** In percent, with the standard deviation of a run and their number where there are several. */
function accuracyOf(found) {
  if (!found.length) return ''
  const accuracies = found.map((run) => 100 * run.top1), middle = mean(accuracies)
  const spread = Math.sqrt(accuracies.reduce((sum, each) => sum + (each - middle) ** 2, 0) / (accuracies.length - 1))
  return `${middle.toFixed(1)}${found.length > 1 ? ` ± ${spread.toFixed(1)} (${found.length})` : ''}`
}

const colours = ['#777', '#111', '#16a34a', '#2563eb', '#b45309', '#0891b2', '#ea580c', '#dc2626', '#9333ea', '#be185d']

/** Top-1 by what is removed of the multiply-adds, and losses of one run at the smallest budget, as an SVG file. */
async function curvesOf({ dense, runs }) {
  const { plotFile } = await import('../dist/src/report/plot.js')
  const plain = Object.keys(variants).filter((name) => !name.includes(',') || name === 'yeom, iterative')
  const mine = runs.filter((run) => (run.kind ?? 'macs') === 'macs' && plain.includes(run.name))
  if (!mine.length) throw new Error('--curves: expected rows by --macs of methods with training, found none')
  const smallest = Math.min(...mine.map(({ budget }) => budget)),
    shown = (value) => String(Number(value.toPrecision(3)))
  const names = plain.filter((name) => mine.some((run) => run.name === name))
  const line = (name, points) => ({
    name,
    colour: colours[names.indexOf(name) % colours.length],
    draw: 'line',
    points: points.map(([x, y]) => ({ x, y, low: y, high: y, title: '' })),
  })
  const series = names.map((name) => {
    const budgets = [...new Set(mine.filter((run) => run.name === name).map(({ budget }) => budget))].sort().reverse()
    const at = (budget) =>
      mean(mine.filter((run) => run.name === name && run.budget === budget).map(({ top1 }) => top1))
    return line(name, [[0, 100 * dense.top1], ...budgets.map((budget) => [100 - 100 * budget, 100 * at(budget)])])
  })
  const losses = names.flatMap((name) => {
    const run = mine.find((run) => run.name === name && run.budget === smallest && run.losses)
    if (!run) return []
    // A soft stage's loss is that of its penalty, of another size.
    const points = run.losses.flatMap((losses, stage) => losses.map((loss) => ({ stage: run.epochs[stage][0], loss })))
    return [
      line(
        name,
        points.map(({ stage, loss }, i) => [i + 1, loss, stage]).filter(([, , stage]) => stage !== 'soft-pruning'),
      ),
    ]
  })
  const all = series.flatMap(({ points }) => points), ys = all.map(({ y }) => y)
  // Names stand at the right, so the curves leave some room there.
  const most = Math.max(...all.map(({ x }) => x)), tick = (share) => share <= most ? shown(share) : ''
  const ends = [10 * Math.floor(Math.min(...ys) / 10), 5 * Math.ceil(Math.max(...ys) / 5)]
  return plotFile(
    'Methods at one training budget',
    [
      {
        label: 'top-1',
        x: { label: 'multiply-adds removed, %', tick, ends: [0, 1.4 * most] },
        y: { label: 'top-1, %', tick: shown, ends },
        series,
      },
      {
        label: 'loss',
        x: { label: 'epoch', tick: (epoch) => Number.isInteger(epoch) ? String(epoch) : '' },
        y: { label: `training loss, penalties included, at ${Math.round(100 * smallest)} %`, tick: shown },
        series: losses,
      },
    ].filter(({ series }) => series.length),
  )
}

function cellsOf(found) {
  const of = (key) => found.map((run) => run[key]).filter((value) => value !== undefined)
  const times = of('msPerImage'), shares = of('timeShare'), seconds = of('cpuSeconds')
  const size = (value) => {
    const [unit, by] = value >= 1e9 ? ['G', 1e9] : value >= 1e6 ? ['M', 1e6] : ['k', 1e3]
    return `${(value / by).toPrecision(3)} ${unit}`
  }
  return [
    accuracyOf(found),
    size(mean(of('params'))),
    size(mean(of('macs'))),
    times.length ? mean(times).toFixed(2) : '',
    shares.length ? `${(100 * mean(shares)).toFixed(0)} %` : '',
    seconds.length ? `${(mean(seconds) / 60).toFixed(1)} min` : '',
  ]
}

try {
  if (flags.list) console.log(Object.keys(variants).join('\n'))
  else if (flags.latency) await measureAgain(flags.latency)
  else if (flags.table) {
    const results = JSON.parse(readFileSync(flags.table, 'utf8'))
    if (flags.curves) writeFileSync(flags.curves, await curvesOf(results))
    console.log(tableOf(results))
  } else await compare()
} catch (error) {
  console.error(`learned: ${error.message}`)
  process.exitCode = 1
}
