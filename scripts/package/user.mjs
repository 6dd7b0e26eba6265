// A user who has Node and npm and nothing else: no Rust, no install scripts, no configuration of this machine.

import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { run } from '../steps.mjs'
import { expect, name } from './release.mjs'
import { writePrograms } from './programs.mjs'

/** A program that says nothing for so long, in ms, hangs. */
const SILENT_MS = 120_000

/** Node alone in PATH. */
function environment(work) {
  const kept = Object.entries(process.env).filter(([key]) => !/^(npm_|cargo|rust|path$|home$|userprofile$|node_)/i.test(key))
  const bin = join(work, 'bin')
  mkdirSync(bin)
  if (process.platform !== 'win32') symlinkSync(process.execPath, join(bin, 'node'))
  const path = process.platform === 'win32' ? [dirname(process.execPath), process.env.SystemRoot + '\\System32'] : [bin]
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter), HOME: work, USERPROFILE: work }
}

export class User {
  #npm
  #env
  #address

  /** `work` is a folder of this user's, `address` that of the registry. */
  static async create(work, address) {
    const user = new User()
    user.#npm = join((await run('npm', ['root', '--global', '--loglevel=error'], { quiet: true })).trim(), 'npm', 'bin', 'npm-cli.js')
    user.#env = environment(work)
    user.#address = address
    return user
  }

  /** Runs a program in `folder`; what it prints is returned. `env` adds to the user's environment. */
  run(folder, command, args, { env = {}, ...options } = {}) {
    return run(command, args, { cwd: folder, env: { ...this.#env, ...env }, cleanEnv: true, quiet: true, silentMs: SILENT_MS, ...options })
  }

  /** Runs the program `file` and expects that it says it has used the package. */
  async use(folder, what, command, args, options) {
    const output = await this.run(folder, command, args, options)
    const kernel = /^used (\S+)$/m.exec(output)?.[1]
    expect(kernel !== undefined, `${what}: the program ended without having used the package, and printed:\n${output}`)
    console.log(`runs: ${what}, kernel ${kernel}`)
    return output
  }

  npm(folder, ...args) {
    return this.run(folder, process.execPath, [this.#npm, ...args, '--ignore-scripts', '--no-audit', '--no-fund'])
  }

  /** A new folder with the package and the programs in it. */
  async install(folder, ...flags) {
    mkdirSync(folder)
    // Another user has to get in, whatever this one's umask is.
    chmodSync(folder, 0o755)
    writeFileSync(join(folder, 'package.json'), '{ "private": true }')
    writeFileSync(join(folder, '.npmrc'), `registry=${this.#address}\n`)
    await this.npm(folder, 'install', ...flags, name)
    writePrograms(folder, name)
  }

  /** `npm ci` with the lock file that is there. */
  async reinstall(folder, ...flags) {
    rmSync(join(folder, 'node_modules'), { recursive: true })
    await this.npm(folder, 'ci', ...flags)
  }
}

/** Takes the right to write away from a folder and all that is in it, or gives it back. */
export function setWritable(folder, writable) {
  if (writable) chmodSync(folder, 0o755)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) setWritable(path, writable)
    else if (entry.isFile()) chmodSync(path, writable ? 0o644 : 0o444)
  }
  if (!writable) chmodSync(folder, 0o555)
}
