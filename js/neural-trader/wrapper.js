'use strict'
// `swarm` of neural-trader: its functions, its option names with underscores, its one swarm a process.

const { failure, invalid, isArray, show } = require('../errors.js')
const { callback, checksOf, readOptions } = require('../options.js')
const { checkKind } = require('../agent.js')
const { amount, name, names, small, text } = require('../swarm-options.js')
const { PRIORITIES, orchestrate } = require('./orchestrate.js')
const { Swarm } = require('./swarm.js')

const TOPOLOGIES = ['mesh', 'hierarchical', 'ring', 'star']

/** What each of them is here. */
const TOPOLOGY = 'star'

/** Of the original, and of a task here where none is named: ms. */
const TASK_TIMEOUT_MS = 300_000

/** One of some words, as the word. */
function word(...words) {
  return (what, value) => {
    if (words.includes(value)) return value
    throw invalid(`${what} must be one of: ${words.join(', ')}, got ${show(value)}`)
  }
}

function object(what, value) {
  if (value !== null && typeof value === 'object' && isArray(value) === false) return value
  throw invalid(`${what} must be an object, got ${show(value)}`)
}

function flag(what, value) {
  if (typeof value === 'boolean') return value
  throw invalid(`${what} must be a boolean, got ${show(value)}`)
}

function list(what, value) {
  if (isArray(value) === true && value.length > 0) return Array.from(value)
  throw invalid(`${what} must be an array that is not empty, got ${show(value)}`)
}

function sentence(what, value) {
  if (value !== '') return text(what, value)
  throw invalid(`${what} must be a string that is not empty, got ""`)
}

const anything = (_, value) => value

const INIT = checksOf({
  topology: word(...TOPOLOGIES), max_agents: small, strategy: word('balanced', 'specialized', 'adaptive'), enable_reasoning: flag, coordinator: object,
})
const INIT_DEFAULTS = Object.freeze({ topology: undefined, max_agents: 8, strategy: 'balanced', enable_reasoning: true, coordinator: undefined })
const AGENT = checksOf({ agent_type: name, name, capabilities: names })
const AGENT_DEFAULTS = Object.freeze({ agent_type: undefined, name: undefined, capabilities: Object.freeze([]) })
const TASK = checksOf({
  task_type: name, description: sentence, priority: word(...Object.keys(PRIORITIES)), strategy: word('parallel', 'sequential', 'adaptive'),
  payload: anything, payloads: list, timeout_ms: amount,
})
const TASK_DEFAULTS = Object.freeze({
  task_type: undefined, description: undefined, priority: 'medium', strategy: 'adaptive', payload: undefined, payloads: undefined, timeout_ms: TASK_TIMEOUT_MS,
})

/** The swarm of this process; a promise of it while it is being made. */
let current
let starting = false

/** Handlers by kind: they outlive a swarm, as the functions of a program do. */
const handlers = new Map()

function running() {
  if (current === undefined) throw failure('CLOSED', 'Swarm not initialized: call swarm.init() first')
  return current
}

function required(what, value) {
  if (value === undefined) throw invalid(`${what} is required and must be a string`)
}

async function init(config) {
  object('config', config)
  const options = readOptions(config, INIT, INIT_DEFAULTS, 'swarm.init')
  if (options.topology === undefined) throw invalid(`topology must be one of: ${TOPOLOGIES.join(', ')}`)
  if (current !== undefined || starting) throw failure('INVALID_ARGUMENT', 'Swarm already initialized: call swarm.destroy() before')
  starting = true
  try {
    current = await Swarm.start({ topology: options.topology, strategy: options.strategy, maxAgents: options.max_agents, coordinator: options.coordinator }, handlers)
    return current.id
  } finally {
    starting = false
  }
}

async function spawnAgent(agentConfig) {
  object('agentConfig', agentConfig)
  const agent = readOptions(agentConfig, AGENT, AGENT_DEFAULTS, 'swarm.spawnAgent')
  required('agentConfig.agent_type', agent.agent_type)
  required('agentConfig.name', agent.name)
  return await running().spawn(agent.agent_type, agent.name, agent.capabilities)
}

async function getStatus() {
  const swarm = running()
  return {
    swarmId: swarm.id,
    topology: TOPOLOGY,
    agentCount: swarm.agents().length,
    status: 'running',
    uptimeSeconds: swarm.uptimeSeconds,
    requestedTopology: swarm.setup.topology,
  }
}

async function listAgents() {
  return running().agents().map(({ id, type, metadata, running: tasks, completed }) => ({
    agentId: id, agentType: type, name: metadata.name ?? id, status: tasks > 0 ? 'busy' : 'idle', tasksCompleted: completed,
  }))
}

async function orchestrateTask(task) {
  object('task', task)
  const { task_type: taskType, description, priority, strategy, payload, payloads, timeout_ms: timeoutMs } = readOptions(task, TASK, TASK_DEFAULTS, 'swarm.orchestrateTask')
  required('task.task_type', taskType)
  required('task.description', description)
  if (payload !== undefined && payloads !== undefined) throw invalid('task has payload and payloads: give one of them')
  const parts = payloads ?? [payload === undefined ? { task_type: taskType, description } : payload]
  return await orchestrate(running(), { taskType, priority, strategy, payloads: parts, single: payloads === undefined, timeoutMs })
}

async function stopAgent(agentId) {
  if (typeof agentId !== 'string' || agentId === '') throw invalid(`agentId is required and must be a string, got ${show(agentId)}`)
  return await running().stop(agentId)
}

async function destroy() {
  if (current === undefined) throw failure('CLOSED', 'No swarm to destroy')
  const swarm = current
  current = undefined
  await swarm.close()
  return true
}

async function scale(targetAgents) {
  if (!Number.isSafeInteger(targetAgents) || targetAgents < 0) throw invalid(`targetAgents must be an integer >= 0, got ${show(targetAgents)}`)
  return await running().scale(targetAgents)
}

async function healthCheck() {
  return current === undefined ? 'not_initialized' : await current.health()
}

async function createMeshSwarm(maxAgents = 8) {
  return await init({ topology: 'mesh', max_agents: maxAgents, strategy: 'balanced' })
}

async function createHierarchicalSwarm(maxAgents = 8) {
  return await init({ topology: 'hierarchical', max_agents: maxAgents, strategy: 'specialized' })
}

async function createStarSwarm(maxAgents = 8) {
  return await init({ topology: 'star', max_agents: maxAgents, strategy: 'balanced' })
}

/** What a task_type does, on every agent of this process, now and later. */
function handle(taskType, handler) {
  checkKind('taskType', taskType)
  callback('handler', handler)
  handlers.set(taskType, handler)
  current?.handle(taskType, handler)
}

/** The coordinator behind it, for all that it can do beyond these functions. */
function coordinator() {
  return running().coordinator
}

const swarm = {
  init, spawnAgent, getStatus, listAgents, orchestrateTask, stopAgent, destroy, scale, healthCheck,
  createMeshSwarm, createHierarchicalSwarm, createStarSwarm, handle, coordinator,
}

module.exports = { swarm, running, TOPOLOGY }
