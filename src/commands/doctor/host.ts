// What this machine has of Vulkan, and the one act that changes it: installing Mesa's software driver.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync,
  writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { EspalierError } from '../../base/errors.ts'
import { aptSteps } from './driver.ts'
import type { AptAdvice, SourceFile, VulkanFacts } from './driver.ts'

const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
const listFolder = (folder: string): string[] => {
  try {
    return readdirSync(folder).sort().map((name) => join(folder, name))
  } catch {
    return []
  }
}

/** The text of the file that names the distribution; empty where there is none. */
export function osRelease(): string {
  return readText('/etc/os-release') || readText('/usr/lib/os-release')
}

/** The user's apt sources, read only to find the mirror they use. */
export function aptSources(): SourceFile[] {
  return ['/etc/apt/sources.list', ...listFolder('/etc/apt/sources.list.d')]
    .filter((name) => /\.(list|sources)$/.test(name)).map((name) => ({ name, text: readText(name) }))
}

/** Looks for the Vulkan loader and for registered drivers in the places where the loader itself looks. */
export function vulkanFacts(env: NodeJS.ProcessEnv = process.env): VulkanFacts {
  const triple = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as string] ?? process.arch
  const libraries = [
    ...(env.LD_LIBRARY_PATH ?? '').split(':').filter(Boolean),
    `/usr/lib/${triple}-linux-gnu`,
    `/lib/${triple}-linux-gnu`,
    '/usr/lib64',
    '/lib64',
    '/usr/lib',
    '/lib',
    '/usr/local/lib',
  ]
  const find = (name: string) =>
    name.includes('/')
      ? (existsSync(name) ? name : null)
      : libraries.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null
  const override = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].find((name) => env[name]) ?? null
  const config = env.XDG_CONFIG_HOME ?? join(homedir(), '.config'),
    data = env.XDG_DATA_HOME ?? join(homedir(), '.local/share')
  const searched = override
    ? env[override]!.split(delimiter)
    : [config, '/etc/xdg', '/etc', data, '/usr/local/share', '/usr/share'].map((base) => join(base, 'vulkan/icd.d'))
  const files = searched.flatMap((place) => place.endsWith('.json') ? [place] : listFolder(place)).filter((file) =>
    file.endsWith('.json') && existsSync(file)
  )
  const icds = files.map((file) => {
    const library = libraryOf(file)
    return { file, library, libraryFound: find(library.startsWith('.') ? join(file, '..', library) : library) !== null }
  })
  const mesa = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status} ${Version}', 'mesa-vulkan-drivers'], {
    encoding: 'utf8',
  })
  return {
    platform: process.platform,
    loader: find('libvulkan.so.1'),
    icds,
    searched,
    override,
    mesa: /^installed (.+)$/.exec(mesa.stdout ?? '')?.[1] ?? null,
  }
}

function libraryOf(file: string): string {
  try {
    return String(JSON.parse(readText(file)).ICD.library_path)
  } catch {
    return 'no library (the file is malformed)'
  }
}

/** Whether this process runs in a container, where installing a package disturbs nobody else. */
export function inContainer(): boolean {
  return existsSync('/.dockerenv') || existsSync('/run/.containerenv') || Boolean(process.env.container)
    || /docker|lxc|kubepods|containerd/.test(readText('/proc/1/cgroup'))
}

/** Whether this process may install packages. */
export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/**
 * Installs the driver of `plan`, which takes root. `say` hears of each step.
 * Throws EspalierError with the end of apt's own output when no mirror of the plan works.
 */
export async function installDriver(plan: AptAdvice, say: (step: string) => void = () => {}): Promise<void> {
  let problem = ''
  for (const list of plan.lists) {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-driver-'))
    try {
      chmodSync(folder, 0o755) // apt downloads as a user of its own, who must be able to enter
      mkdirSync(join(folder, 'lists/partial'), { recursive: true })
      writeFileSync(join(folder, 'driver.list'), list)
      problem = ''
      for (const step of aptSteps(plan, folder)) {
        say(
          `${step[0]} ${step.includes('update') ? 'update' : `install ${plan.packages.join(' ')}`} from ${
            /\] (\S+)/.exec(list)?.[1]
          }`,
        )
        problem = await runStep(step)
        if (problem) break
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    if (!problem) return
  }
  throw new EspalierError(`doctor: the driver could not be installed; apt-get said: ${problem}`)
}

/** Runs one command without a terminal; null-like empty text when it worked, else the end of what it printed. */
function runStep([command, ...args]: string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    })
    let output = ''
    const collect = (chunk: Buffer) => {
      output = (output + chunk).slice(-4000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => resolve(error.message))
    child.on(
      'close',
      (code, signal) =>
        resolve(code === 0 ? '' : output.trim().split('\n').slice(-3).join(' ') || `it ended with ${signal ?? code}`),
    )
  })
}
