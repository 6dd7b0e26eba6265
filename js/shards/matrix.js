'use strict'
// A matrix of all pairs, computed by the agents of a swarm. Tiles are ordinary tasks: what happens to one whose agent is
// lost is the coordinator's business. Here is how large they are, how many are on their way, and what is done about one
// that takes too long.

const { randomUUID } = require('node:crypto')
const { setImmediate: nextTurn } = require('node:timers/promises')
const { failure, show } = require('../errors.js')
const { kindOf } = require('../series.js')

/** Tiles on their way to an agent: one that is computed, and one that travels meanwhile. */
const TILES_PER_AGENT = 2

/** How long a tile should take, and what is not worth a message of its own, in milliseconds. */
const TILE_MS = 150
const LEAST_MS = 20

/** How often those are looked at that are not back, in milliseconds. */
const LOOK_MS = 50

/** A tile is late when it takes this many times as long as expected, and so many milliseconds. */
const LATE = 2
const LATE_MS = 200

/** How long the event loop is held by tiles that are made, in milliseconds. */
const SLICE_MS = 3

/** An agent that is lost takes an attempt of each of its tiles. */
const MAX_ATTEMPTS = 5

class MatrixJob {
  #coordinator
  #tiles
  #task
  #place
  /** Cells of a tile before anything is known about agents. */
  #firstCells
  /** Cells a millisecond, by agent. */
  #speeds = new Map()
  /** Tiles that are not back, with their attempts. */
  #pending = new Set()
  #inFlight = 0
  #filling = false
  #count = 0
  #id = randomUUID()
  #settle
  #ended = false
  /** Pairs that are in the matrix. */
  done = 0

  /** `task(tile)` is the kind and payload of a tile's task, `place(tile, values)` puts its result where it belongs. */
  constructor(coordinator, tiles, firstCells, task, place) {
    this.#coordinator = coordinator
    this.#tiles = tiles
    this.#firstCells = firstCells
    this.#task = task
    this.#place = place
  }

  async run() {
    // Cancelled before it began, or nothing to do.
    if (this.#ended || this.#tiles.isEmpty) return
    const timer = setInterval(() => this.#look(), LOOK_MS)
    // The coordinator keeps the process alive for as long as it must.
    timer.unref?.()
    try {
      await new Promise((resolve, reject) => {
        this.#settle = { resolve, reject }
        this.#fill()
      })
    } finally {
      clearInterval(timer)
      this.cancel()
    }
  }

  /** Nothing more is handed out, what is on its way is cancelled, and whoever waits for the matrix is told. */
  cancel() {
    this.#end(failure('ABORTED', 'the operation was aborted'))
  }

  #fail(error) {
    if (!this.#ended) this.#end(error)
  }

  #end(error) {
    this.#ended = true
    for (const pending of this.#pending) for (const attempt of pending.attempts) attempt.stop.abort()
    this.#pending.clear()
    // Does nothing to one that is settled.
    this.#settle?.reject(error)
  }

  /** Hands out tiles as long as there are agents for them. */
  async #fill() {
    if (this.#filling || this.#ended) return
    this.#filling = true
    try {
      const agents = this.#coordinator.agents().length
      const room = TILES_PER_AGENT * Math.max(agents, 1)
      let turn = performance.now()
      while (this.#inFlight < room) {
        const tile = this.#tiles.take(this.#cells(room))
        if (tile === undefined) break
        this.#start({ tile, cost: this.#tiles.cost(tile), attempts: [], runningSince: undefined, agentId: undefined })
        if (performance.now() - turn < SLICE_MS) continue
        await nextTurn()
        if (this.#ended) break
        turn = performance.now()
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#filling = false
    }
  }

  /** Cells of the next tile: what takes an agent its time, and less towards the end, so that all end together. */
  #cells(room) {
    const speed = this.#speed()
    if (speed === undefined) return Math.min(this.#firstCells, this.#tiles.costLeft / room)
    return Math.max(Math.min(speed * TILE_MS, this.#tiles.costLeft / room), speed * LEAST_MS)
  }

  /** Of an agent, or of all that are known on average. */
  #speed(agentId) {
    const own = this.#speeds.get(agentId)
    if (own !== undefined || this.#speeds.size === 0) return own
    let sum = 0
    for (const speed of this.#speeds.values()) sum += speed
    return sum / this.#speeds.size
  }

  /** One more try at a tile, on any agent or on this one. */
  #start(pending, agentId) {
    const key = `midstreamer.tile:${this.#id}:${this.#count++}`
    const attempt = { key, agentId, stop: new AbortController() }
    pending.attempts.push(attempt)
    this.#pending.add(pending)
    this.#inFlight += 1
    const task = { ...this.#task(pending.tile), idempotencyKey: key, maxAttempts: MAX_ATTEMPTS }
    if (agentId !== undefined) task.requires = [`agent:${agentId}`]
    this.#coordinator.submit(task, { signal: attempt.stop.signal }).then(
      (result) => this.#succeeded(pending, attempt, result),
      (error) => this.#failed(pending, attempt, error),
    ).catch((error) => this.#fail(error))
  }

  #succeeded(pending, attempt, { value, agentId, runMs }) {
    this.#inFlight -= 1
    // The other try was faster, or nobody wants the matrix any more.
    if (!this.#pending.delete(pending)) return this.#fill()
    for (const other of pending.attempts) if (other !== attempt) other.stop.abort()
    const speed = pending.cost / Math.max(runMs, 1)
    const known = this.#speeds.get(agentId)
    this.#speeds.set(agentId, known === undefined ? speed : (known + speed) / 2)
    this.#place(pending.tile, value)
    this.done += pending.tile.pairs
    if (this.#pending.size === 0 && this.#tiles.isEmpty) {
      this.#ended = true
      this.#settle.resolve()
    } else {
      this.#fill()
    }
  }

  #failed(pending, attempt, error) {
    this.#inFlight -= 1
    if (!this.#pending.has(pending)) return this.#fill()
    pending.attempts.splice(pending.attempts.indexOf(attempt), 1)
    // The other try may still succeed.
    if (pending.attempts.length > 0) return undefined
    const tooLarge = error.code === 'TOO_LARGE' || error.remoteError?.code === 'TOO_LARGE'
    if (!tooLarge || !this.#tiles.shrink(pending.tile)) throw error
    this.#pending.delete(pending)
    return this.#fill()
  }

  /** Now and then: there may be more agents, or tiles that take too long while others have nothing to do. */
  #look() {
    try {
      this.#fill()
      if (this.#tiles.isEmpty && !this.#ended) this.#helpLate()
    } catch (error) {
      this.#fail(error)
    }
  }

  #helpLate() {
    const now = performance.now()
    const agents = this.#coordinator.agents().sort((a, b) => a.running - b.running)
    for (const pending of this.#pending) {
      if (pending.attempts.length > 1) {
        // A try on an agent that has gone since would wait for its return.
        for (const { agentId, stop } of pending.attempts) {
          if (agentId !== undefined && !agents.some((agent) => agent.id === agentId)) stop.abort()
        }
      } else if (this.#isLate(pending, now)) {
        const helper = agents.find((agent) => agent.id !== pending.agentId && agent.running < TILES_PER_AGENT)
        if (helper === undefined) continue
        helper.running += 1
        this.#start(pending, helper.id)
      }
    }
  }

  #isLate(pending, now) {
    const state = this.#coordinator.task(pending.attempts[0].key)
    if (state?.state !== 'running' || pending.agentId !== state.agentId) {
      pending.agentId = state?.agentId
      pending.runningSince = now
      return false
    }
    const speed = this.#speed(state.agentId)
    return speed !== undefined && now - pending.runningSince > Math.max((LATE * pending.cost) / speed, LATE_MS)
  }
}

/** Writes the values of a tile into a symmetric matrix. */
function placer(data, size) {
  return ({ a, b, c, d, isTriangle }, values) => {
    const rows = b - a
    const columns = d - c
    if (kindOf(values) !== 'Float64Array' || values.length !== rows * columns) {
      throw failure('PROTOCOL', `an agent sent ${show(values)} for ${rows} x ${columns} pairs`)
    }
    for (let i = 0; i < rows; i++) {
      const from = isTriangle ? i + 1 : 0
      const row = values.subarray(i * columns + from, (i + 1) * columns)
      data.set(row, (a + i) * size + c + from)
      for (let j = 0, at = (c + from) * size + a + i; j < row.length; j++, at += size) data[at] = row[j]
    }
  }
}

module.exports = { MatrixJob, placer }
