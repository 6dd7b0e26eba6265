// Child processes that a test kills and stops, and that never outlive it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { root } from '../swarm.mjs'

/** A module of this folder in a Node of its own. `onLine` gets what it says. Killed after the test, whatever state it is in. */
export function start(t, module, options, onLine = () => {}) {
  const file = fileURLToPath(new URL(module, import.meta.url))
  const child = spawn(process.execPath, [file, JSON.stringify(options)], { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => { errors += text })
  // Its end may come before what is written to it: that is what it is for.
  child.stdin.on('error', () => {})
  createInterface({ input: child.stdout }).on('line', onLine)
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, errors }))
  const running = () => child.exitCode === null && child.signalCode === null
  /** SIGKILL also ends a process that is stopped. */
  const kill = async () => {
    if (running()) child.kill('SIGKILL')
    return ended
  }
  t.after(kill)
  return { child, ended, kill, running, say: (line) => child.stdin.write(`${JSON.stringify(line)}\n`) }
}
