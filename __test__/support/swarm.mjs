// A coordinator and agents in this process, over QUIC on loopback.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Agent, Coordinator } from '@neural-trader/midstreamer'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** A coordinator that is closed after the test. */
export async function coordinator(t, options) {
  const started = await Coordinator.start(options)
  t.after(() => started.close())
  return started
}

/** An agent of a coordinator with a throw-away authority, closed after the test. */
export async function agent(t, of, id, handlers = {}, options = {}) {
  const identity = await of.developmentIdentity(id)
  const connected = await Agent.connect({ address: of.address, identity, handlers, ...options })
  t.after(() => connected.close())
  return connected
}

/** Both. */
export async function swarm(t, handlers, { coordinator: ofCoordinator, agent: ofAgent } = {}) {
  const its = await coordinator(t, ofCoordinator)
  return { coordinator: its, agent: await agent(t, its, 'agent-1', handlers, ofAgent) }
}

/** A promise and what settles it. */
export function deferred() {
  let resolve, reject
  const promise = new Promise((...functions) => { [resolve, reject] = functions })
  return { promise, resolve, reject }
}

/** The next event, as the arguments of its listener. */
export function next(target, event) {
  return new Promise((resolve) => {
    const listener = (...detail) => {
      target.off(event, listener)
      resolve(detail)
    }
    target.on(event, listener)
  })
}

/** How long `until` waits, in milliseconds: not a limit on slow machines, but what never comes must not stop all other tests. */
const UNTIL_MS = 120_000

/** Waits until `condition` holds: for what no event tells. */
export async function until(condition) {
  const end = performance.now() + UNTIL_MS
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`${condition} did not come true within ${UNTIL_MS / 1000} s`)
    await sleep(5)
  }
}

/** How long a process may take to stand still, where nothing tells its state, in milliseconds. */
const HALT_MS = 500

/**
 * Stops a process and waits until it stands still. A signal is only asked for: on a busy machine a process goes on for a
 * while, and may yet answer what it is sent.
 */
export async function halt(child) {
  child.kill('SIGSTOP')
  if (process.platform !== 'linux') return await sleep(HALT_MS)
  const threads = `/proc/${child.pid}/task`
  await until(() => readdirSync(threads).every((thread) => {
    try {
      // The state follows the name, which is in parentheses and may hold some itself.
      return /\) T [^)]*$/.test(readFileSync(`${threads}/${thread}/stat`, 'utf8'))
    } catch (error) {
      // It has ended since the list was read.
      if (error.code === 'ENOENT' || error.code === 'ESRCH') return false
      throw error
    }
  }))
}

/** A module in a Node of its own, with the package imported as `m`: its lines, and how it ended. */
export function program(body) {
  const code = `import * as m from '@neural-trader/midstreamer'\n${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, errors: errors.trim() }))
  return {
    child,
    ended,
    /** The next line, parsed as JSON; what the program wrote to stderr when there is none. */
    async line() {
      const { value, done } = await lines.next()
      if (done) throw new Error(`the program has ended: ${errors}`)
      return JSON.parse(value)
    },
  }
}
