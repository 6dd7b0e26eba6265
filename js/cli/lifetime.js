'use strict'
// How a process that serves ends: the first signal asks it to finish, the second one ends it.

const { constants } = require('node:os')

/** Not SIGHUP: who started it with nohup wants that to be ignored. */
const SIGNALS = process.platform === 'win32' ? ['SIGINT', 'SIGTERM', 'SIGBREAK'] : ['SIGINT', 'SIGTERM']

/** `stopping`: a promise of the first signal's name; `signal`: aborts with it; `release()` gives the signals back. */
function lifetime() {
  const controller = new AbortController()
  let first
  const stopping = new Promise((resolve) => { first = resolve })
  let stopped = false
  const onSignal = (name) => {
    if (stopped) process.exit(128 + constants.signals[name])
    stopped = true
    controller.abort()
    first(name)
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  const release = () => { for (const name of SIGNALS) process.removeListener(name, onSignal) }
  return { stopping, signal: controller.signal, release }
}

module.exports = { lifetime }
