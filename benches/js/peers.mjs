/**
 * The published packages that the benchmark compares with, at the versions of peers.json.
 *
 * Their dependency trees are large and none of the measured functions needs them (neural-trader alone
 * declares twenty-four), so each tarball is packed by npm, checked against its integrity value and
 * unpacked into benches/peers/node_modules, which git ignores. No script of theirs runs.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = fileURLToPath(new URL('../peers/', import.meta.url))
const pinned = JSON.parse(readFileSync(new URL('peers.json', import.meta.url), 'utf8'))

/** Versions by name, of the packages that are compared. */
export const peerVersions = Object.fromEntries(pinned.filter((peer) => !peer.neededBy).map(({ name, version }) => [name, version]))

function npmPack(spec, folder) {
  const args = ['pack', spec, '--ignore-scripts', '--loglevel=error', `--pack-destination=${folder}`]
  const viaNpm = process.env.npm_execpath
  const [command, all] = viaNpm ? [process.execPath, [viaNpm, ...args]] : ['npm', args]
  return execFileSync(command, all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim().split('\n').at(-1)
}

function installPeer({ name, version, integrity }, log) {
  const target = join(home, 'node_modules', name)
  const manifest = join(target, 'package.json')
  const installed = () => existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version
  if (installed()) return
  log(`  fetching ${name} ${version} ...`)
  mkdirSync(dirname(target), { recursive: true })
  const folder = mkdtempSync(join(tmpdir(), 'peer-'))
  // Put in its place at once and whole: test files that run side by side may install the same package.
  const unpacked = mkdtempSync(join(home, 'unpacked-'))
  try {
    const tarball = join(folder, npmPack(`${name}@${version}`, folder))
    const digest = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`
    if (digest !== integrity) throw new Error(`${name} ${version}: ${digest} is not the pinned ${integrity}`)
    execFileSync('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1'])
    if (!installed()) rmSync(target, { recursive: true, force: true })
    try {
      renameSync(unpacked, target)
    } catch (error) {
      if (!installed()) throw error
    }
  } finally {
    for (const used of [folder, unpacked]) rmSync(used, { recursive: true, force: true })
  }
}

const BINARIES = { 'linux-x64': 'linux-x64-gnu', 'darwin-x64': 'darwin-x64', 'darwin-arm64': 'darwin-arm64' }

/** Why neural-trader cannot be loaded here, or undefined: its tarball holds few binaries, the one for Linux needs glibc. */
export function whyNoNeuralTrader() {
  const platform = `${process.platform}-${process.arch}`
  if (!(platform in BINARIES)) return `neural-trader has no binary for ${platform}`
  // A glibc process reports its version; musl does not.
  if (process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime) {
    return 'the Linux binary of neural-trader needs glibc, and this is musl'
  }
  return undefined
}

/** Installs what is missing of these; what loads them. */
export function installPeers(peers, log) {
  for (const peer of peers) installPeer(peer, log)
  return createRequire(join(home, 'index.cjs'))
}

/** One package as its users require it, but without the packages that it declares: neural-trader's entry needs none of them. */
export function loadPeer(name, log = () => {}) {
  return installPeers(pinned.filter((peer) => peer.name === name), log)(name)
}

/**
 * Installs what is missing and loads everything. `neuralTrader` is null where `whyNoNeuralTrader` has a reason; the
 * table then says so.
 */
export function loadPeers(log = () => {}) {
  const load = installPeers(pinned, log)
  const binary = BINARIES[`${process.platform}-${process.arch}`]
  return {
    midstreamer: new (load('midstreamer').TemporalCompare)(),
    neuralTrader: whyNoNeuralTrader() ? null : load(`./node_modules/neural-trader/neural-trader-rust/neural-trader.${binary}.node`),
    Dtw: load('dtw'),
    DynamicTimeWarping: load('dynamic-time-warping'),
  }
}
