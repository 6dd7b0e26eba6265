'use strict'
// Experiences over the swarm. Each learner says what it has of every node's log ('heads'); whoever has more answers with
// the events that are missing ('events'). All hear all: who lacks something asks by saying its own heads, after a random
// time and unless somebody has asked for the same before; who could answer waits too, and does not when another one has.
// So one new event costs a handful of messages, however many learners there are (Floyd et al., A reliable multicast
// framework for light-weight sessions, 1997). Everything may be lost, repeated or overtaken: the set of events merges by
// union, and heads are said again every half minute and after each connection.

const { failure, fromNative, invalid, show } = require('./errors.js')
const { Agent } = require('./agent.js')
const { Coordinator } = require('./coordinator.js')
const { Judge } = require('./learner-judge.js')

const TOPIC = 'midstreamer.learning'

/** How often heads are said when nothing happens. */
const ANNOUNCE_MS = 30_000

/** After which time who has asked in vain asks again, at first. */
const AGAIN_MS = 250

/** Events that happen within this time travel together. */
const GATHER_MS = 20

/** How long who asks and who answers waits for others to do so, at most. */
const ASK_MS = 40
const ANSWER_MS = 20

/** About the bytes of one message; less where the coordinator takes no such messages. */
const CHUNK = 128 << 10
const LEAST_CHUNK = 1 << 10

/** Bytes of a node and its number. */
const HEAD = 24

function headsOf(bytes) {
  const heads = new Map()
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + HEAD <= buffer.length; at += HEAD) heads.set(buffer.toString('hex', at, at + 16), buffer.readBigUInt64LE(at + 16))
  return heads
}

/** Whether `a` has something that `b` lacks. */
function exceeds(a, b) {
  for (const [node, head] of a) if ((b.get(node) ?? 0n) < head) return true
  return false
}

function bytesOf(heads) {
  const bytes = Buffer.alloc(HEAD * heads.size)
  let at = 0
  for (const [node, head] of heads) {
    bytes.write(node, at, 'hex')
    at = bytes.writeBigUInt64LE(head, at + 16)
  }
  return bytes
}

/** Of each node the smaller head: who has what is above has something for both. */
function lesser(a, b) {
  const least = new Map()
  for (const [node, head] of a) {
    const other = b.get(node) ?? 0n
    least.set(node, head < other ? head : other)
  }
  return least
}

/** Bytes before each event: its node, its number, its length. */
const PLACE = 28

/** Of which nodes events are there, from which number to which. */
function rangesOf(bytes) {
  const ranges = new Map()
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + PLACE <= buffer.length; at += PLACE + buffer.readUInt32LE(at + 24)) {
    const node = buffer.toString('hex', at, at + 16)
    const number = buffer.readBigUInt64LE(at + 16)
    const range = ranges.get(node)
    if (range === undefined) ranges.set(node, { first: number, last: number })
    else if (number > range.last) range.last = number
  }
  return ranges
}

/** A thing to do a little later, once. */
class Later {
  #timer

  constructor(work) {
    this.work = work
  }

  within(ms) {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.work()
    }, ms)
    this.#timer.unref()
  }

  cancel() {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

class Exchange {
  /** An agent or a coordinator. */
  #agent
  #native
  #settings
  #interval
  #news = new Later(() => this.#announce())
  #ask = new Later(() => this.#announce())
  #answer = new Later(() => this.#tell())
  /** What those have who are to be answered: of each node the least; undefined without any. */
  #owed
  /** The greatest heads that were heard of. */
  #heard = new Map()
  #chunk = CHUNK
  #againMs = AGAIN_MS
  #merging = Promise.resolve()
  #unsubscribe
  #listeners
  #end
  #stopped = false
  #warned = new Set()
  /** Of a coordinator. */
  #judge
  #judgement = new Later(() => this.#judge?.judge())
  ended

  static async start(agent, learner, options, words) {
    if (!(agent instanceof Agent) && !(agent instanceof Coordinator)) throw invalid(`agent must be an Agent or a Coordinator, got ${show(agent)}`)
    if (agent.state === 'closed') throw failure('CLOSED', 'the agent is closed')
    const exchange = new Exchange(agent, learner, options, words)
    await exchange.#announce()
    return exchange
  }

  constructor(agent, learner, options, words) {
    this.#agent = agent
    this.#native = learner
    const { costBps, policy, alpha, halfLife, halfLifeMs, minSamples, similarityThreshold, confidenceThreshold } = options
    // Learners agree on what they compute only if they compute the same.
    this.#settings = [costBps, policy, alpha, halfLife, halfLifeMs, minSamples, similarityThreshold, confidenceThreshold].join(' ')
    this.ended = new Promise((resolve) => { this.#end = resolve })
    this.#unsubscribe = agent.subscribe(TOPIC, (message) => this.#hear(message))
    if (agent instanceof Coordinator) {
      const judge = new Judge(agent, learner, { ...words, warn: (text) => this.#warn('judge', text) })
      this.#judge = judge
      this.#listeners = {
        agentJoined: ({ id }) => {
          judge.catchUp(id)
          this.#announce()
        },
      }
    } else {
      this.#listeners = { connected: () => this.#announce(), closed: () => this.stop() }
    }
    for (const [event, listener] of Object.entries(this.#listeners)) agent.on(event, listener)
    this.#interval = setInterval(() => this.#announce(), ANNOUNCE_MS)
    this.#interval.unref()
  }

  stop() {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#interval)
    this.#news.cancel()
    this.#ask.cancel()
    this.#answer.cancel()
    this.#judgement.cancel()
    for (const [event, listener] of Object.entries(this.#listeners)) this.#agent.off(event, listener)
    try {
      this.#unsubscribe()
    } catch (error) {
      // Of what is closed, the subscription is over.
      if (error.code !== 'CLOSED') throw error
    }
    this.#end()
  }

  /** Something was recorded here. */
  news() {
    if (this.#stopped) return
    this.#news.within(GATHER_MS)
    this.#judgement.within(GATHER_MS)
  }

  /** Says what is here; who lacks some of it asks, and who has more answers. */
  async #announce() {
    if (this.#stopped) return
    this.#news.cancel()
    this.#ask.cancel()
    const heads = this.#native.heads()
    if (exceeds(this.#heard, headsOf(heads))) {
      // What is lost, or not to be had now, is asked for again, and less and less often.
      this.#ask.within(this.#againMs * (0.5 + Math.random()))
      this.#againMs = Math.min(2 * this.#againMs, ANNOUNCE_MS)
    }
    await this.#say({ type: 'heads', settings: this.#settings, heads })
  }

  async #tell() {
    const owed = this.#owed
    this.#owed = undefined
    if (this.#stopped || owed === undefined) return
    const events = this.#native.since(bytesOf(owed), this.#chunk)
    if (events.length === 0 || await this.#say({ type: 'events', events })) return
    // Less at a time, where so much at once is not taken.
    if (this.#chunk > LEAST_CHUNK) {
      this.#chunk = Math.max(LEAST_CHUNK, this.#chunk >> 1)
      this.#owe(owed)
    } else {
      this.#warn('size', `an experience of ${events.length} bytes is larger than the swarm's messages may be, and is not shared`)
    }
  }

  #owe(heads) {
    this.#owed = this.#owed === undefined ? heads : lesser(this.#owed, heads)
    this.#answer.within(Math.random() * ANSWER_MS)
  }

  /** Somebody else has said these: they are owed no more. */
  #answered(events) {
    if (this.#owed === undefined) return
    for (const [node, { first, last }] of rangesOf(events)) {
      const head = this.#owed.get(node) ?? 0n
      if (first <= head + 1n && last > head) this.#owed.set(node, last)
    }
    if (exceeds(headsOf(this.#native.heads()), this.#owed)) return
    this.#owed = undefined
    this.#answer.cancel()
  }

  /** False: it is too large to be said. */
  async #say(message) {
    try {
      await this.#agent.publish(TOPIC, message)
    } catch (error) {
      if (error.code === 'TOO_LARGE') {
        if (message.type === 'heads') this.#warn('size', `learners cannot share experiences: ${error.message}`)
        return false
      }
      // Not connected, or for good: what was not said is said after the next connection. What is not allowed will not be.
      if (error.code === 'CLOSED') this.stop()
      if (error.code === 'FORBIDDEN') this.#warn('forbidden', `learners cannot share experiences: ${error.message}`)
    }
    return true
  }

  /** Once of each kind. */
  #warn(kind, text) {
    if (this.#warned.has(kind)) return
    this.#warned.add(kind)
    process.emitWarning(text, 'MidstreamerWarning')
  }

  #hear({ from, payload }) {
    if (this.#stopped || payload === null || typeof payload !== 'object') return
    const { type, heads, events, settings } = payload
    if (type === 'heads' && heads instanceof Uint8Array && heads.length % HEAD === 0) {
      if (settings !== this.#settings) this.#warn('settings', `the learner of ${show(from)} has other options: it has the same experiences, and other conclusions`)
      const mine = headsOf(this.#native.heads())
      const theirs = headsOf(heads)
      for (const [node, head] of theirs) if ((this.#heard.get(node) ?? 0n) < head) this.#heard.set(node, head)
      if (exceeds(theirs, mine)) this.#ask.within(Math.random() * ASK_MS)
      // Who has nothing beyond what is here asks for everything that is lacking here, too.
      else if (exceeds(this.#heard, mine)) this.#ask.cancel()
      if (exceeds(mine, theirs)) this.#owe(theirs)
    } else if (type === 'events' && events instanceof Uint8Array) {
      this.#answered(events)
      this.#merging = this.#merging.then(() => this.#merge(events, from))
    }
  }

  async #merge(events, from) {
    if (this.#stopped) return
    try {
      if (await this.#native.merge(events) > 0) {
        this.#againMs = AGAIN_MS
        if (!this.#stopped) this.#judgement.within(GATHER_MS)
      }
      if (!this.#stopped && exceeds(this.#heard, headsOf(this.#native.heads()))) this.#ask.within(Math.random() * ASK_MS)
    } catch (error) {
      const { code, message } = fromNative(error)
      if (code !== 'CLOSED') this.#warn('merge', `experiences of ${show(from)} were not taken over: ${message}`)
    }
  }
}

module.exports = { Exchange }
