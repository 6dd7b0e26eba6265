// Binaries for other Linuxes than this one: zig links against the glibc of 2012, or against musl, and cargo-zigbuild puts it
// under cargo. Both come as Python packages, into target/zig.

import { mkdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Stop, root, run } from './steps.mjs'
import { firstLine } from './toolchain.mjs'

/** The oldest glibc that the binaries run with: that of Node 18's own, and of the oldest systems that it supports. */
const GLIBC = '2.17'

const requirements = join(root, 'scripts', 'zig', 'requirements.txt')
const folder = join(root, 'target', 'zig')
const python = join(folder, 'bin', 'python3')

/** Why zig cannot be had here, or null. */
export function noZig() {
  if (process.platform !== 'linux') return `${process.platform} builds with its own linker`
  return firstLine('python3', ['-c', 'import ensurepip, venv; print(True)']) === null ? 'there is no Python with venv and pip' : null
}

/** The target as napi's command line wants it for zig, with the libc that the binary is to run with. */
export const zigTarget = (target) => (target.endsWith('-gnu') ? `${target}.${GLIBC}` : target)

/** Installs zig, and returns the environment of a build with it. */
export async function installZig(target) {
  const wanted = readFileSync(requirements, 'utf8')
  const has = firstLine(python, ['-c', 'from importlib.metadata import version as v; print(f"cargo-zigbuild=={v(\'cargo-zigbuild\')} ziglang=={v(\'ziglang\')}")'])
  if (has?.replace(' ', '\n') !== wanted.trim()) {
    mkdirSync(folder, { recursive: true })
    await run('python3', ['-m', 'venv', folder])
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-cache-dir', '-r', requirements])
  }
  return {
    PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}`,
    CARGO_ZIGBUILD_CACHE_DIR: join(folder, 'cache'),
    ZIG_GLOBAL_CACHE_DIR: join(folder, 'cache'),
    ZIG_LOCAL_CACHE_DIR: join(folder, 'cache'),
    // An addon is a shared library: it takes the musl of its process.
    ...(target.endsWith('-musl') && { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} -C target-feature=-crt-static`.trim() }),
  }
}

/** Throws a Stop when a binary asks for another libc than its target's, or for a newer one. Returns what it asks for. */
export async function checkLibc(addon, target) {
  const versions = await run('readelf', ['--wide', '--version-info', addon], { quiet: true })
  const symbols = [...versions.matchAll(/\bGLIBC_([0-9.]+)/g)].map(([, version]) => version)
  const newest = symbols.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  if (target.endsWith('-musl')) {
    if (newest !== undefined) throw new Stop(`${addon} is for musl, and asks for glibc ${newest}`)
    const libraries = await run('readelf', ['--wide', '--dynamic', addon], { quiet: true })
    if (!/NEEDED.*\[libc\.(so|musl-\w+\.so\.1)\]/.test(libraries)) throw new Stop(`${addon} does not take the musl of its process`)
    return 'musl'
  }
  if (newest === undefined) throw new Stop(`${addon} asks for no glibc at all`)
  if (newest.localeCompare(GLIBC, 'en', { numeric: true }) > 0) throw new Stop(`${addon} asks for glibc ${newest}, and has to run with ${GLIBC}`)
  return `glibc ${newest}`
}
