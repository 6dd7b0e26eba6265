// A Rust for wasm32-unknown-unknown: the one that is installed, when it has the standard library for it (`rustup target add
// wasm32-unknown-unknown`) or its source (`rustup component add rust-src`), from which it is compiled along; on Debian, where
// neither is there, Debian's newest compiler with its source, unpacked below target/ and installed nowhere.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fromDebian, noDebian } from '../debian.mjs'
import { Stop } from '../steps.mjs'
import { firstLine } from '../toolchain.mjs'

export const TARGET = 'wasm32-unknown-unknown'

/** Compiler and source, of one version; what they need comes along. */
const DEBIAN = ['rustc-web', 'rust-web-src']

/** How the standard library is compiled along. It is an unstable part of cargo, hence the switch that stable compilers have for it. */
const ALONG = ['-Zbuild-std=std,panic_abort']

const ADVICE = `this Rust has no standard library for ${TARGET}: \`rustup target add ${TARGET}\`, or set RUSTC`

/** The linker that comes with a Rust from rustup, for a compiler that came without one. */
function linker() {
  const sysroot = firstLine('rustc', ['--print', 'sysroot'])
  const rustlib = sysroot && join(sysroot, 'lib', 'rustlib')
  if (!rustlib || !existsSync(rustlib)) return ''
  const found = readdirSync(rustlib).map((host) => join(rustlib, host, 'bin', 'rust-lld')).find(existsSync)
  return found === undefined ? '' : `-C linker=${found} -C linker-flavor=wasm-ld`
}

/** What a compiler needs from cargo to compile for TARGET, or null when it cannot. */
function using(rustc) {
  const sysroot = firstLine(rustc, ['--print', 'sysroot'])
  if (sysroot === null) return null
  const rustlib = join(sysroot, 'lib', 'rustlib')
  if (existsSync(join(rustlib, TARGET))) return { args: [], env: { RUSTC: rustc } }
  if (!existsSync(join(rustlib, 'src', 'rust', 'library'))) return null
  return { args: ALONG, env: { RUSTC: rustc, RUSTC_BOOTSTRAP: '1', RUSTFLAGS: linker() } }
}

/** Why Debian's compiler cannot be had here either, or null. */
function withoutDebian() {
  const reason = noDebian()
  return reason === null ? null : `${ADVICE} (${reason})`
}

/** Why there is no toolchain and none can be fetched, or null. */
export function noWasm() {
  return using(process.env.RUSTC ?? 'rustc') === null ? withoutDebian() : null
}

/** The environment and arguments with which cargo compiles for TARGET; what has to be fetched goes below `folder`. */
export async function wasmToolchain(folder) {
  const reason = noWasm()
  if (reason !== null) throw new Stop(reason)
  const found = using(process.env.RUSTC ?? 'rustc') ?? using(await fromDebian(DEBIAN, join('usr', 'bin', 'rustc'), join(folder, 'rust')))
  if (found === null) throw new Stop(ADVICE)
  return found
}
