'use strict'
// Coordinator: accepts tasks, hands them to agents, and keeps their outcomes.

const native = require('./native.js')
const { Inbox, RECORD } = require('./inbox.js')
const { Events, Topics } = require('./listeners.js')
const { TaskMap } = require('./task-map.js')
const shards = require('./shards.js')
const { encode } = require('./payload.js')
const { throwIfAborted } = require('./task.js')
const { failure, fromNative, invalid, show } = require('./errors.js')
const { readOptions, checksOf, abortSignal, callback, count } = require('./options.js')
const { AUDIT_KEY } = require('./audit-key.js')
const { ADAPT } = require('./coordinator-inside.js')
const { nativeAuthority, grants } = require('./authority.js')
const { name, key, names, address, identity, directory, amount, small, text } = require('./swarm-options.js')

/** Bytes of one message: what a batch of the addon can hold. */
const MOST_MESSAGE_BYTES = 2 ** 30

function messageBytes(what, value) {
  if (Number.isSafeInteger(value) && value >= 1024 && value <= MOST_MESSAGE_BYTES) return value
  throw invalid(`${what} must be an integer from 1024 to ${MOST_MESSAGE_BYTES}, got ${show(value)}`)
}

/** What agents take as a timeout: 100 ms to a day. */
function timeout(what, value) {
  if (Number.isSafeInteger(value) && value >= 100 && value <= 86_400_000) return value
  throw invalid(`${what} must be an integer from 100 to 86400000, got ${show(value)}`)
}

function priority(what, value) {
  if (Number.isInteger(value) && value >= 0 && value <= 9) return value
  throw invalid(`${what} must be an integer from 0 to 9, got ${show(value)}`)
}

/** The authority of the addon behind one of ours. */
function authority(what, value) {
  const opened = nativeAuthority(value)
  if (opened === undefined) throw invalid(`${what} must be a CertificateAuthority, got ${show(value)}`)
  return opened
}

const START = checksOf({
  listen: address,
  identity,
  dataDir: directory,
  agentTimeoutMs: timeout,
  taskTimeoutMs: amount,
  maxAttempts: small,
  maxQueued: small,
  maxAgents: small,
  maxMessageBytes: messageBytes,
  resultRetentionMs: amount,
  maxRetainedBytes: amount,
  http: address,
  onLog: callback,
  enrollListen: address,
  authority,
  onIdentity: callback,
})
// -1 crosses for "what the native side has".
const START_DEFAULTS = Object.freeze({
  listen: '127.0.0.1:0', identity: ['', '', ''], authority: undefined, onIdentity: undefined, enrollListen: '', dataDir: '', agentTimeoutMs: -1, taskTimeoutMs: -1, maxAttempts: -1, maxQueued: -1,
  maxAgents: -1, maxMessageBytes: -1, resultRetentionMs: -1, maxRetainedBytes: -1, http: '',
})
const JOIN = checksOf({ ttlMs: amount, uses: small, grants })
const JOIN_DEFAULTS = Object.freeze({ ttlMs: 3_600_000, uses: 1, grants: Object.freeze({}) })
const TASK = checksOf({
  kind: name,
  payload: (_, value) => value,
  priority,
  requires: names,
  timeoutMs: amount,
  attemptTimeoutMs: amount,
  progressTimeoutMs: amount,
  idempotencyKey: key,
  maxAttempts: small,
})
const TASK_DEFAULTS = Object.freeze({
  kind: undefined, payload: undefined, priority: 0, requires: undefined, timeoutMs: -1, attemptTimeoutMs: -1, progressTimeoutMs: -1,
  idempotencyKey: undefined, maxAttempts: -1,
})
const WAIT = checksOf({ signal: abortSignal })
const DRAIN = checksOf({ timeoutMs: amount })
const MAP = checksOf({
  concurrency: count,
  signal: abortSignal,
  onError: (what, value) => {
    if (value === 'throw' || value === 'yield') return value
    throw invalid(`${what} must be 'throw' or 'yield', got ${show(value)}`)
  },
})
const MAP_DEFAULTS = Object.freeze({ concurrency: 64, signal: undefined, onError: 'throw' })
const NONE = Object.freeze({})
const NO_TIMEOUT = Object.freeze({ timeoutMs: -1 })

const EVENTS = ['agentJoined', 'agentLeft', 'taskFailed', 'taskRetried']

/** Only `start` makes coordinators. */
const INSIDE = Symbol('inside')

class Coordinator {
  #inbox
  #events = new Events('a Coordinator', EVENTS)
  #topics
  #onLog
  #onIdentity
  #closing
  #id
  #address
  #enrollAddress
  #httpAddress

  constructor(inside) {
    if (inside !== INSIDE) throw invalid('a Coordinator is made by Coordinator.start()')
    this.#inbox = new Inbox(native.NativeCoordinator, 'coordinator', (type, token, header, payload) => this.#deliver(type, token, header, payload))
    this.#topics = new Topics(this.#inbox)
  }

  static async start(options) {
    const checked = readOptions(options, START, START_DEFAULTS, 'Coordinator.start')
    const coordinator = new Coordinator(INSIDE)
    await coordinator.#start(checked)
    return coordinator
  }

  async #start(options) {
    const [certificate, privateKey, ca] = options.identity
    this.#onLog = options.onLog
    this.#onIdentity = options.onIdentity
    try {
      const { id, address, enrollAddress, httpAddress } = await this.#inbox.ask((native, request) => native.start(
        request, options.listen, certificate, privateKey, ca, options.authority, this.#onIdentity !== undefined, options.enrollListen, options.dataDir, options.agentTimeoutMs, options.taskTimeoutMs,
        options.maxAttempts, options.maxQueued, options.maxAgents, options.maxMessageBytes, options.resultRetentionMs,
        options.maxRetainedBytes, options.http, this.#onLog !== undefined,
      ))
      this.#id = id
      this.#address = address
      this.#enrollAddress = enrollAddress
      this.#httpAddress = httpAddress
    } catch (error) {
      this.#inbox.release()
      throw error
    }
  }

  get id() {
    return this.#id
  }

  get address() {
    return this.#address
  }

  get enrollAddress() {
    return this.#enrollAddress
  }

  get httpAddress() {
    return this.#httpAddress
  }

  async developmentIdentity(agentId) {
    name('agentId', agentId)
    const [certificate, privateKey, ca] = this.#inbox.now((native) => native.developmentIdentity(agentId))
    return { certificate, privateKey, ca }
  }

  async createJoinToken(options) {
    const { ttlMs, uses, grants } = readOptions(options, JOIN, JOIN_DEFAULTS, 'createJoinToken')
    const { agentTypes, kinds, topics, databases } = grants
    return await this.#inbox.ask((native, request) => native.createJoinToken(request, ttlMs, uses, agentTypes, kinds, topics, databases))
  }

  async enqueue(task) {
    const fields = readTask(task)
    return await this.#inbox.ask((native, request) => send(native, request, false, fields))
  }

  async submit(task, options) {
    const { signal } = readOptions(options, WAIT, NONE, 'submit')
    throwIfAborted(signal)
    const fields = readTask(task)
    return await this.#inbox.wait(signal, (native, request) => send(native, request, true, fields))
  }

  async result(taskIdOrKey, options) {
    const { signal } = readOptions(options, WAIT, NONE, 'result')
    throwIfAborted(signal)
    key('taskIdOrKey', taskIdOrKey)
    return await this.#inbox.wait(signal, (native, request) => native.result(request, taskIdOrKey))
  }

  task(taskIdOrKey) {
    key('taskIdOrKey', taskIdOrKey)
    const state = this.#inbox.now((native) => native.task(taskIdOrKey))
    return state === null ? undefined : JSON.parse(state)
  }

  async cancel(taskIdOrKey) {
    key('taskIdOrKey', taskIdOrKey)
    return await this.#inbox.ask((native, request) => native.cancel(request, taskIdOrKey))
  }

  map(tasks, options) {
    const checked = readOptions(options, MAP, MAP_DEFAULTS, 'map')
    return new TaskMap(tasks, checked, (task, signal) => this.submit(task, { signal }))
  }

  async deadLetters() {
    return JSON.parse(this.#inbox.now((native) => native.deadLetters()))
  }

  async retryDeadLetter(taskId) {
    key('taskId', taskId)
    await this.#inbox.ask((native, request) => native.retryDeadLetter(request, taskId))
  }

  async publish(topic, payload) {
    name('topic', topic)
    const bytes = encode(payload, 'payload')
    return await this.#inbox.ask((native, request) => native.publish(request, topic, bytes))
  }

  subscribe(topic, listener) {
    return this.#topics.subscribe(name('topic', topic), callback('listener', listener))
  }

  agents() {
    return JSON.parse(this.#inbox.now((native) => native.agents()))
  }

  stats() {
    return JSON.parse(this.#inbox.now((native) => native.stats()))
  }

  metrics() {
    return this.#inbox.now((native) => native.metrics())
  }

  on(event, listener) {
    this.#events.on(event, listener)
    return this
  }

  off(event, listener) {
    this.#events.off(event, listener)
    return this
  }

  async revoke(agentId, reason = '') {
    name('agentId', agentId)
    text('reason', reason)
    await this.#inbox.ask((native, request) => native.revoke(request, agentId, reason))
  }

  async rotateIdentity(newIdentity) {
    const parts = identity('identity', newIdentity)
    try {
      await this.#inbox.now((native) => native.rotateIdentity(...parts))
    } catch (error) {
      throw fromNative(error)
    }
  }

  async [AUDIT_KEY](step, keyId) {
    await this.#inbox.ask((native, request) => native.auditKey(request, step, keyId))
  }

  [ADAPT](call) {
    return this.#inbox.now(call)
  }

  auditLog() {
    const log = this.#inbox.now((native) => native.auditLog())
    if (log == null) return null
    const { path, publicKey, seq, head } = log
    return { path, publicKey, anchor: { seq, head } }
  }

  async lcsMatrix(sequences, options) {
    return await shards.lcsMatrix(this, sequences, options)
  }

  async dtwMatrix(series, options) {
    return await shards.dtwMatrix(this, series, options)
  }

  async distribute(patterns, options) {
    return await shards.distribute(this, patterns, options)
  }

  async drain(options) {
    const { timeoutMs } = readOptions(options, DRAIN, NO_TIMEOUT, 'drain')
    await this.#inbox.ask((native, request) => native.drain(request, timeoutMs))
  }

  async close() {
    await (this.#closing ??= this.#close())
  }

  async #close() {
    const closed = this.#inbox.ask((native, request) => native.close(request))
    this.#inbox.closed = true
    try {
      await closed
    } finally {
      this.#inbox.release()
    }
  }

  ref() {
    this.#inbox.ref()
  }

  unref() {
    this.#inbox.unref()
  }

  #deliver(type, token, header, payload) {
    switch (type) {
      case RECORD.message: return this.#topics.deliver(header, payload)
      case RECORD.agentJoined: return this.#events.emit('agentJoined', this, header)
      case RECORD.agentLeft: return this.#events.emit('agentLeft', this, header)
      case RECORD.taskFailed: return this.#events.emit('taskFailed', this, header)
      case RECORD.taskRetried: return this.#events.emit('taskRetried', this, header)
      case RECORD.identity: return void this.#inbox.keep(token, header, this.#onIdentity)
      case RECORD.log: return this.#onLog(header)
      default: throw failure('INTERNAL', `unknown record ${type}`)
    }
  }
}
// Node 18 lacks the symbol in its first versions; there and later it is what this says.
Object.defineProperty(Coordinator.prototype, Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'), {
  value: async function () { await this.close() }, configurable: true, writable: true,
})

function readTask(task) {
  if (task === undefined) throw invalid('task must be an object, got undefined')
  const fields = readOptions(task, TASK, TASK_DEFAULTS, 'a task')
  if (fields.kind === undefined) throw invalid('kind must be a string that is not empty, got undefined')
  fields.payload = encode(fields.payload, 'payload')
  return fields
}

function send(native, request, wait, task) {
  return native.submit(
    request, wait, task.kind, task.payload, task.priority, task.timeoutMs, task.attemptTimeoutMs, task.progressTimeoutMs,
    task.maxAttempts, task.idempotencyKey, task.requires,
  )
}

module.exports = { Coordinator }
