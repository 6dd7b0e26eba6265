'use strict'
// One swarm of neural-trader's, as it is here: a Coordinator, and Agents of this process that are connected to it over QUIC.
// Agents of other processes may join it like any coordinator.

const { randomUUID } = require('node:crypto')
const { Agent } = require('../agent.js')
const { Coordinator } = require('../coordinator.js')
const { failure } = require('../errors.js')

/** What an agent that nobody asked anything of has to answer within. */
const PROBE_MS = 5000

class Swarm {
  /** Agents of this process, by id. */
  #own = new Map()
  /** Ids of agents that were stopped here: the coordinator may list them for a moment. */
  #stopped = new Set()
  #spawning = 0
  #waiting = 0
  #made = 0
  #ended = new AbortController()

  static async start(setup, handlers) {
    // Whoever lets others in wants to stay for them.
    const serves = setup.coordinator !== undefined
    const coordinator = await Coordinator.start({ ...setup.coordinator, maxAgents: setup.maxAgents })
    if (!serves) coordinator.unref()
    return new Swarm(setup, handlers, coordinator, serves)
  }

  constructor(setup, handlers, coordinator, serves) {
    this.id = randomUUID()
    this.setup = setup
    this.coordinator = coordinator
    this.handlers = handlers
    this.serves = serves
    coordinator.on('agentLeft', ({ id }) => this.#stopped.delete(id))
  }

  /** Whether what is queued outlives the swarm. */
  get keepsTasks() {
    return this.setup.coordinator?.dataDir !== undefined
  }

  get uptimeSeconds() {
    return this.coordinator.stats().uptimeMs / 1000
  }

  /** What the coordinator knows of everybody who is connected, the first that came first. */
  agents() {
    return this.coordinator.agents()
      .filter(({ id }) => !this.#stopped.has(id))
      .sort((a, b) => a.connectedAt - b.connectedAt)
  }

  /** Whether the agent is one of this process. */
  isOwn(id) {
    return this.#own.has(id)
  }

  /** Runs something that the process must not end before: the swarm by itself does not keep it. */
  async hold(work) {
    if (this.#waiting++ === 0) this.coordinator.ref()
    try {
      return await work()
    } finally {
      if (--this.#waiting === 0 && !this.serves && !this.#ended.signal.aborted) this.coordinator.unref()
    }
  }

  async spawn(type, name, capabilities) {
    const most = this.setup.maxAgents
    if (this.agents().length + this.#spawning >= most) throw failure('OVERLOADED', `the swarm has its max_agents: ${most}`)
    this.#spawning++
    try {
      const id = randomUUID()
      const identity = await this.#identity(id)
      const agent = await Agent.connect({
        address: this.coordinator.address, identity, type, capabilities, metadata: { name }, handlers: Object.fromEntries(this.handlers), signal: this.#ended.signal,
      })
      await this.#keep(id, agent)
      this.#ended.signal.throwIfAborted()
      return id
    } catch (error) {
      throw this.#ended.signal.aborted ? failure('CLOSED', 'the swarm was destroyed meanwhile') : error
    } finally {
      this.#spawning--
    }
  }

  async #identity(id) {
    const authority = this.setup.coordinator?.authority
    return authority === undefined ? await this.coordinator.developmentIdentity(id) : await authority.issue({ id, role: 'agent' })
  }

  async #keep(id, agent) {
    if (this.#ended.signal.aborted) {
      await agent.close()
      return
    }
    agent.unref()
    // Some may have been given while it was connecting.
    for (const [kind, handler] of this.handlers) agent.handle(kind, handler)
    // The end that nobody here wanted: it is no agent of the swarm any more.
    agent.on('closed', () => this.#own.delete(id))
    this.#own.set(id, agent)
  }

  /** For all agents of this process, those to come included. */
  handle(kind, handler) {
    for (const agent of this.#own.values()) agent.handle(kind, handler)
  }

  /** False for what is no agent of this process. Its tasks go to others. */
  async stop(id) {
    const agent = this.#own.get(id)
    if (agent === undefined) return false
    this.#stopped.add(id)
    this.#own.delete(id)
    await this.hold(() => agent.close())
    return true
  }

  /** Agents are made or stopped until there are so many; those of other processes are not touched. Returns how many there are. */
  async scale(target) {
    const most = this.setup.maxAgents
    if (target > most) throw failure('OVERLOADED', `targetAgents is ${target}, and the swarm has max_agents ${most}`)
    while (this.agents().length < target) await this.spawn('worker', `worker-${++this.#made}`, [])
    const surplus = this.agents().length - target
    // The idle first, and of those the last that came.
    const own = this.agents().filter(({ id }) => this.isOwn(id)).reverse().sort((a, b) => a.running - b.running)
    await Promise.all(own.slice(0, Math.max(0, surplus)).map(({ id }) => this.stop(id)))
    return this.agents().length
  }

  /** 'healthy' when all agents of this process are connected and a task really goes through. */
  async health() {
    if (this.agents().length === 0) return 'warning: no agents'
    const away = [...this.#own.values()].filter(({ state }) => state !== 'connected').length
    if (away > 0) return `warning: ${away} of ${this.#own.size} agents are not connected`
    try {
      await this.hold(() => this.coordinator.submit({ kind: 'lcs', payload: { a: 'probe', b: 'probe' }, priority: 9, timeoutMs: PROBE_MS }))
      return 'healthy'
    } catch (error) {
      return `warning: a task did not go through: ${error.code}, ${error.message}`
    }
  }

  async close() {
    this.coordinator.ref()
    this.#ended.abort()
    const own = [...this.#own.values()]
    this.#own.clear()
    await Promise.all(own.map((agent) => agent.close()))
    await this.coordinator.close()
    return own.length
  }
}

module.exports = { Swarm }
