'use strict'
// coordinator: runs one, for tasks that come over the control socket and for AgentDB nodes that replicate.

const api = require('../api.js')
const { X509Certificate } = require('node:crypto')
const path = require('node:path')
const { usage } = require('../exit.js')
const { openAuthority } = require('../authority.js')
const { serveControl } = require('../control.js')
const { identityText, makeDirectory, parseIdentity, readIdentity, readText, replace } = require('../files.js')
const { lifetime } = require('../lifetime.js')
const { option, address, duration, file, integer } = require('../options.js')
const shared = require('../shared-options.js')

const ID = 'coordinator'

/** The coordinator renews itself at half of its life: with less than this left it was off for long. */
const LEAST_LEFT_MS = 60_000

const command = {
  name: 'coordinator',
  summary: 'run a coordinator',
  description: 'Runs a coordinator until SIGTERM or SIGINT, then drains it and ends; a second signal ends it at once. With the authority (`ca init`) it issues itself an identity, which it keeps in the data directory, enforces grants, and lets machines join by tokens. With --identity it needs no authority on this machine.',
  options: [
    option('listen', 'host:port', address, 'UDP address for agents', { fallback: '127.0.0.1:4433', shown: '127.0.0.1:4433' }),
    option('enrollListen', 'host:port', address, 'UDP address at which machines join with tokens', { shown: 'off' }),
    option('http', 'host:port', address, 'TCP address of /metrics, /agents, /healthz and /readyz, for whoever can reach it', { shown: 'off' }),
    shared.dataDir,
    shared.authority,
    option('identity', 'path', file, 'identity of its own, instead of the authority', { shown: 'issued by the authority' }),
    shared.passphraseFile,
    option('agentTimeout', 'duration', duration, 'an agent that was not heard of for so long is gone', { shown: '10s' }),
    option('taskTimeout', 'duration', duration, 'for tasks that name no time-out', { shown: 'none' }),
    option('maxAttempts', 'n', integer(1), 'attempts of a task before it is a dead letter', { shown: '3' }),
    option('maxQueued', 'n', integer(1), 'tasks that may wait', { shown: '100000' }),
    option('maxAgents', 'n', integer(1), 'agents that may be connected', { shown: '20000' }),
    option('resultRetention', 'duration', duration, 'how long outcomes are kept', { shown: '24h' }),
    shared.drain('10s', 'how long it waits at the end until nothing is queued or running; 0 not at all'),
    shared.logLevel,
  ],
  async run({ settings, out, sources }) {
    const { dataDir } = settings
    makeDirectory(dataDir)
    const life = lifetime()
    const { identity, authority, onIdentity } = await whoItIs(settings, sources)
    const coordinator = await api.Coordinator.start({
      listen: settings.listen,
      enrollListen: settings.enrollListen,
      http: settings.http,
      dataDir,
      identity,
      authority,
      onIdentity: onIdentity && ((renewed) => onIdentity(renewed, (notAfter) => out.event('identityRenewed', { notAfter }, `identity renewed, until ${new Date(notAfter).toISOString()}`))),
      agentTimeoutMs: settings.agentTimeout,
      taskTimeoutMs: settings.taskTimeout,
      maxAttempts: settings.maxAttempts,
      maxQueued: settings.maxQueued,
      maxAgents: settings.maxAgents,
      resultRetentionMs: settings.resultRetention,
      onLog: ({ level, target, message, fields }) => {
        if (shared.isLogged(level, settings.logLevel)) out.event('log', { level, target, message, fields }, textOf(message, fields), level)
      },
    })
    let control
    try {
      control = await serveControl(dataDir, routesOf(coordinator, dataDir))
    } catch (error) {
      await coordinator.close()
      throw error
    }
    announce(coordinator, control, settings, out)
    const signal = await life.stopping
    const lost = await finish(coordinator, settings, out, signal)
    // Who still waits hears that it is closed.
    await Promise.all([control.close(), coordinator.close()])
    out.event('stopped', { ...lost }, lost === undefined ? 'stopped' : `stopped with ${lost.queued} tasks queued and ${lost.running} running: they are in ${dataDir}, and go on with the next start`)
  },
}

/** The identity that it has, or is to have: kept from before, given, or new from the authority. */
async function whoItIs(settings, sources) {
  const { dataDir, identity: given, enrollListen } = settings
  if (given !== undefined) {
    if (enrollListen !== undefined) throw usage('--enroll-listen needs --authority: who has only an identity cannot issue others')
    if (sources.has('authority')) throw usage('--identity and --authority exclude each other: with the authority the coordinator has itself issued an identity')
    return { identity: readIdentity(given) }
  }
  const authority = await openAuthority(settings)
  const kept = path.join(dataDir, 'identity.json')
  const keep = async (identity, tell) => {
    replace(kept, identityText(identity))
    tell?.(endOf(identity))
  }
  const text = readText(kept)
  let identity = text === undefined ? undefined : parseIdentity(text, kept)
  // Of another authority, or ended while the coordinator was off: the authority is here to make another.
  if (identity === undefined || !identity.ca.includes(authority.certificate.trim()) || endOf(identity) - Date.now() < LEAST_LEFT_MS) {
    identity = await authority.issue({ id: ID, role: 'coordinator' })
    await keep(identity)
  }
  return { identity, authority, onIdentity: keep }
}

const endOf = ({ certificate }) => Date.parse(new X509Certificate(certificate).validTo)

function textOf(message, fields) {
  const said = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return [message, ...said].join(' ')
}

function announce(coordinator, control, { dataDir, listen }, out) {
  const { id, address, enrollAddress, httpAddress } = coordinator
  const places = [`for agents: ${address} (UDP)`]
  if (enrollAddress !== null) places.push(`for machines that join: ${enrollAddress} (UDP)`)
  if (httpAddress !== null) places.push(`monitoring: http://${httpAddress}/metrics`)
  const fields = { id, address, enrollAddress, httpAddress, dataDir, control: control.socket, pid: process.pid }
  out.event('started', fields, `${id} listens; ${places.join('; ')}; data in ${dataDir}`)
  coordinator.on('agentJoined', ({ id, type, remoteAddress }) => out.event('agentJoined', { id, type, remoteAddress }, `agent ${id} (${type}) joined from ${remoteAddress}`))
  coordinator.on('agentLeft', ({ id, reason }) => out.event('agentLeft', { id, reason }, `agent ${id} left: ${reason}`))
  coordinator.on('taskFailed', ({ taskId, kind, attempts, error }) => out.event('taskFailed', { taskId, kind, attempts, error }, `task ${taskId} (${kind}) failed after ${attempts} attempts: ${error}`, 'warn'))
  if (listen.startsWith('127.')) out.note('agents on other machines cannot reach this address: --listen 0.0.0.0:4433 would let them')
}

/** Drains, as long as it may. What is left waits in the data directory. */
async function finish(coordinator, { drain }, out, signal) {
  const { queued, running } = coordinator.stats()
  out.event('stopping', { signal, queued, running }, `${signal}: ${queued} tasks queued and ${running} running; a second signal ends it at once`)
  if (drain === 0 || queued + running === 0) return queued + running === 0 ? undefined : { queued, running }
  try {
    await coordinator.drain({ timeoutMs: drain })
    return undefined
  } catch (error) {
    if (error.code !== 'TIMEOUT') throw error
    const left = coordinator.stats()
    return { queued: left.queued, running: left.running }
  }
}

/** What other commands may ask over the control socket. */
function routesOf(coordinator, dataDir) {
  return {
    'GET /status': async () => ({
      id: coordinator.id,
      address: coordinator.address,
      enrollAddress: coordinator.enrollAddress,
      httpAddress: coordinator.httpAddress,
      dataDir,
      pid: process.pid,
      stats: coordinator.stats(),
      agents: coordinator.agents(),
      metrics: coordinator.metrics(),
    }),
    'GET /audit': async () => coordinator.auditLog(),
    'POST /tokens': async (request) => {
      const { ttlMs, uses, grants } = request ?? {}
      const before = Date.now()
      const token = await coordinator.createJoinToken({ ttlMs, uses, grants })
      return { token, expiresAt: before + ttlMs, enrollAddress: coordinator.enrollAddress }
    },
    'POST /tasks': async (request, signal) => await coordinator.submit(request, { signal }),
    'POST /tasks/queued': async (request) => await coordinator.enqueue(request),
    'POST /tasks/result': async (request, signal) => await coordinator.result(request?.id, { signal }),
  }
}

module.exports = { commands: [command] }
