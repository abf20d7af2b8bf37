// Stands in for Slurm's commands where a test wants to see what is asked of them: run as sbatch, squeue, scancel or
// scontrol (the name of the link to this file). Jobs run on this machine, one element after the other, as soon as those
// they depend on have ended. What was called stands in calls.jsonl of FAKE_SLURM.
import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync,
  writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const state = process.env.FAKE_SLURM, name = basename(process.argv[1]), args = process.argv.slice(2)
const at = (...parts) => join(state, ...parts)
const valueOf = (words, option) => words.find((word) => word.startsWith(`--${option}=`))?.slice(option.length + 3)
const optionCount = (words) => words.findIndex((word) => !word.startsWith('-'))

const elements = (list) =>
  list.replace(/%\d+$/, '').split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })

/** What the process of a job does. */
async function work(id) {
  const { words, cwd } = JSON.parse(readFileSync(at(`${id}.json`), 'utf8')), count = optionCount(words)
  const options = words.slice(0, count), [script, ...rest] = words.slice(count)
  const folder = valueOf(options, 'chdir') ?? cwd, array = valueOf(options, 'array')
  for (const each of valueOf(options, 'dependency')?.split(':').slice(1) ?? []) {
    while (!existsSync(at(`${each}.ended`))) await wait(50)
  }
  for (const element of array === undefined ? [null] : elements(array)) {
    const own = element === null ? id : `${id}_${element}`
    const log = valueOf(options, 'output').replace(
      /%(.)/g,
      (_, letter) => ({ '%': '%', A: id, a: element, j: id })[letter],
    )
    for (let restarts = 0; restarts < 10; restarts++) {
      rmSync(at(`${own}.requeue`), { force: true })
      const out = openSync(log, 'a')
      spawnSync('/bin/sh', [join(folder, script), ...rest], {
        cwd: folder,
        stdio: ['ignore', out, out],
        env: {
          ...process.env,
          SLURM_JOB_ID: own,
          SLURM_RESTART_COUNT: String(restarts),
          SLURMD_NODENAME: 'fake1',
          ...element !== null && { SLURM_ARRAY_TASK_ID: String(element) },
        },
      })
      closeSync(out)
      if (!existsSync(at(`${own}.requeue`))) break
    }
  }
  writeFileSync(at(`${id}.ended`), '')
}

const commands = {
  sbatch() {
    if (args[0] === '--version') return console.log('slurm 22.05.8')
    if (process.env.FAKE_SLURM_REFUSES && args.some((word) => word.includes(process.env.FAKE_SLURM_REFUSES))) {
      console.error('sbatch: error: Batch job submission failed: Job violates accounting/QOS policy')
      process.exit(1)
    }
    let id = 100
    while (existsSync(at(`${id}.json`))) id++
    writeFileSync(at(`${id}.json`), JSON.stringify({ words: args, cwd: process.cwd() }))
    const log = openSync(at('runner.log'), 'a')
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'work', String(id)], {
      detached: true,
      stdio: ['ignore', log, log],
    })
    writeFileSync(at(`${id}.pid`), String(child.pid))
    child.unref()
    console.log(id)
  },
  squeue() {
    for (const id of valueOf(args, 'jobs').split(',')) {
      if (existsSync(at(`${id}.json`)) && !existsSync(at(`${id}.ended`))) console.log(`${id}_0|RUNNING|fake1`)
    }
  },
  scancel() {
    for (const id of args.filter((word) => /^\d+$/.test(word))) {
      if (existsSync(at(`${id}.ended`))) continue
      try {
        process.kill(-Number(readFileSync(at(`${id}.pid`), 'utf8')), 'SIGKILL') // with the job that it runs
      } catch {
        // it has just ended
      }
      writeFileSync(at(`${id}.ended`), '')
    }
  },
  scontrol() {
    if (args[0] === 'requeue') writeFileSync(at(`${args[1]}.requeue`), '')
    else console.log(`SlurmctldHost[0] = here\nMaxArraySize            = ${process.env.FAKE_SLURM_ARRAY ?? 1001}\n`)
  },
}

if (args[0] === 'work') await work(args[1])
else {
  mkdirSync(state, { recursive: true })
  appendFileSync(at('calls.jsonl'), `${JSON.stringify([name, ...args])}\n`)
  commands[name]()
}
