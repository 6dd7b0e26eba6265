'use strict'
// Tasks that only one agent can run, given up when that agent has gone.

/** What a task is given up with when its agent is not there, or goes. */
const GONE = Symbol('gone')

/** Those who wait for an agent, by coordinator and id: one listener for all. */
const departures = new WeakMap()

class Departures {
  constructor(coordinator) {
    this.coordinator = coordinator
    this.waiting = new Map()
    this.listener = ({ id }) => { for (const leave of this.waiting.get(id) ?? []) leave() }
  }

  add(id, leave) {
    if (this.waiting.size === 0) this.coordinator.on('agentLeft', this.listener)
    const waiting = this.waiting.get(id)
    if (waiting === undefined) this.waiting.set(id, new Set([leave]))
    else waiting.add(leave)
  }

  remove(id, leave) {
    const waiting = this.waiting.get(id)
    waiting.delete(leave)
    if (waiting.size > 0) return
    this.waiting.delete(id)
    if (this.waiting.size === 0) this.coordinator.off('agentLeft', this.listener)
  }
}

/**
 * The result of a task on this very agent; GONE when the agent is not there, or leaves before the task is done. Ends with
 * ABORTED when `signal` does.
 */
async function submitTo(coordinator, agentId, task, signal) {
  let gone = departures.get(coordinator)
  if (gone === undefined) departures.set(coordinator, gone = new Departures(coordinator))
  const stop = new AbortController()
  let hasLeft = false
  const leave = () => {
    hasLeft = true
    stop.abort()
  }
  const abort = () => stop.abort()
  gone.add(agentId, leave)
  signal?.addEventListener('abort', abort)
  try {
    // Only now: whoever leaves from here on is heard.
    if (!coordinator.agents().some((agent) => agent.id === agentId)) return GONE
    if (signal?.aborted) abort()
    return await coordinator.submit({ ...task, requires: [`agent:${agentId}`] }, { signal: stop.signal })
  } catch (error) {
    if (hasLeft && !signal?.aborted) return GONE
    throw error
  } finally {
    gone.remove(agentId, leave)
    signal?.removeEventListener('abort', abort)
  }
}

module.exports = { GONE, submitTo }
