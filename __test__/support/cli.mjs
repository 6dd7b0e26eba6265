// The command as users run it: the real program in processes of its own.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const BIN = fileURLToPath(new URL('../../bin/midstreamer.js', import.meta.url))

/** A directory that is gone after the test; short, for the sockets in it. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'ms-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Nothing of the environment of whoever runs the tests. */
function environment(more) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MIDSTREAMER_') && name !== 'NODE_TEST_CONTEXT')
  return { ...Object.fromEntries(own), NO_COLOR: '1', ...more }
}

function start(args, { cwd, env = {} }) {
  const child = spawn(process.execPath, [BIN, ...args], { cwd, env: environment(env), stdio: ['pipe', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) child[stream].setEncoding('utf8').on('data', (text) => { texts[stream] += text })
  // Who does not read its input has closed it: that is no failure of the test.
  child.stdin.on('error', () => {})
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, ...texts }))
  })
  return { child, texts, ended }
}

/** Runs a command to its end: `{ code, signal, stdout, stderr }`. */
export async function cli(args, { cwd, env, input = '' } = {}) {
  const { child, ended } = start(args, { cwd, env })
  child.stdin.end(input)
  return await ended
}

/** One that has to work, with its document. */
export async function json(args, options) {
  const { code, stdout, stderr } = await cli([...args, '--json'], options)
  if (code !== 0) throw new Error(`midstreamer ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`)
  return JSON.parse(stdout)
}

/** One that serves: `told(name)` waits for a line of JSON, `stop(signal)` ends it. It is gone after the test. */
export function service(t, args, options = {}) {
  const { child, texts, ended } = start([...args, '--json'], options)
  const seen = []
  const waiters = new Set()
  const check = (waiter) => {
    const found = seen.find(({ event }) => event === waiter.name)
    if (found === undefined) return
    waiters.delete(waiter)
    waiter.resolve(found)
  }
  createInterface({ input: child.stdout }).on('line', (line) => {
    seen.push(JSON.parse(line))
    for (const waiter of waiters) check(waiter)
  })
  ended.then(({ code, stderr }) => {
    for (const { name, reject } of waiters) reject(new Error(`no ${name} before the end with ${code}: ${stderr}`))
  }, () => {})
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    child, ended, seen, texts,
    told: (name) => new Promise((resolve, reject) => {
      const waiter = { name, resolve, reject }
      waiters.add(waiter)
      check(waiter)
    }),
    stop(signal = 'SIGTERM') {
      child.kill(signal)
      return ended
    },
  }
}

export const write = (directory, name, contents) => {
  const path = join(directory, name)
  writeFileSync(path, typeof contents === 'string' ? contents : JSON.stringify(contents))
  return path
}
