// What a build needs, checked before anything slow starts, with one message that says what to do.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, root } from './steps.mjs'

/** Oldest Node that the build tools run on. The built package itself runs on Node 18. */
const OLDEST_NODE = '20.17.0'

/** `a >= b` for dotted version numbers; what follows a hyphen is not compared. */
export function atLeast(a, b) {
  const parts = (version) => version.split('-')[0].split('.').map(Number)
  const [left, right] = [parts(a), parts(b)]
  for (let i = 0; i < right.length; i++) {
    const difference = (left[i] ?? 0) - right[i]
    if (difference !== 0) return difference > 0
  }
  return true
}

/** The first line that a command prints, or null when there is no such command. */
export function firstLine(command, args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? stdout.split('\n')[0].trim() : null
}

function checkNode() {
  if (!atLeast(process.versions.node, OLDEST_NODE))
    throw new Stop(
      `this is Node ${process.versions.node}, and the build needs ${OLDEST_NODE} or later.\n` +
        '  Install a current one from https://nodejs.org and run the command again.\n' +
        '  (The built package runs on Node 18; only building it needs more.)',
    )
}

function checkRust() {
  const cargoToml = readFileSync(join(root, 'Cargo.toml'), 'utf8')
  const wanted = /^rust-version = "([\d.]+)"/m.exec(cargoToml)[1]
  const advice =
    `  Install it with https://rustup.rs, or bring it up to date with \`rustup update stable\`, and run the command again.\n` +
    '  To use the package without building it: npm install @neural-trader/midstreamer'
  const rustc = firstLine('rustc', ['--version'])
  if (rustc === null || firstLine('cargo', ['--version']) === null)
    throw new Stop(`Rust was not found, and the build needs Rust ${wanted} or later.\n${advice}`)
  const version = /^rustc (\S+)/.exec(rustc)?.[1]
  if (!version || !atLeast(version, wanted))
    throw new Stop(`this is ${rustc}, and the build needs Rust ${wanted} or later.\n${advice}`)
}

/** Throws a Stop unless Node and Rust are there and new enough. */
export function checkToolchain() {
  checkNode()
  checkRust()
}

/** Throws a Stop unless the development dependencies are installed. */
export function checkInstalled() {
  if (!existsSync(join(root, 'node_modules', '@napi-rs', 'cli')))
    throw new Stop('the development dependencies are not installed: run `npm ci` first.')
}
