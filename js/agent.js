'use strict'
// Agent: runs tasks for a coordinator, with handlers in JavaScript and with the kernels that are built in.

const native = require('./native.js')
const { Inbox, RECORD, errorOf } = require('./inbox.js')
const { Events, Topics } = require('./listeners.js')
const { Work } = require('./work.js')
const { encode, decode } = require('./payload.js')
const { memberId } = require('./authority.js')
const { aborted, follow, throwIfAborted, watch, unwatch } = require('./task.js')
const { failure, invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf, abortSignal, callback } = require('./options.js')
const { name, names, address, identity, amount, small, recordOf, checkDescription, text } = require('./swarm-options.js')

/** Kinds that every agent runs natively. */
const BUILT_IN = new Set(['dtw', 'dtw.nearest', 'dtw.matrix', 'lcs', 'lcs.matrix', 'library.search'])

/** As the protocol has it. */
const MOST_CONCURRENT = 4096

/** Kinds of an agent beside those that are built in: 256 in all. */
const MOST_KINDS = 240

/** Keys of metadata. */
const MOST_METADATA = 64

function addresses(what, value) {
  if (isArray(value) !== true) return [address(what, value)]
  if (value.length === 0) throw invalid(`${what} must name at least one coordinator, got an empty array`)
  return Array.from(value, (item, i) => address(`${what}[${i}]`, item))
}

function concurrency(what, value) {
  if (Number.isInteger(value) && value >= 1 && value <= MOST_CONCURRENT) return value
  throw invalid(`${what} must be an integer from 1 to ${MOST_CONCURRENT}, got ${show(value)}`)
}

function checkCount(what, count, most) {
  if (count > most) throw failure('TOO_LARGE', `${what} must have at most ${most} entries, got ${count}`)
}

function fallback(what, value) {
  if (value === 'none') return value
  if (value === 'websocket') throw invalid(`${what}: 'websocket' comes with a later version; there is 'none'`)
  throw invalid(`${what} must be 'none' or 'websocket', got ${show(value)}`)
}

function checkKind(what, kind) {
  name(what, kind)
  // Those with the prefix are for the coordinator's own work on the whole swarm.
  if (BUILT_IN.has(kind) || kind.startsWith('midstreamer.')) throw invalid(`${what}: ${show(kind)} is built in and runs without a handler`)
  return kind
}

/** A join token. What is wrong with one is said without showing it. */
function joinToken(what, value) {
  if (typeof value === 'string' && value !== '') return value
  throw invalid(`${what} must be a string: what createJoinToken() gave`)
}

const ENROLL = checksOf({ address, token: joinToken, agentId: memberId, signal: abortSignal })
const ENROLL_DEFAULTS = Object.freeze({ address: '', token: undefined, agentId: undefined, signal: undefined })
const CONNECT = checksOf({
  address: addresses,
  identity,
  type: name,
  capabilities: names,
  metadata: recordOf(text),
  concurrency,
  handlers: recordOf(callback),
  connectTimeoutMs: small,
  signal: abortSignal,
  fallback,
  onIdentity: callback,
})
const CONNECT_DEFAULTS = Object.freeze({
  address: undefined, identity: undefined, type: 'worker', capabilities: Object.freeze([]), metadata: Object.freeze({}), concurrency: 16,
  handlers: Object.freeze({}), connectTimeoutMs: 30_000, signal: undefined, onIdentity: undefined,
})
const DRAIN = checksOf({ timeoutMs: amount })
const NO_TIMEOUT = Object.freeze({ timeoutMs: -1 })

const EVENTS = ['connected', 'disconnected', 'adapt', 'closed']

/** Only `connect` makes agents. */
const INSIDE = Symbol('inside')

class Agent {
  #inbox
  #events = new Events('an Agent', EVENTS)
  #topics
  #work
  #kinds
  #closing
  #final = false
  #connected = false
  #onIdentity
  #id

  constructor(inside) {
    if (inside !== INSIDE) throw invalid('an Agent is made by Agent.connect()')
    this.#inbox = new Inbox(native.NativeAgent, 'agent', (type, token, header, payload) => this.#deliver(type, token, header, payload))
    this.#topics = new Topics(this.#inbox)
    this.#work = new Work(this.#inbox)
  }

  static async enroll(options) {
    const checked = readOptions(options, ENROLL, ENROLL_DEFAULTS, 'Agent.enroll')
    const { address: at, token, agentId, signal } = checked
    if (token === undefined) throw invalid('token must be a string: what createJoinToken() gave')
    if (agentId === undefined) throw invalid('agentId is required: who this machine is to be')
    throwIfAborted(signal)
    const [certificate, privateKey, ca] = await follow({ signal }, 0, new native.NativeEnrolment(), (enrolment) => enrolment.enroll(at, token, agentId))
    return { certificate, privateKey, ca }
  }

  static async connect(options) {
    const checked = readOptions(options, CONNECT, CONNECT_DEFAULTS, 'Agent.connect')
    if (checked.address === undefined) throw invalid("address must be a string 'host:port', or an array of them, got undefined")
    if (checked.identity === undefined) throw invalid('identity must be an object with certificate, privateKey and ca in PEM, got undefined')
    const kinds = Object.keys(checked.handlers)
    for (const kind of kinds) checkKind('handlers', kind)
    checkCount('handlers', kinds.length, MOST_KINDS)
    checkCount('capabilities', checked.capabilities.length, MOST_KINDS)
    checkCount('metadata', Object.keys(checked.metadata).length, MOST_METADATA)
    checkDescription([checked.type, ...checked.capabilities, ...Object.entries(checked.metadata).flat(), ...kinds])
    throwIfAborted(checked.signal)
    const agent = new Agent(INSIDE)
    await agent.#connect(checked, kinds)
    return agent
  }

  async #connect(options, kinds) {
    const { signal, handlers } = options
    const [certificate, privateKey, ca] = options.identity
    this.#kinds = new Set(kinds)
    this.#onIdentity = options.onIdentity
    for (const kind of kinds) this.#work.handlers.set(kind, handlers[kind])
    const abort = () => this.#inbox.native.abort()
    if (signal !== undefined) watch(signal, this, abort)
    try {
      const connected = this.#inbox.ask((native, request) => native.connect(
        request, options.address, certificate, privateKey, ca, this.#onIdentity !== undefined, options.type, options.capabilities, Object.entries(options.metadata).flat(),
        options.concurrency, kinds, options.connectTimeoutMs,
      ))
      if (signal?.aborted) abort()
      this.#id = await connected
      this.#connected = true
      if (!signal?.aborted) return
      // It was too late to stop it, and nobody wants it.
      await this.close()
      throw aborted(signal)
    } catch (error) {
      this.#inbox.release()
      throw signal?.aborted ? aborted(signal) : error
    } finally {
      if (signal !== undefined) unwatch(signal, this)
    }
  }

  /** The agent of the addon; undefined for what is no Agent. */
  static native(value) {
    return typeof value === 'object' && value !== null && #inbox in value ? value.#inbox.now((native) => native) : undefined
  }

  get id() {
    return this.#id
  }

  get state() {
    return this.#inbox.released ? 'closed' : this.#inbox.native.state()
  }

  handle(kind, handler) {
    checkKind('kind', kind)
    callback('handler', handler)
    if (!this.#kinds.has(kind)) {
      checkDescription([kind, ...this.#kinds])
      checkCount('the kinds of an agent', this.#kinds.size + 1, MOST_KINDS)
      this.#inbox.now((native) => native.handle(kind))
      this.#kinds.add(kind)
    }
    this.#inbox.throwIfClosed()
    this.#work.handlers.set(kind, handler)
  }

  async publish(topic, payload) {
    name('topic', topic)
    const bytes = encode(payload, 'payload')
    await this.#inbox.ask((native, request) => native.publish(request, topic, bytes))
  }

  subscribe(topic, listener) {
    return this.#topics.subscribe(name('topic', topic), callback('listener', listener))
  }

  on(event, listener) {
    this.#events.on(event, listener)
    return this
  }

  off(event, listener) {
    this.#events.off(event, listener)
    return this
  }

  async drain(options) {
    const { timeoutMs } = readOptions(options, DRAIN, NO_TIMEOUT, 'drain')
    await this.#inbox.ask((native, request) => native.drain(request, timeoutMs))
  }

  async close() {
    await (this.#closing ??= this.#close())
  }

  async #close() {
    if (this.#inbox.released) return
    const closed = this.#inbox.ask((native, request) => native.close(request))
    this.#inbox.closed = true
    this.#work.stopAll(failure('CLOSED', 'the agent is closed'))
    try {
      await closed
    } finally {
      this.#finish(undefined)
    }
  }

  /** For good, whoever wanted it. */
  #finish(error) {
    if (this.#final) return
    this.#final = true
    this.#inbox.release()
    this.#work.stopAll(error ?? failure('CLOSED', 'the agent is closed'))
    this.#events.emit('closed', this, error)
  }

  ref() {
    this.#inbox.ref()
  }

  unref() {
    this.#inbox.unref()
  }

  #deliver(type, token, header, payload) {
    switch (type) {
      case RECORD.work: return this.#work.start(token, header, payload)
      case RECORD.identity: return void this.#inbox.keep(token, header, this.#onIdentity)
      case RECORD.stop: return this.#work.stop(token, header)
      case RECORD.message: return this.#topics.deliver(header, payload)
      case RECORD.connected:
        // connect() says so itself the first time.
        if (this.#connected) this.#events.emit('connected', this, header)
        return
      case RECORD.disconnected: return this.#events.emit('disconnected', this, header)
      case RECORD.subscriptionRefused:
        process.emitWarning(`agent ${show(this.#id ?? '')} gets no messages on the topic ${show(header.topic)}: ${header.code}, ${header.reason}`, 'MidstreamerWarning')
        return
      case RECORD.adapt:
        // Who has just connected is told at once where things are: after connect() has returned, so that somebody listens.
        setImmediate(() => this.#events.emit('adapt', this, { command: header.command, payload: decode(payload) }))
        return
      case RECORD.closed:
        // After close() its own answer says so, when everything is gone.
        if (!this.#inbox.closed && this.#connected) this.#finish(header === null ? undefined : errorOf(header))
        return
      default: throw failure('INTERNAL', `unknown record ${type}`)
    }
  }
}
// Node 18 lacks the symbol in its first versions; there and later it is what this says.
Object.defineProperty(Agent.prototype, Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'), {
  value: async function () { await this.close() }, configurable: true, writable: true,
})

const nativeAgent = Agent.native
// For the rest of the facade, not for users.
delete Agent.native

module.exports = { Agent, nativeAgent, checkKind, BUILT_IN }
