import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { aptSteps, diagnose, driverAdvice, mayInstall, parseOsRelease } from '../../../src/commands/doctor/driver.ts'
import type { AptAdvice, DriverAdvice, VulkanFacts } from '../../../src/commands/doctor/driver.ts'

const fixture = (name: string) => readFileSync(new URL(`../../fixtures/${name}`, import.meta.url), 'utf8')
const release = (name: string) => fixture(`os-release/${name}`)
const sources = (name: string) => [{ name, text: fixture(`apt/${name}`) }]

function apt(plan: DriverAdvice): AptAdvice {
  if (plan.kind !== 'apt') throw new Error(`expected a plan for apt, got: ${plan.why}`)
  return plan
}

const debianKey = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
const ubuntuKey = '[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]'

test('os-release: quotes go, empty values stay', () => {
  expect(parseOsRelease(`A="x \\"y\\""\nB='z'\n# no\nC=1\nVERSION_CODENAME=""\n`)).toEqual({
    A: 'x "y"',
    B: 'z',
    C: '1',
    VERSION_CODENAME: '',
  })
})

describe('the plan per distribution', () => {
  test('Debian 12 takes Mesa from its backports', () => {
    const plan = apt(driverAdvice(release('debian-12')))
    expect(plan.target).toBe('bookworm-backports')
    expect(plan.lists).toEqual([
      `deb ${debianKey} http://deb.debian.org/debian bookworm main\n`
      + `deb ${debianKey} http://deb.debian.org/debian bookworm-backports main\n`,
    ])
    expect(plan.packages).toEqual(['mesa-vulkan-drivers', 'libvulkan1'])
  })

  test('Debian 13 and testing need no backports', () => {
    expect(apt(driverAdvice(release('debian-13'))).lists).toEqual([
      `deb ${debianKey} http://deb.debian.org/debian trixie main\n`,
    ])
    expect(apt(driverAdvice(release('debian-13'))).target).toBeNull()
    expect(apt(driverAdvice(release('debian-sid'))).lists[0]).toContain(' forky main')
  })

  test('Ubuntu takes its updates too, and has another archive for ARM', () => {
    expect(apt(driverAdvice(release('ubuntu-22.04'), [], 'x64')).lists).toEqual([
      `deb ${ubuntuKey} http://archive.ubuntu.com/ubuntu jammy main\n`
      + `deb ${ubuntuKey} http://archive.ubuntu.com/ubuntu jammy-updates main\n`,
    ])
    expect(apt(driverAdvice(release('ubuntu-24.04'), [], 'arm64')).lists[0]).toContain(
      'http://ports.ubuntu.com/ubuntu-ports noble-updates main',
    )
  })

  test.each([
    ['debian-11', /too old for dawn/, /Debian 12/],
    ['ubuntu-20.04', /too old for dawn/, /Ubuntu 22.04/],
    ['fedora-42', /not known/, /dnf install mesa-vulkan-drivers/],
    ['rocky-9', /not known/, /dnf/],
    ['alpine-3.22', /not known/, /glibc/],
    ['linuxmint-22', /not known/, /apt-get install mesa-vulkan-drivers/],
  ])('%s is explained', (name, why, cure) => {
    const plan = driverAdvice(release(name))
    if (plan.kind !== 'explain') throw new Error('expected an explanation')
    expect(plan.why).toMatch(why)
    expect(plan.cure).toMatch(cure)
  })

  test('no os-release at all is explained', () => {
    expect(driverAdvice('')).toMatchObject({ kind: 'explain', distribution: 'this system' })
  })
})

describe("the user's mirror comes first, the distribution's archive second", () => {
  test('one-line sources: comments, deb-src and other suites do not count; the key stays, the architecture not', () => {
    const { lists } = apt(driverAdvice(release('debian-12'), sources('debian-12-mirror.list')))
    expect(lists).toHaveLength(2)
    expect(lists[0]).toBe(
      'deb [signed-by=/etc/apt/keyrings/example.gpg] https://mirror.example.org/debian bookworm main\n'
        + 'deb [signed-by=/etc/apt/keyrings/example.gpg] https://mirror.example.org/debian bookworm-backports main\n',
    )
    expect(lists[1]).toContain('http://deb.debian.org/debian bookworm main')
  })

  test('deb822 sources: disabled paragraphs and discs do not count', () => {
    const { lists } = apt(driverAdvice(release('ubuntu-24.04'), sources('ubuntu-24.04.sources'), 'x64'))
    expect(lists[0]).toBe(
      `deb ${ubuntuKey} http://de.archive.ubuntu.com/ubuntu/ noble main\n`
        + `deb ${ubuntuKey} http://de.archive.ubuntu.com/ubuntu/ noble-updates main\n`,
    )
    expect(lists).toHaveLength(2)
  })

  test('a mirror that is the archive itself is not tried twice', () => {
    expect(apt(driverAdvice(release('debian-12'), sources('debian-12-docker.sources'))).lists).toHaveLength(1)
  })

  test("a key inside the sources file gives way to the distribution's keyring", () => {
    expect(apt(driverAdvice(release('debian-13'), sources('debian-13-inline-key.sources'))).lists[0])
      .toBe(
        'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] '
          + 'https://inline.example.org/debian trixie main\n',
      )
  })
})

test("the commands keep apt's hands off the user's sources and lists, and remove nothing", () => {
  const steps = aptSteps(apt(driverAdvice(release('debian-12'))), '/tmp/x')
  expect(steps.map((step) => step.find((word) => word === 'update' || word === 'install'))).toEqual([
    'update',
    'install',
  ])
  for (const step of steps) {
    for (
      const option of [
        'Dir::Etc::SourceList=/tmp/x/driver.list',
        'Dir::Etc::SourceParts=/dev/null',
        'Dir::State::Lists=/tmp/x/lists',
      ]
    ) {
      expect(step[step.indexOf(option) - 1]).toBe('-o')
    }
  }
  expect(steps[1]).toContain('--no-remove')
  expect(steps[1].slice(-4)).toEqual(['-t', 'bookworm-backports', 'mesa-vulkan-drivers', 'libvulkan1'])
  expect(aptSteps(apt(driverAdvice(release('debian-13'))), '/tmp/x')[1]).not.toContain('-t')
})

describe('why there is no adapter', () => {
  const icd = { file: '/usr/share/vulkan/icd.d/lvp_icd.json', library: 'libvulkan_lvp.so', libraryFound: true }
  const facts: VulkanFacts = {
    platform: 'linux',
    loader: '/usr/lib/libvulkan.so.1',
    icds: [icd],
    searched: ['/usr/share/vulkan/icd.d'],
    override: null,
    mesa: '22.3.6-1+deb12u2',
  }
  const refused = ['Vulkan shaderUniform*ArrayDynamicIndexing required.'] // what dawn said of Debian 12's own Mesa

  test.each<[string, Partial<VulkanFacts>, string[], string | null, RegExp]>([
    ['no loader', { loader: null, icds: [] }, [], null, /no Vulkan loader \(libvulkan\.so\.1\)/],
    ['no ICD file', { icds: [] }, [], null, /no ICD file \(looked in \/usr\/share\/vulkan\/icd\.d\)/],
    ['an override', { icds: [], override: 'VK_DRIVER_FILES' }, [], null, /VK_DRIVER_FILES says to look only in/],
    [
      'a missing library',
      { icds: [{ ...icd, libraryFound: false }] },
      [],
      null,
      /lvp_icd\.json names libvulkan_lvp\.so, which is not there/,
    ],
    ['an old driver', {}, refused, null, /refuses .* \(Mesa 22\.3\.6-1\+deb12u2\): "Vulkan shaderUniform/],
    [
      'no such GPU',
      {},
      ['vkCreateInstance: Found no drivers!'],
      null,
      /none of the registered Vulkan drivers starts here .* Found no drivers/,
    ],
    ['a crash', {}, [], 'the search for adapters stopped: it was ended by SIGSEGV', /SIGSEGV/],
    ['another system', { platform: 'darwin' }, [], null, /darwin/],
  ])('%s', (_, change, messages, failure, expected) => {
    expect(diagnose({ ...facts, ...change }, messages, failure)).toMatch(expected)
  })
})

test('tests install the driver only as root, and only in CI, in a container, or when told to', () => {
  const may = (root: boolean, container: boolean, env: Record<string, string>) => mayInstall({ root, container, env })
  expect(may(true, true, {})).toBe(true)
  expect(may(true, false, { CI: 'true' })).toBe(true)
  expect(may(true, false, { ESPALIER_INSTALL_DRIVER: '1' })).toBe(true)
  expect(may(true, false, { CI: 'false' })).toBe(false)
  expect(may(true, false, {})).toBe(false)
  expect(may(false, true, { CI: '1', ESPALIER_INSTALL_DRIVER: '1' })).toBe(false)
})
