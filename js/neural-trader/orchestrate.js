'use strict'
// orchestrateTask: what is asked of the swarm, as tasks of its coordinator. Nothing is reported that no agent has returned.

const { failure } = require('../errors.js')
const { BUILT_IN } = require('../agent.js')

/** neural-trader's words as priorities of the coordinator. */
const PRIORITIES = Object.freeze({ low: 1, medium: 3, high: 6, critical: 9 })

/** In flight for each agent, so that it never waits for the next task. */
const AHEAD = 2

/**
 * The capability that the agents of a task need. 'specialized': the one that is called like the task. 'adaptive': that one
 * where somebody has it.
 */
function requiredBy(swarm, taskType, agents) {
  const { strategy } = swarm.setup
  const wanted = strategy === 'specialized' || (strategy === 'adaptive' && agents.some(({ capabilities }) => capabilities.includes(taskType)))
  return wanted ? [taskType] : []
}

/** A task that nobody here can ever run would wait for its time-out; who asks is told now. */
function refuseUnrunnable(swarm, taskType, requires, agents) {
  const able = agents.filter(({ capabilities }) => requires.every((capability) => capabilities.includes(capability)))
  if (able.length === 0) {
    const lack = agents.length === 0 ? 'the swarm has no agents' : `no agent has the capability '${taskType}', which the strategy '${swarm.setup.strategy}' asks for`
    throw failure('NO_AGENT', `nobody can run '${taskType}': ${lack}`)
  }
  const known = BUILT_IN.has(taskType) || swarm.handlers.has(taskType)
  // What agents of other processes can run, only they know.
  if (!known && able.every(({ id }) => swarm.isOwn(id))) {
    throw failure('NO_AGENT', `nobody can run '${taskType}': say what it does with swarm.handle('${taskType}', (payload) => ...)`)
  }
}

/** How many of the parts are under way at once. */
function concurrencyOf(strategy, parts, agents) {
  if (strategy === 'sequential') return 1
  return strategy === 'parallel' ? parts : Math.min(parts, AHEAD * agents)
}

/** The text that neural-trader's `result` is: a text stays what it is, everything else is JSON. */
function textOf(value) {
  if (typeof value === 'string') return value
  return JSON.stringify(value, (_, part) => (ArrayBuffer.isView(part) ? Array.from(part) : part)) ?? ''
}

async function orchestrate(swarm, { taskType, priority, strategy, payloads, single, timeoutMs }) {
  const agents = swarm.agents()
  const requires = requiredBy(swarm, taskType, agents)
  refuseUnrunnable(swarm, taskType, requires, agents)
  const tasks = payloads.map((payload) => ({ kind: taskType, payload, priority: PRIORITIES[priority], requires, timeoutMs }))
  const started = performance.now()
  const results = new Array(tasks.length)
  await swarm.hold(async () => {
    const concurrency = concurrencyOf(strategy, tasks.length, agents.length)
    for await (const result of swarm.coordinator.map(tasks, { concurrency })) results[result.index] = result
  })
  const values = results.map(({ value }) => value)
  const value = single ? values[0] : values
  return {
    taskId: results[0].taskId,
    status: 'completed',
    result: textOf(value),
    value,
    agentsUsed: [...new Set(results.map(({ agentId }) => agentId))],
    executionTimeMs: Math.round(performance.now() - started),
  }
}

module.exports = { PRIORITIES, orchestrate }
