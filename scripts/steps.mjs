// Runs named steps one after another, says which one is running, and ends with a table of their times.

import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the checkout; every command runs here unless told otherwise. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Ends a driver with a message of its own instead of a stack: the reader can act on it. */
export class Stop extends Error {}

const shown = (milliseconds) =>
  milliseconds < 60_000
    ? `${(milliseconds / 1000).toFixed(1)} s`
    : `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`

/** A list of steps with their times and, for those that ran tests, how many passed and failed. */
export class Steps {
  #rows = []
  #started = performance.now()
  passed = 0
  failed = 0

  /** Runs a step that later ones stand on: what it throws ends the run. A string it returns is shown in the table. */
  async step(name, work) {
    console.log(`\n==> ${name}`)
    const started = performance.now()
    const row = { name, state: 'FAILED', note: '' }
    this.#rows.push(row)
    try {
      const note = await work()
      row.state = 'ok'
      if (typeof note === 'string') row.note = note
    } finally {
      row.milliseconds = performance.now() - started
    }
  }

  /** Runs a step that nothing else needs: when it fails the run goes on, and `finish` ends it with an error. */
  async attempt(name, work) {
    try {
      await this.step(name, work)
    } catch (error) {
      console.error(error instanceof Stop ? error.message : error)
    }
  }

  /**
   * Runs steps that nothing else needs side by side, `width` at a time. What they run should hold its output back until it
   * ends: lines of two runners, mixed, are of no use to anybody.
   */
  async attempts(width, list) {
    const left = [...list]
    const lane = async () => {
      for (let next = left.shift(); next; next = left.shift()) await this.attempt(next.name, next.work)
    }
    await Promise.all(Array.from({ length: width }, lane))
  }

  /** A step that cannot run here, with the reason: it is shown, never silently left out. */
  skip(name, reason) {
    console.log(`\n==> ${name}: skipped, ${reason}`)
    this.#rows.push({ name, state: 'skipped', note: reason, milliseconds: 0 })
  }

  /** Adds the tests that a runner reported. */
  count({ passed, failed }) {
    this.passed += passed
    this.failed += failed
  }

  /** Runs a test runner and adds up what it reports, also when tests failed: `counts` reads that from its output. */
  async tests(counts, command, args, options) {
    try {
      this.count(counts(await run(command, args, options)))
    } catch (error) {
      if (error.output) this.count(counts(error.output))
      throw error
    }
  }

  /** Throws when a step failed. */
  finish() {
    const failed = this.#rows.filter((row) => row.state === 'FAILED').map((row) => row.name)
    if (failed.length > 0) throw new Stop(`failed: ${failed.join('; ')}`)
  }

  /** The table of what ran and how long it took. */
  report() {
    const width = Math.max(...this.#rows.map((row) => row.name.length))
    console.log('\nSteps')
    for (const row of this.#rows) {
      const time = row.state === 'skipped' ? '-' : shown(row.milliseconds)
      console.log(`  ${row.name.padEnd(width)}  ${row.state.padEnd(7)}  ${time.padStart(12)}  ${row.note}`.trimEnd())
    }
    console.log(`  ${'all'.padEnd(width)}  ${''.padEnd(7)}  ${shown(performance.now() - this.#started).padStart(12)}`)
  }
}

/** Ends a child and all that it started when nothing is heard of it for some time, and with this process. */
class Watch {
  ended = false
  #child
  #timer
  #silentMs
  #interrupted = (signal) => {
    this.#kill()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }

  constructor(child, silentMs) {
    this.#child = child
    this.#silentMs = silentMs
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, this.#interrupted)
    this.heard()
  }

  heard() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.ended = true
      this.#kill()
    }, this.#silentMs)
  }

  stop() {
    clearTimeout(this.#timer)
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, this.#interrupted)
  }

  #kill() {
    try {
      if (process.platform === 'win32') this.#child.kill()
      else process.kill(-this.#child.pid, 'SIGKILL')
    } catch (error) {
      // It has ended by itself.
      if (error.code !== 'ESRCH') throw error
    }
  }
}

/**
 * Runs a command in the checkout with its output passed through, and returns that output.
 * `env` adds variables (or is all there is, with `cleanEnv`), `quiet` keeps the output back unless the command fails, `held`
 * until it ends. A non-zero exit is a Stop.
 * `silentMs` ends a command, and what it started, that has printed nothing for so long: one that hangs. `uid` and `gid` make
 * it that of another user.
 */
export function run(command, args, { cwd = root, env = {}, cleanEnv = false, quiet = false, held = false, silentMs, uid, gid } = {}) {
  const line = `$ ${[command === process.execPath ? 'node' : command, ...args].join(' ')}`
  if (!quiet) console.log(line)
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: cleanEnv ? env : { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      uid,
      gid,
      // npm is a .cmd file on Windows, which only a shell can start.
      shell: process.platform === 'win32' && command === 'npm',
      // A group of its own, to be ended as one.
      detached: silentMs !== undefined && process.platform !== 'win32',
    })
    const chunks = []
    const watch = silentMs === undefined ? undefined : new Watch(child, silentMs)
    const keep = (stream) => (chunk) => {
      chunks.push(chunk)
      watch?.heard()
      if (!quiet && !held) stream.write(chunk)
    }
    child.stdout.on('data', keep(process.stdout))
    child.stderr.on('data', keep(process.stderr))
    child.on('error', (error) => {
      watch?.stop()
      reject(new Stop(`${command} could not be started: ${error.message}`))
    })
    child.on('close', (code, signal) => {
      watch?.stop()
      const output = Buffer.concat(chunks).toString()
      if (held) process.stdout.write(`\n${line}\n${output}`)
      if (code === 0) return resolve(output)
      if (quiet && !held) process.stderr.write(output)
      const how = watch?.ended ? `was ended: it printed nothing for ${shown(silentMs)}` : `ended with ${signal ?? `exit code ${code}`}`
      const failure = new Stop(`\`${[command, ...args].join(' ')}\` ${how}`)
      failure.output = output
      reject(failure)
    })
  })
}

/** The JavaScript entry of an installed command-line tool, to be run with this node: works on every platform. */
export const tool = (...path) => join(root, 'node_modules', ...path)

/** Whether the module with this `import.meta.url` is the one that node was started with. */
export const isMain = (url) => process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url)

/** Runs a driver: prints a Stop as one message, everything else with its stack, and sets the exit code. */
export async function main(work) {
  try {
    await work()
  } catch (error) {
    console.error(error instanceof Stop ? `\nstopped: ${error.message}` : error)
    process.exitCode = 1
  }
}
