/**
 * An agent: a process that runs what a coordinator gives it. Start as many as you like, on as many machines.
 *
 *   node examples/agent.mjs --address coordinator.example:4433 --identity /etc/midstreamer/identity --state /var/lib/midstreamer
 *
 * Instead of the options the environment may say MIDSTREAMER_ADDRESS (several, separated by commas, are tried in turn),
 * MIDSTREAMER_IDENTITY and STATE_DIRECTORY. The identity is a directory with certificate.pem, private-key.pem and ca.pem,
 * issued by the swarm's authority: see docs/deployment.md. In the state directory it keeps what a coordinator renews it to,
 * and begins with that when it is started again; what Agent.enroll gave can be put there too (identity.json). SIGTERM or SIGINT: it takes nothing new, finishes what it has, and ends.
 */
import { setImmediate } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Agent } from '@neural-trader/midstreamer'
import { backtest } from './swarm/crossover.mjs'
import { readIdentity, readRenewed, writeRenewed } from './swarm/identity-files.mjs'

const DRAIN_MS = 20_000 // below the time that systemd waits before it kills

/** What starting again does not mend. systemd is told not to: RestartPreventExitStatus=78 (EX_CONFIG). */
const FINAL = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'SESSION_REPLACED', 'PROTOCOL'])
const EXIT_FINAL = 78

const { values: options } = parseArgs({
  options: {
    address: { type: 'string', default: process.env.MIDSTREAMER_ADDRESS },
    identity: { type: 'string', default: process.env.MIDSTREAMER_IDENTITY },
    state: { type: 'string', default: process.env.STATE_DIRECTORY },
  },
})
const kept = options.state && readRenewed(options.state)
if (!options.address || !(options.identity || kept)) {
  console.log('An agent needs to know whom to dial and who it is:\n')
  console.log('  node examples/agent.mjs --address host:port --identity directory\n')
  console.log('node examples/coordinator.mjs starts a coordinator and two agents by itself.')
  process.exit(0)
}

/** Handlers by kind of task. The kinds 'dtw', 'lcs.matrix', 'library.search' and so on are built in beside them. */
const handlers = {
  /** One fast average with several slow ones. */
  async 'backtest.crossover'({ closes, fast, slows, from }, { signal, progress }) {
    const results = []
    for (const slow of slows) {
      // Lets messages in, among them that the task was cancelled or its time is up: then nobody wants the result.
      await setImmediate()
      signal.throwIfAborted()
      const { equity, ...result } = backtest({ closes, fast, slow, from })
      results.push(result)
      progress(results.length / slows.length)
    }
    return results
  },
}

function failed(error) {
  console.error(`agent: ${error.message} (${error.code ?? error.name})`)
  process.exitCode = FINAL.has(error.code) ? EXIT_FINAL : 1
}

async function connect() {
  try {
    return await Agent.connect({
      address: options.address.split(','),
      identity: kept || readIdentity(options.identity),
      onIdentity: options.state ? async (identity) => writeRenewed(options.state, identity) : undefined,
      type: 'worker',
      capabilities: [process.platform],
      metadata: { pid: String(process.pid) },
      concurrency: 4,
      handlers,
    })
  } catch (error) {
    failed(error)
    process.exit()
  }
}

const agent = await connect()
const say = (text) => console.log(`  ${agent.id}: ${text}`)
say(`connected, process ${process.pid}`)

agent.on('disconnected', ({ reason }) => say(`disconnected (${reason}); dialling again`))
agent.on('connected', ({ address }) => say(`connected again to ${address}`))
// Final: another process has logged in with this identity, or it is not trusted any more. Dialling again would not help.
agent.on('closed', (error) => {
  if (error === undefined) return
  failed(error)
  release()
})

let stopping = false
async function stop() {
  if (stopping) return
  stopping = true
  try {
    await agent.drain({ timeoutMs: DRAIN_MS })
  } catch (error) {
    // What is not finished is given to another agent as soon as this one is closed.
    if (error.code !== 'CLOSED') say(`not drained: ${error.message}`)
  }
  await agent.close()
  say('closed')
  release()
}

/** Whatever else would keep the process alive. */
function release() {
  for (const signal of ['SIGINT', 'SIGTERM']) process.removeListener(signal, stop)
  if (process.connected) process.disconnect()
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop)
// Started by another program of ours that is gone.
if (process.connected) process.once('disconnect', stop)
