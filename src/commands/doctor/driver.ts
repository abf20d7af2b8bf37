// Which software Vulkan driver fits this distribution, the commands that install it without touching the user's apt
// sources, and why dawn finds no adapter. Text in, text out: host.ts reads the machine and acts.

/** A file of apt sources, one-line (`.list`) or deb822 (`.sources`). */
export interface SourceFile {
  name: string
  text: string
}

/**
 * A way to install the driver with apt: `lists` are contents of a sources file, the user's own mirror first, to try in
 * order.
 */
export interface AptAdvice {
  kind: 'apt'
  distribution: string
  packages: string[]
  /** The release apt must prefer, where the usual one is too old. */
  target: string | null
  lists: string[]
}

/** No way to install the driver from here: why, and what usually helps. */
export interface PlainAdvice {
  kind: 'explain'
  distribution: string
  why: string
  cure: string
}

/** What to do to get a software Vulkan driver on this distribution. */
export type DriverAdvice = AptAdvice | PlainAdvice

const packages = ['mesa-vulkan-drivers', 'libvulkan1']

/** Fields of /etc/os-release, quotes and escapes removed. */
export function parseOsRelease(text: string): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim())
    if (!match) continue
    const [, key, value] = match
    fields[key] = /^(["']).*\1$/.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
  }
  return fields
}

interface Mirror {
  uri: string
  options: Record<string, string>
}

/**
 * The first mirror in the user's apt sources that serves `suite`, with the options that decide whether apt trusts it.
 */
export function findMirror(files: SourceFile[], suite: string): Mirror | null {
  for (const { name, text } of files) {
    for (const entry of name.endsWith('.sources') ? deb822(text) : oneLine(text)) {
      const uri = entry.uris.find((candidate) => /^(https?|file|mirror\+\w+|tor\+https?):/.test(candidate))
      if (uri && entry.suites.includes(suite) && entry.components.includes('main')) {
        return { uri, options: entry.options }
      }
    }
  }
  return null
}

interface Entry {
  uris: string[]
  suites: string[]
  components: string[]
  options: Record<string, string>
}

const kept = ['signed-by', 'trusted', 'check-valid-until']

function oneLine(text: string): Entry[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line)
    if (!match) return []
    const given = (match[1] ?? '').split(/\s+/).filter(Boolean).map((option) => option.split('=') as [string, string])
    return [{
      uris: [match[2]],
      suites: [match[3]],
      components: match[4].trim().split(/\s+/),
      options: Object.fromEntries(given.filter(([key]) => kept.includes(key))),
    }]
  })
}

function deb822(text: string): Entry[] {
  return text.split(/\n\s*\n/).flatMap((paragraph) => {
    const fields: Record<string, string> = {}
    let key = ''
    for (const line of paragraph.split('\n')) {
      if (line.startsWith('#')) continue
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line)
      if (match) fields[key = match[1].toLowerCase()] = match[2]
      else if (key) fields[key] += ' ' + line.trim()
    }
    const words = (name: string) => (fields[name] ?? '').split(/\s+/).filter(Boolean)
    if (!words('types').includes('deb') || /^(no|false|0)$/i.test(fields.enabled ?? 'yes')) return []
    // A key written into the file itself cannot be an option of a one-line source; the distribution's keyring serves
    // then.
    const options = Object.fromEntries(
      kept.filter((name) => fields[name] && !/\s|BEGIN PGP/.test(fields[name])).map((name) => [name, fields[name]]),
    )
    return [{ uris: words('uris'), suites: words('suites'), components: words('components'), options }]
  })
}

/**
 * What to do on the distribution that `osRelease` (the text of /etc/os-release) describes. Dawn refuses Mesa 22.3, so
 * Debian 12 takes Mesa from its backports, and Ubuntu 22.04 from its updates.
 */
export function driverAdvice(osRelease: string, sources: SourceFile[] = [], arch: string = process.arch): DriverAdvice {
  const { ID = '', ID_LIKE = '', VERSION_ID = '', VERSION_CODENAME: codename = '', PRETTY_NAME = ID || 'this system' } =
    parseOsRelease(osRelease)
  const version = Number(VERSION_ID)
  if (ID === 'debian' && codename && (VERSION_ID === '' || version >= 12)) {
    const backports = version === 12 ? `${codename}-backports` : null
    return {
      kind: 'apt',
      distribution: PRETTY_NAME,
      packages,
      target: backports,
      lists: aptLists(
        sources,
        codename,
        backports ? [backports] : [],
        'http://deb.debian.org/debian',
        '/usr/share/keyrings/debian-archive-keyring.gpg',
      ),
    }
  }
  if (ID === 'ubuntu' && codename && version >= 22.04) {
    const archive = arch === 'x64' ? 'http://archive.ubuntu.com/ubuntu' : 'http://ports.ubuntu.com/ubuntu-ports'
    return {
      kind: 'apt',
      distribution: PRETTY_NAME,
      packages,
      target: null,
      lists: aptLists(
        sources,
        codename,
        [`${codename}-updates`],
        archive,
        '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
      ),
    }
  }
  const old = ID === 'debian' || ID === 'ubuntu'
  return {
    kind: 'explain',
    distribution: PRETTY_NAME,
    why: old
      ? `the Mesa that ${PRETTY_NAME} offers is too old for dawn`
      : `the command for ${PRETTY_NAME} is not known to this program`,
    cure: old ? 'use Debian 12 or Ubuntu 22.04 or newer (a container will do)' : usual(`${ID} ${ID_LIKE}`),
  }
}

function aptLists(sources: SourceFile[], suite: string, extra: string[], archive: string, keyring: string): string[] {
  const list = ({ uri, options }: Mirror) => {
    const brackets = Object.entries({ 'signed-by': keyring, ...options }).map(([key, value]) => `${key}=${value}`).join(
      ' ',
    )
    return [suite, ...extra].map((name) => `deb [${brackets}] ${uri} ${name} main\n`).join('')
  }
  const mirror = findMirror(sources, suite)
  return [...new Set([...(mirror ? [list(mirror)] : []), list({ uri: archive, options: {} })])]
}

function usual(family: string): string {
  const table: [RegExp, string][] = [
    [/alpine/, 'dawn needs glibc, which Alpine has not: use a Debian or Ubuntu container'],
    [/ubuntu|debian/, 'usually: sudo apt-get install mesa-vulkan-drivers libvulkan1 (Mesa 23.2 or newer)'],
    [/fedora|rhel|centos/, 'usually: sudo dnf install mesa-vulkan-drivers vulkan-loader'],
    [/suse/, 'usually: sudo zypper install libvulkan_lvp libvulkan1'],
    [/arch/, 'usually: sudo pacman -S vulkan-swrast vulkan-icd-loader'],
  ]
  return table.find(([pattern]) => pattern.test(family))?.[1]
    ?? "install Mesa's software Vulkan driver (lavapipe, Mesa 23.2 or newer) and the Vulkan loader"
}

/**
 * The commands of a plan, given a temporary folder that holds the sources file `driver.list`. Everything apt would keep
 * about its sources goes to that folder, so the user's sources and lists stay as they are; nothing is ever removed.
 */
export function aptSteps(plan: AptAdvice, folder: string): string[][] {
  const options = [
    `Dir::Etc::SourceList=${folder}/driver.list`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${folder}/lists`,
    'Dir::Cache::pkgcache=',
    'Dir::Cache::srcpkgcache=',
    'DPkg::Lock::Timeout=120',
    'Acquire::Retries=2',
    'Acquire::http::Timeout=30',
  ].flatMap((option) => ['-o', option])
  const target = plan.target ? ['-t', plan.target] : []
  // Without the flag, apt calls a failed download of the lists a success.
  return [['apt-get', ...options, 'update', '-qq', '--error-on=any'], [
    'apt-get',
    ...options,
    'install',
    '-y',
    '-qq',
    '--no-remove',
    '--no-install-recommends',
    ...target,
    ...plan.packages,
  ]]
}

/** What the machine has of Vulkan; `icds` are the files that register drivers. */
export interface VulkanFacts {
  platform: string
  /** Where libvulkan.so.1 is, or null. */
  loader: string | null
  icds: { file: string, library: string, libraryFound: boolean }[]
  /** Where ICD files were looked for. */
  searched: string[]
  /** The environment variable that replaces the usual places, if it is set. */
  override: string | null
  /** Version of the distribution's Mesa Vulkan package, if one is installed. */
  mesa: string | null
}

/** One sentence on why dawn found no adapter. */
export function diagnose(facts: VulkanFacts, messages: string[], failure: string | null): string {
  const said = messages.length ? ` (dawn: ${messages.slice(0, 2).join(' ')})` : ''
  if (failure) return failure + said
  if (facts.platform !== 'linux') {
    return `dawn found no adapter on ${facts.platform}, whose graphics system should offer one${said}`
  }
  if (!facts.loader) return 'there is no Vulkan loader (libvulkan.so.1) on this machine, so dawn can reach no driver'
  const from = facts.override
    ? `${facts.override} says to look only in ${facts.searched.join(', ')}`
    : `looked in ${facts.searched.join(', ')}`
  if (!facts.icds.length) return `the Vulkan loader is there but no driver is registered with it: no ICD file (${from})`
  const present = facts.icds.filter((icd) => icd.libraryFound)
  if (!present.length) return `the ICD file ${facts.icds[0].file} names ${facts.icds[0].library}, which is not there`
  const refusal = messages.find((message) => /required|initializing adapter/i.test(message))
  if (refusal) {
    const version = facts.mesa && !facts.override ? ` (Mesa ${facts.mesa})` : ''
    return `dawn refuses the Vulkan driver that is installed${version}: "${refusal}"; it is too old, or too small a GPU`
  }
  return `none of the registered Vulkan drivers starts here (${
    present.map((icd) => icd.file).join(', ')
  }): no such GPU is visible${said}`
}

/** Whether a test run may install the driver by itself: as root, and in CI, in a container, or when told to. */
export function mayInstall(
  { root, container, env }: { root: boolean, container: boolean, env: Record<string, string | undefined> },
): boolean {
  return root && (container || Boolean(env.CI && env.CI !== 'false') || env.ESPALIER_INSTALL_DRIVER === '1')
}
