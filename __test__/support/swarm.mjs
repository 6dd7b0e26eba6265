// A coordinator and agents in this process, over QUIC on loopback.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
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

/** Waits until `condition` holds: for what no event tells. The test runner limits how long. */
export async function until(condition) {
  while (!await condition()) await new Promise((resolve) => { setTimeout(resolve, 5) })
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
