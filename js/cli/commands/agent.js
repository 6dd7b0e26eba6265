'use strict'
// agent: runs what a coordinator gives it, with handlers out of a file.

const { X509Certificate } = require('node:crypto')
const api = require('../api.js')
const { CommandError, exitOf, usage } = require('../exit.js')
const { identityText, makeDirectory, readIdentity, renewalFile, replace } = require('../files.js')
const { loadHandlers } = require('../handlers.js')
const { lifetime } = require('../lifetime.js')
const { option, addresses, duration, file, integer, list, string } = require('../options.js')
const shared = require('../shared-options.js')

const command = {
  name: 'agent',
  summary: 'run an agent',
  description: `Runs what a coordinator gives it until SIGTERM or SIGINT, then finishes what it has and ends; a second signal ends it at once. When the connection is lost it dials again.

The handlers are a module whose default export is an object of functions by kind, { 'a.kind': (payload, context) => result }, or a function that returns one; without a default export every exported function counts, under its name. The kinds dtw, dtw.nearest, dtw.matrix, lcs, lcs.matrix and library.search are built in.`,
  options: [
    option('address', 'host:port', addresses, 'of the coordinator; several, separated by commas, are tried in turn (required)'),
    option('handlers', 'file', file, 'module with the handlers', { shown: 'the kinds that are built in' }),
    shared.identity,
    option('state', 'dir', file, 'where renewed identities are kept', { shown: 'with the identity' }),
    option('type', 'type', string, 'what the agent is for', { fallback: 'worker', shown: 'worker' }),
    option('capabilities', 'names', list, 'what tasks may require of it, separated by commas'),
    option('concurrency', 'n', integer(1, 4096), 'tasks that it runs at once', { fallback: 16, shown: '16' }),
    option('connectTimeout', 'duration', duration, 'how long the first login may take', { fallback: duration.read('30s'), shown: '30s' }),
    shared.drain('20s', 'how long what runs may take at the end'),
  ],
  async run({ settings, out }) {
    if (settings.address === undefined) throw usage('--address is required: host:port of the coordinator')
    if (settings.connectTimeout === 0) throw usage('--connect-timeout must be longer than 0')
    const identity = readIdentity(settings.identity, settings.state)
    const handlers = settings.handlers === undefined ? {} : await loadHandlers(settings.handlers)
    const life = lifetime()
    const agent = await connect(settings, identity, handlers, life, out)
    if (agent === undefined) return
    await serve(agent, settings, handlers, life, out)
  },
}

/** The agent, or undefined when a signal came first. */
async function connect(settings, identity, handlers, { signal }, out) {
  const keep = renewalFile(settings.identity, settings.state)
  if (settings.state !== undefined) makeDirectory(settings.state)
  try {
    return await api.Agent.connect({
      address: settings.address,
      identity,
      onIdentity: async (renewed) => {
        replace(keep, identityText(renewed))
        const notAfter = Date.parse(new X509Certificate(renewed.certificate).validTo)
        out.event('identityRenewed', { notAfter, file: keep }, `identity renewed, until ${new Date(notAfter).toISOString()}, in ${keep}`)
      },
      type: settings.type,
      capabilities: settings.capabilities,
      metadata: { pid: String(process.pid), platform: `${process.platform}-${process.arch}` },
      concurrency: settings.concurrency,
      connectTimeoutMs: settings.connectTimeout,
      handlers,
      signal,
    })
  } catch (error) {
    if (error.code === 'ABORTED' && signal.aborted) {
      out.event('stopped', {}, 'stopped before it was connected')
      return undefined
    }
    throw refusal(error)
  }
}

/** What went wrong, with where, and what to do about it. */
function refusal(error) {
  const advice = {
    UNAUTHENTICATED: 'enrol again with a new token, or ask the operator whether the identity was revoked',
    FORBIDDEN: 'the identity is not allowed to do this: look at its grants with `midstreamer ca list`',
    SESSION_REPLACED: 'another process has logged in with this identity: each needs its own',
    PROTOCOL: 'look at the address, and at the versions on both sides',
    CONNECTION: '`midstreamer doctor --address` looks for the reason; QUIC is UDP, which a firewall may not let through',
  }[error.code]
  if (advice === undefined) return error
  return new CommandError(`${error.message} (${error.code})\n${advice}`, { exit: exitOf(error), code: error.code })
}

async function serve(agent, settings, handlers, life, out) {
  const { address } = settings
  const kinds = Object.keys(handlers)
  out.event('started', { id: agent.id, address, kinds, concurrency: settings.concurrency, pid: process.pid },
    `${agent.id} connected to ${address.join(', ')}; ${kinds.length === 0 ? 'the kinds that are built in' : `kinds ${kinds.join(', ')}, and those that are built in`}`)
  agent.on('disconnected', ({ reason }) => out.event('disconnected', { reason }, `disconnected (${reason}); dialling again`, 'warn'))
  agent.on('connected', ({ address: to, coordinator }) => out.event('connected', { address: to, coordinator }, `connected again, to ${to}`))
  const ended = new Promise((resolve) => { agent.on('closed', resolve) })
  const first = await Promise.race([life.stopping.then((signal) => ({ signal })), ended.then((error) => ({ error }))])
  if (first.signal === undefined) {
    if (first.error !== undefined) throw refusal(first.error)
    return
  }
  out.event('stopping', { signal: first.signal }, `${first.signal}: finishes what it has; a second signal ends it at once`)
  await finish(agent, settings.drain, out)
  await agent.close()
  out.event('stopped', {}, 'stopped')
}

/** What is not finished in time is given to another agent as soon as this one is closed. */
async function finish(agent, timeoutMs, out) {
  if (timeoutMs === 0) return
  try {
    await agent.drain({ timeoutMs })
  } catch (error) {
    if (error.code === 'TIMEOUT') out.event('notDrained', {}, 'something still ran: the coordinator gives it to another agent', 'warn')
    else if (error.code !== 'CLOSED') throw error
  }
}

module.exports = { commands: [command] }
