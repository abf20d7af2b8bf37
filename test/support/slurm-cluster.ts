// Slurm for real on this machine: a munged, a slurmctld and two slurmd in a folder of their own, on ports of their own,
// without systemd. Whoever runs the test must be allowed to start them; root is, and anyone who may run slurmd.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus, hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'

const needed = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scancel', 'scontrol']
const path = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

/** Why there can be no cluster here; null where there can. */
export function whyNoSlurm(): string | null {
  const missing = needed.filter((name) => spawnSync('which', [name], { env: { PATH: path } }).status !== 0)
  return missing.length
    ? `no ${missing.join(', ')} here: apt-get install --no-install-recommends slurm-wlm munge`
    : userInfo().uid !== 0
    ? 'two slurmd on one machine start jobs as their user only for root'
    : null
}

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Two nodes, n1 and n2, of one processor each. */
export class Cluster {
  readonly folder: string
  readonly env: Record<string, string>
  private readonly running = new Map<string, ChildProcess>()

  private constructor(folder: string) {
    this.folder = folder
    this.env = { PATH: path, SLURM_CONF: join(folder, 'slurm.conf') }
  }

  /** Starts everything and waits until both nodes are idle. Arrays have at most `arraySize` elements. */
  static async start(arraySize: number): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), 'slurm-'))
    chmodSync(folder, 0o755)
    const at = (name: string) => join(folder, name), user = userInfo().username
    for (const name of ['state', 'spool.n1', 'spool.n2', 'log']) mkdirSync(at(name))
    writeFileSync(at('munge.key'), randomBytes(128), { mode: 0o600 })
    const [controller, n1, n2] = [await freePort(), await freePort(), await freePort()]
    writeFileSync(at('cgroup.conf'), 'CgroupPlugin=cgroup/v1\nConstrainCores=no\n')
    writeFileSync(
      at('slurm.conf'),
      `ClusterName=test
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${controller}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${at('munge.sock')},cred_expire=5
CredType=cred/munge
StateSaveLocation=${at('state')}
SlurmdSpoolDir=${folder}/spool.%n
SlurmctldPidFile=${at('slurmctld.pid')}
SlurmdPidFile=${folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/linear
SlurmdTimeout=6
SlurmctldTimeout=10
KillWait=2
ReturnToService=2
MaxArraySize=${arraySize}
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=n1 NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${n1} CPUs=${cpus().length} State=UNKNOWN
NodeName=n2 NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${n2} CPUs=${cpus().length} State=UNKNOWN
PartitionName=debug Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
`,
    )
    const cluster = new Cluster(folder)
    cluster.daemon('munged', 'munged', [
      '--foreground',
      '--force',
      `--key-file=${at('munge.key')}`,
      `--socket=${at('munge.sock')}`,
      `--pid-file=${at('munged.pid')}`,
      `--log-file=${at('log/munged.log')}`,
      `--seed-file=${at('munged.seed')}`,
    ])
    await wait(500)
    cluster.startController()
    cluster.startNode('n1')
    cluster.startNode('n2')
    for (let i = 0; i < 120; i++) {
      if (cluster.say('sinfo', '-h', '-N', '-o', '%T').trim() === 'idle\nidle') return cluster
      await wait(500)
    }
    const said = cluster.say('sinfo', '-N', '-l')
    await cluster.stop()
    throw new Error(`the nodes do not come up: ${said}`)
  }

  startController(): void {
    this.daemon('slurmctld', 'slurmctld', ['-D', '-v'])
  }

  startNode(name: string): void {
    this.daemon(name, 'slurmd', ['-D', '-N', name, '-v'])
  }

  private daemon(name: string, program: string, args: string[]): void {
    const log = openSync(join(this.folder, 'log', `${name}.out`), 'a')
    this.running.set(name, spawn(program, args, { env: { ...process.env, ...this.env }, stdio: ['ignore', log, log] }))
  }

  /** Ends a daemon at once, as a power cut would; of a node the work of its jobs as well. */
  kill(name: string): void {
    this.running.get(name)?.kill('SIGKILL')
    if (!name.startsWith('n')) return
    // Slurm's own process above a job first: it would report that the job has failed.
    const pids = this.processesOf(name)
    for (const pid of new Set(pids.map(parentOf))) {
      if (nameOf(pid) === 'slurmstepd') endProcess(pid)
    }
    for (const pid of pids) endProcess(pid)
  }

  /** Processes of jobs on a node. */
  processesOf(node: string): number[] {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
      const words = quiet(() => readFileSync(`/proc/${pid}/environ`, 'utf8')).split('\0')
      return words.includes(`SLURMD_NODENAME=${node}`) && words.includes(`SLURM_CONF=${this.env.SLURM_CONF}`)
    })
  }

  /** What one of Slurm's commands prints; nothing where it fails. */
  say(command: string, ...args: string[]): string {
    return spawnSync(command, args, { env: { ...process.env, ...this.env }, encoding: 'utf8' }).stdout
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    this.say('scancel', '--user', userInfo().username)
    await wait(500)
    for (const name of ['n1', 'n2', 'slurmctld', 'munged']) this.running.get(name)?.kill('SIGKILL')
    await wait(200)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function quiet(read: () => string): string {
  try {
    return read()
  } catch {
    return '' // it has ended
  }
}

const nameOf = (pid: number) => quiet(() => readFileSync(`/proc/${pid}/comm`, 'utf8')).trim()

const parentOf = (pid: number) =>
  Number(/^PPid:\s+(\d+)$/m.exec(quiet(() => readFileSync(`/proc/${pid}/status`, 'utf8')))?.[1] ?? 0)

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has ended
  }
}
