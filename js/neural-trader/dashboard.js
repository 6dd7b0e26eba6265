'use strict'
// The swarm functions of neural-trader that resolve to JSON text, with the keys of the original. What was made up there is
// measured here; what nobody here knows is null: this package places no orders and has no profit and loss.

const os = require('node:os')
const { failure, invalid, show } = require('../errors.js')
const { running, swarm: functions, TOPOLOGY } = require('./wrapper.js')

/** Seconds: what the original says where nothing is given. */
const INTERVAL_S = 60
const GRACE_S = 60

/** The swarm of this id. */
function swarmOf(swarmId) {
  if (typeof swarmId !== 'string' || swarmId === '') throw invalid(`swarmId is required and must be a string, got ${show(swarmId)}`)
  const swarm = running()
  if (swarm.id !== swarmId) throw failure('NOT_FOUND', `there is no swarm ${show(swarmId)} in this process: swarm.init() gave ${swarm.id}`)
  return swarm
}

/** An optional argument: null and undefined are none. */
function optional(what, value, type, otherwise) {
  if (value === undefined || value === null) return otherwise
  if (typeof value === type && (type !== 'number' || (Number.isSafeInteger(value) && value >= 0))) return value
  throw invalid(`${what} must be ${type === 'number' ? 'an integer >= 0' : `a ${type}`}, got ${show(value)}`)
}

const mean = (values) => (values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length)

/** Of the tasks that have ended; null while none has. */
function rates(completed, failed) {
  const ended = completed + failed
  return ended === 0 ? { success_rate: null, error_rate: null } : { success_rate: completed / ended, error_rate: failed / ended }
}

async function getSwarmStatus(swarmId) {
  const swarm = swarmOf(swarmId)
  const agents = swarm.agents()
  const { completed, failed } = swarm.coordinator.stats()
  return JSON.stringify({
    swarm_id: swarm.id,
    status: 'active',
    topology: TOPOLOGY,
    agent_count: agents.length,
    active_agents: agents.filter((agent) => agent.running > 0).length,
    agents: agents.map(({ id, type, running: tasks }) => ({ agent_id: id, agent_type: type, status: tasks > 0 ? 'running' : 'idle', pnl: null, trades: null })),
    metrics: { avg_latency_ms: mean(agents.map(({ rttMs }) => rttMs)), ...rates(completed, failed), total_pnl: null },
    total_trades: null,
    uptime_seconds: swarm.uptimeSeconds,
  })
}

async function getSwarmMetrics(swarmId, timeRange, metrics, aggregation) {
  const swarm = swarmOf(swarmId)
  optional('timeRange', timeRange, 'string')
  optional('aggregation', aggregation, 'string')
  const agents = swarm.agents()
  const { completed, failed } = swarm.coordinator.stats()
  return JSON.stringify({
    swarm_id: swarm.id,
    // Whatever was asked for: counters begin with the swarm, and latencies are of now.
    time_range: 'since_start',
    aggregation: 'avg',
    requested_metrics: metrics ?? null,
    metrics: {
      latency_ms: mean(agents.map(({ rttMs }) => rttMs)), throughput_tps: completed / swarm.uptimeSeconds, ...rates(completed, failed),
      avg_trade_size: null, total_pnl: null, total_trades: null, win_rate: null,
    },
    per_agent_metrics: agents.map((agent) => ({ agent_id: agent.id, success_rate: rates(agent.completed, agent.failed).success_rate, pnl: null, trades: null })),
  })
}

async function monitorSwarmHealth(swarmId, interval) {
  const swarm = swarmOf(swarmId)
  const seconds = optional('interval', interval, 'number', INTERVAL_S)
  const health = await swarm.health()
  const agents = swarm.agents()
  const { completed, failed } = swarm.coordinator.stats()
  const { user, system } = process.cpuUsage()
  return JSON.stringify({
    swarm_id: swarm.id,
    health_status: health,
    agent_health: agents.map(({ id, lastSeenAt }) => ({ agent_id: id, last_heartbeat: new Date(lastSeenAt).toISOString(), status: 'healthy' })),
    alerts: health === 'healthy' ? [] : [health],
    alerts_config: null,
    interval: seconds,
    metrics: {
      // Per cent of one processor that this process has used in its life, and of the machine's memory that is in use.
      cpu_usage: (user + system) / 1e4 / process.uptime(),
      memory_usage: 100 * (1 - os.freemem() / os.totalmem()),
      network_latency_ms: mean(agents.map(({ rttMs }) => rttMs)),
      error_rate: rates(completed, failed).error_rate,
      uptime_seconds: swarm.uptimeSeconds,
    },
    system_metrics_included: true,
    timestamp: new Date().toISOString(),
  })
}

async function scaleSwarm(swarmId, targetAgents, scaleMode, preserveState) {
  const swarm = swarmOf(swarmId)
  const mode = optional('scaleMode', scaleMode, 'string', 'gradual')
  const preserve = optional('preserveState', preserveState, 'boolean', true)
  const previous = swarm.agents().length
  const count = await functions.scale(targetAgents)
  return JSON.stringify({
    swarm_id: swarm.id, status: 'completed', previous_agents: previous, current_agents: count, target_agents: targetAgents,
    scale_mode: mode, preserve_state: preserve, message: `the swarm has ${count} agents`, estimated_completion: new Date().toISOString(),
  })
}

async function shutdownSwarm(swarmId, gracePeriod) {
  const swarm = swarmOf(swarmId)
  const grace = optional('gracePeriod', gracePeriod, 'number', GRACE_S)
  let message = 'all tasks had ended'
  try {
    // A grace period of none is a millisecond.
    await swarm.hold(() => swarm.coordinator.drain({ timeoutMs: Math.max(1, grace * 1000) }))
  } catch (error) {
    if (error.code !== 'TIMEOUT') throw error
    message = `tasks were still running after ${grace} s`
  }
  const stopped = swarm.agents().filter(({ id }) => swarm.isOwn(id)).length
  const seconds = swarm.uptimeSeconds
  await functions.destroy()
  return JSON.stringify({
    swarm_id: swarm.id, status: 'stopped', agents_stopped: stopped, grace_period: grace, force: message !== 'all tasks had ended', message,
    // Tasks are kept where the coordinator was given a directory for them.
    save_state: swarm.keepsTasks, state_saved: swarm.keepsTasks,
    final_metrics: { total_runtime_seconds: seconds, total_pnl: null, total_trades: null },
    shutdown_at: new Date().toISOString(),
  })
}

async function executeSwarmStrategy(swarmId, strategy) {
  swarmOf(swarmId)
  throw invalid(
    `executeSwarmStrategy(${show(strategy)}): this package trades nothing and reports no trades. Say what the strategy does with `
    + `swarm.handle(${show(strategy)}, (payload) => ...) and run it with swarm.orchestrateTask({ task_type: ${show(strategy)}, ... })`,
  )
}

module.exports = { getSwarmStatus, getSwarmMetrics, monitorSwarmHealth, scaleSwarm, shutdownSwarm, executeSwarmStrategy }
