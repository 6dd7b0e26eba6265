'use strict'
// A pattern library spread over the agents of a swarm. Each holds a shard, a run of patterns in their order; all of them
// are asked, and their answers merged. The patterns stay here as well: the shard of an agent that has gone, or was
// restarted, is put onto another one before a search is answered.

const { randomUUID } = require('node:crypto')
const { MidstreamerError, failure, show } = require('../errors.js')
const { readOptions } = require('../options.js')
const { allocate, kindOf, toSeries } = require('../series.js')
const { follow, throwIfAborted } = require('../task.js')
const { METRICS, NORMALIZATIONS, SEARCH, SEARCH_DEFAULTS, checkLength, endOf } = require('../patterns.js')
const { GONE, submitTo } = require('./departures.js')
const { refuseBadValues } = require('./values.js')

/** Bytes of the patterns of one message. */
const PART_BYTES = 4 * 2 ** 20

/** An agent that is lost takes an attempt. */
const MAX_ATTEMPTS = 5

/** How often a shard is put again for one search before that is no accident any more. */
const MAX_PUTS = 10

/** How long an agent may take to forget a shard, in milliseconds; one that is not asked again goes by itself. */
const DROP_MS = 5000

/** A search after release(), or while it comes. */
function released() {
  return failure('CLOSED', 'the distributed library is released')
}

class Shard {
  #coordinator
  #library
  #start
  #end
  #id
  /** Bytes of a part: less where messages must be smaller. */
  #partBytes = PART_BYTES
  /** A promise of the agent that holds it; undefined before it is put, and when it is known to be nowhere. */
  #held

  constructor(coordinator, library, start, end) {
    this.#coordinator = coordinator
    this.#library = library
    this.#start = start
    this.#end = end
    this.#id = `${coordinator.id}:${randomUUID()}`
  }

  /** Puts it onto this agent or, when it is gone or none is named, any other; the agent that holds it then. */
  put(agentId) {
    const held = this.#put(agentId)
    this.#held = held
    held.catch(() => { this.#forget(held) })
    return held
  }

  #forget(held) {
    if (this.#held === held) this.#held = undefined
  }

  async #put(wanted) {
    let agentId = wanted
    let at = this.#start
    while (at < this.#end) {
      const rows = Math.max(1, Math.floor(this.#partBytes / (this.#library.row * Float64Array.BYTES_PER_ELEMENT)))
      const end = Math.min(at + rows, this.#end)
      let result
      try {
        result = await this.#send(agentId, this.#part(at, end))
      } catch (error) {
        if (isCode(error, 'TOO_LARGE') && end - at > 1) {
          this.#partBytes = ((end - at) * this.#library.row * Float64Array.BYTES_PER_ELEMENT) / 2
          continue
        }
        // Restarted meanwhile, or short of room: from the beginning.
        if (!isCode(error, 'NOT_FOUND') || at === this.#start) throw error
        at = this.#start
        continue
      }
      if (result === GONE) {
        agentId = this.#library.freest()
        at = this.#start
        continue
      }
      agentId = result.agentId
      at = end
    }
    return agentId
  }

  #part(at, end) {
    const { row, values, endsAt, options } = this.#library
    return {
      kind: 'midstreamer.library.put',
      payload: {
        shard: this.#id, size: this.#end - this.#start, at: at - this.#start, options,
        values: values.subarray(at * row, end * row), endsAt: endsAt.subarray(at, end),
      },
    }
  }

  /** On this agent; on whichever comes first when none is there. */
  async #send(agentId, task, signal = this.#library.signal) {
    const lasting = { ...task, maxAttempts: MAX_ATTEMPTS }
    if (agentId === undefined) return await this.#coordinator.submit(lasting, { signal })
    return await submitTo(this.#coordinator, agentId, lasting, signal)
  }

  /** The agent that holds it, as far as is known. */
  async holder() {
    return await this.#held?.catch(() => undefined)
  }

  /** Indices and distances of the nearest, in the order of the whole library. */
  async search(request, signal) {
    for (let puts = 0; ; puts++) {
      const held = this.#held ?? this.put(this.#library.freest())
      const agentId = await held
      const task = { kind: 'midstreamer.library.search', payload: { ...request, shard: this.#id, size: this.#end - this.#start } }
      let again
      try {
        const result = await this.#send(agentId, task, signal)
        if (result !== GONE) return this.#found(result.value)
      } catch (error) {
        if (!isCode(error, 'NOT_FOUND') || puts === MAX_PUTS) throw error
        again = agentId
      }
      // Unless another search has done so meanwhile.
      if (this.#held === held) this.put(again ?? this.#library.freest())
    }
  }

  #found(value) {
    const { indices, distances } = value ?? {}
    if (kindOf(indices) !== 'Float64Array' || kindOf(distances) !== 'Float64Array' || indices.length !== distances.length) {
      throw failure('PROTOCOL', `an agent sent ${show(value)} for matches`)
    }
    return Array.from(indices, (index, i) => ({ index: this.#start + index, distance: distances[i] }))
  }

  async drop() {
    const agentId = await this.holder()
    this.#held = undefined
    if (agentId === undefined) return
    try {
      const task = { kind: 'midstreamer.library.drop', payload: { shard: this.#id }, timeoutMs: DROP_MS }
      await submitTo(this.#coordinator, agentId, task)
    } catch (error) {
      // With the swarm, and with an agent that does not answer, it goes as well.
      if (!['CLOSED', 'TIMEOUT', 'NO_AGENT'].includes(error.code)) throw error
    }
  }
}

/** Whether this is the reason, here or on the agent. */
function isCode(error, code) {
  return error instanceof MidstreamerError && (error.code === code || error.remoteError?.code === code)
}

/** What the shards share. */
class Contents {
  constructor(coordinator, shape, { ids, metas, values }) {
    this.coordinator = coordinator
    this.shape = shape
    this.ids = ids
    this.metas = metas
    this.row = shape.length * shape.channels
    this.values = allocate('patterns', Float64Array, values.length)
    this.values.set(values)
    this.endsAt = Float64Array.from(metas, endOf)
    const { length, channels, window, metric, normalize } = shape
    this.options = { length, channels, metric: METRICS[metric], normalize: NORMALIZATIONS[normalize] }
    if (window >= 0) this.options.window = window
    this.released = new AbortController()
    this.shards = []
  }

  get signal() {
    return this.released.signal
  }

  /** The connected agent that has the least to do; none when none is there. */
  freest() {
    const agents = this.coordinator.agents()
    return agents.sort((a, b) => a.running - b.running)[0]?.id
  }
}

class Distribution {
  #contents

  constructor(contents) {
    this.#contents = contents
  }

  static async place(coordinator, shape, patterns) {
    const contents = new Contents(coordinator, shape, patterns)
    const size = contents.ids.length
    const agents = coordinator.agents()
    const count = Math.min(Math.max(agents.length, 1), size)
    for (let s = 0; s < count; s++) {
      const start = Math.floor((s * size) / count)
      contents.shards.push(new Shard(coordinator, contents, start, Math.floor(((s + 1) * size) / count)))
    }
    try {
      await Promise.all(contents.shards.map((shard, s) => shard.put(agents[s]?.id)))
    } catch (error) {
      contents.released.abort()
      await Promise.allSettled(contents.shards.map((shard) => shard.drop()))
      throw error
    }
    return new Distribution(contents)
  }

  get shards() {
    return this.#contents.shards.length
  }

  async search(query, options) {
    const o = readOptions(options, SEARCH, SEARCH_DEFAULTS, 'search')
    throwIfAborted(o.signal)
    const contents = this.#contents
    const values = toSeries('query', query).slice()
    checkLength('query', values.length, contents.row)
    refuseBadValues('query', values)
    if (contents.signal.aborted) throw released()
    // The shards are asked for it later too, when one was put again.
    const request = { query: values, k: Math.min(o.k, Math.max(contents.ids.length, 1)) }
    if (o.maxDistance !== Infinity) request.maxDistance = o.maxDistance
    // Infinite instants cannot be sent: every end is before the one, and none before the other.
    if (o.asOf === -Infinity) return []
    if (!Number.isNaN(o.asOf)) request.asOf = Math.min(o.asOf, Number.MAX_VALUE)
    const job = new SearchJob(contents, request)
    const found = o.signal === undefined ? await job.run() : await follow(o, 0, job, () => job.run())
    return this.#matches(found.slice(0, o.k))
  }

  #matches(found) {
    const { ids, metas, shape } = this.#contents
    return found.map(({ index, distance }) => {
      const match = { id: ids[index], distance, similarity: 1 / (1 + distance / shape.length) }
      if (metas[index] !== undefined) match.meta = metas[index]
      return match
    })
  }

  async release() {
    const { released, shards } = this.#contents
    released.abort()
    await Promise.all(shards.map((shard) => shard.drop()))
  }
}

/** One search of all shards. */
class SearchJob {
  #contents
  #request
  #stop = new AbortController()

  constructor(contents, request) {
    this.#contents = contents
    this.#request = request
  }

  cancel() {
    this.#stop.abort()
  }

  /** Indices and distances, nearest first, ties in the order of adding. */
  async run() {
    const { signal, shards } = this.#contents
    const onRelease = () => this.cancel()
    signal.addEventListener('abort', onRelease)
    try {
      const found = await Promise.all(shards.map((shard) => shard.search(this.#request, this.#stop.signal)))
      return found.flat().sort((a, b) => (a.distance < b.distance ? -1 : a.distance > b.distance ? 1 : a.index - b.index))
    } catch (error) {
      if (signal.aborted) throw released()
      throw error
    } finally {
      signal.removeEventListener('abort', onRelease)
      this.cancel()
    }
  }
}

module.exports = { Distribution }
