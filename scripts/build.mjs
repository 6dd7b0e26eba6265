// Builds the addon, and regenerates binding.js and binding.d.ts. `--debug`: quick to build, slow to run. `--target <triple>`:
// the binary of a release, for this platform or another one.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, isMain, main, root, run, tool } from './steps.mjs'
import { checkInstalled, checkToolchain } from './toolchain.mjs'
import { checkLibc, installZig, noZig, zigTarget } from './zig.mjs'

/** Linux: of 64-bit x86 and ARM, with glibc and musl. */
const BY_ZIG = /^(x86_64|aarch64)-unknown-linux-(gnu|musl)$/

/** Builds with the napi command line; the .node file lands in the root of the checkout. */
async function napi(args, env) {
  const fixed = ['build', '--platform', '--js', 'binding.js', '--dts', 'binding.d.ts']
  // --locked is cargo's: a build never changes Cargo.lock behind the reader's back.
  await run(process.execPath, [tool('@napi-rs', 'cli', 'dist', 'cli.js'), ...fixed, ...args, '--', '--locked'], { env })
}

/** For this machine alone: a binary that need not run anywhere else. */
export async function build({ debug = false } = {}) {
  await napi(debug ? [] : ['--release'])
}

/** The target whose binary is released for this platform and can be built with zig, or null. */
export function releasedTarget() {
  const { glibcVersionRuntime } = process.report.getReport().header
  const architecture = { x64: 'x86_64', arm64: 'aarch64' }[process.arch]
  if (noZig() !== null || architecture === undefined) return null
  return `${architecture}-unknown-linux-${glibcVersionRuntime ? 'gnu' : 'musl'}`
}

/** What is released for a target. Returns a note about it. */
export async function buildRelease(target) {
  if (!BY_ZIG.test(target)) return await napi(['--release', '--target', target])
  const reason = noZig()
  if (reason !== null) throw new Stop(`${target} is built with zig: ${reason}`)
  await napi(['--release', '--target', zigTarget(target), '--cross-compile'], await installZig(target))
  const [machine, , , libc] = target.split('-')
  const addon = `midstreamer.linux-${machine === 'x86_64' ? 'x64' : 'arm64'}-${libc}.node`
  return `${await checkLibc(addon, target)}, ${(statSync(join(root, addon)).size / 2 ** 20).toFixed(1)} MiB`
}

if (isMain(import.meta.url))
  await main(async () => {
    const [option, target, ...more] = process.argv.slice(2)
    const known = option === undefined || (option === '--debug' && target === undefined) || (option === '--target' && target !== undefined)
    if (!known || more.length > 0) throw new Stop('usage: build [--debug | --target <triple>]')
    checkToolchain()
    checkInstalled()
    if (option === '--target') console.log((await buildRelease(target)) ?? '')
    else await build({ debug: option === '--debug' })
  })
