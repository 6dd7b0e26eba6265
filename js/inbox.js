'use strict'
// What comes back from the native side of a coordinator or an agent. Requests go in as calls with a number; answers and
// events come in batches, one for each turn of the event loop. The layout of a batch is in src/node/swarm/outbox.rs.

const { MidstreamerError, failure, fromNative, show } = require('./errors.js')
const { decode } = require('./payload.js')
const { aborted, watch, unwatch } = require('./task.js')

/** Types of records, as in src/node/swarm/outbox.rs. */
const RECORD = Object.freeze({
  more: 0, settled: 1, value: 2, failed: 3, message: 4, log: 5, identity: 6,
  agentJoined: 16, agentLeft: 17, taskFailed: 18, taskRetried: 19,
  work: 32, stop: 33, connected: 34, disconnected: 35, closed: 36, adapt: 37, subscriptionRefused: 38,
  links: 48,
})

const FIXED_BYTES = 24

/** How long records are read in one turn of the event loop. */
const TURN_MS = 5

/** As long as a timer can be. It does nothing: it is what keeps the process alive. */
const LONG_MS = 2 ** 31 - 1

/** What a request failed with. The error is made where the caller waits, so that its stack is the caller's. */
class Failure {
  constructor(message, details) {
    this.message = message
    this.details = details
  }

  toError() {
    return new MidstreamerError(this.message, this.details)
  }
}

/** An error of ours from the header of a record. */
function errorOf({ message, ...details }) {
  return new MidstreamerError(message, details)
}

/** What somebody threw, whatever it is: also an error whose properties throw. */
function wordsOf(error) {
  try {
    return typeof error?.message === 'string' ? error.message : show(error)
  } catch {
    return 'an error that cannot be read'
  }
}

/** What a callback of the caller's threw goes where Node's EventTarget sends it: to 'uncaughtException'. */
function throwLater(error) {
  process.nextTick(() => { throw error })
}

class Inbox {
  /** `deliver(type, token, header, payload)` gets every event. `what` names the object in errors. */
  constructor(Native, what, deliver) {
    this.what = what
    this.deliver = deliver
    this.pending = new Map()
    this.last = 0
    this.closed = false
    this.released = false
    this.postponed = false
    this.wake = () => this.#take()
    this.native = new Native(this.wake)
    this.timer = setInterval(() => {}, LONG_MS)
  }

  ref() {
    if (!this.released) this.timer.ref?.()
  }

  unref() {
    if (!this.released) this.timer.unref?.()
  }

  throwIfClosed() {
    if (this.closed) throw this.#closedError()
  }

  #closedError() {
    return failure('CLOSED', `the ${this.what} is closed`)
  }

  /** A call that is answered at once. */
  now(call) {
    this.throwIfClosed()
    try {
      return call(this.native)
    } catch (error) {
      throw fromNative(error)
    }
  }

  /** `call(native, request)` starts something; resolves to what it gives. */
  async ask(call) {
    this.throwIfClosed()
    const request = ++this.last
    const answer = new Promise((resolve) => { this.pending.set(request, resolve) })
    this.#start(call, request)
    const settled = await answer
    if (settled instanceof Failure) throw settled.toError()
    return settled
  }

  /** The same for a call that returns a waiter, which leaves when the signal aborts. */
  wait(signal, call) {
    return signal === undefined ? this.ask(call) : this.#waitUntil(signal, call)
  }

  async #waitUntil(signal, call) {
    this.throwIfClosed()
    const request = ++this.last
    let waiter
    const answer = new Promise((resolve) => { this.pending.set(request, resolve) })
    const leave = () => {
      // Already answered: there is nobody to leave.
      if (!this.#settle(request, LEFT)) return
      if (waiter !== undefined) this.#leave(waiter)
    }
    watch(signal, leave, leave)
    let settled
    try {
      waiter = this.#start(call, request)
      // A getter of an argument may have aborted since the first look; then the listener comes too late.
      if (signal.aborted) leave()
      settled = await answer
    } finally {
      unwatch(signal, leave)
    }
    if (settled === LEFT) throw aborted(signal)
    if (settled instanceof Failure) throw settled.toError()
    return settled
  }

  #leave(waiter) {
    if (!this.released) this.native.leave(waiter)
  }

  #start(call, request) {
    try {
      return call(this.native, request)
    } catch (error) {
      this.pending.delete(request)
      throw fromNative(error)
    }
  }

  #settle(request, settled) {
    const resolve = this.pending.get(request)
    if (resolve === undefined) return false
    this.pending.delete(request)
    resolve(settled)
    return true
  }

  /** Has the caller keep a renewed identity, and tells how that ended: until then the old one is used. */
  async keep(token, identity, onIdentity) {
    let reason = 'onIdentity failed'
    try {
      await onIdentity(identity)
      reason = undefined
    } catch (error) {
      reason = `onIdentity failed: ${wordsOf(error)}`
      process.emitWarning(`${reason}. The ${this.what} keeps its old identity and asks again.`, 'MidstreamerWarning')
    } finally {
      if (!this.released) this.native.identityKept(token, reason)
    }
  }

  /** Nothing comes any more: whoever still waits hears that it is closed, and the process may end. */
  release() {
    if (this.released) return
    this.closed = true
    this.released = true
    clearInterval(this.timer)
    this.native.release()
    const left = new Failure(`the ${this.what} is closed`, { code: 'CLOSED' })
    for (const resolve of this.pending.values()) resolve(left)
    this.pending.clear()
  }

  #take() {
    // What is left of the batch before comes first, and then this is called again.
    if (this.released || this.postponed) return
    const batch = this.native.take()
    if (batch !== null) this.#read(batch, new DataView(batch.buffer, batch.byteOffset, batch.byteLength), 0)
  }

  /** The records from `at` on; handlers and listeners that take long do not keep the event loop from everybody else. */
  #read(batch, view, at) {
    const until = performance.now() + TURN_MS
    while (at < batch.length) {
      const end = at + view.getUint32(at, true)
      const type = view.getUint8(at + 4)
      const token = view.getFloat64(at + 8, true)
      const headerAt = at + FIXED_BYTES
      const headerEnd = headerAt + view.getUint32(at + 16, true)
      at = padded(end)
      // An event may have closed it: what came with it is not delivered any more.
      if (this.released) return
      try {
        this.#record(type, token, batch, headerAt, headerEnd, end)
      } catch (error) {
        throwLater(error)
      }
      if (at < batch.length && performance.now() > until) {
        this.postponed = true
        setImmediate(() => {
          this.postponed = false
          this.#read(batch, view, at)
          this.#take()
        })
        return
      }
    }
  }

  #record(type, token, batch, headerAt, headerEnd, end) {
    switch (type) {
      case RECORD.more:
        setImmediate(this.wake)
        return
      case RECORD.settled:
        this.#settle(token, JSON.parse(batch.utf8Slice(headerAt, headerEnd)))
        return
      case RECORD.value:
        // Nobody waits any more: neither is its value made.
        if (this.pending.has(token)) this.#settle(token, this.#value(batch, headerAt, headerEnd, end))
        return
      case RECORD.failed: {
        const { message, ...details } = JSON.parse(batch.utf8Slice(headerAt, headerEnd))
        this.#settle(token, new Failure(message, details))
        return
      }
      default:
        this.deliver(type, token, JSON.parse(batch.utf8Slice(headerAt, headerEnd)), batch.subarray(padded(headerEnd), end))
    }
  }

  #value(batch, headerAt, headerEnd, end) {
    const result = JSON.parse(batch.utf8Slice(headerAt, headerEnd))
    try {
      result.value = decode(batch.subarray(padded(headerEnd), end))
      return result
    } catch (error) {
      return new Failure(`the result of task ${result.taskId} cannot be read: ${error.message}`, { code: 'PROTOCOL', cause: error })
    }
  }
}

/** What a request is settled with when its signal aborts. */
const LEFT = new Failure('', {})

/** The next multiple of 8. */
function padded(bytes) {
  return bytes + (-bytes & 7)
}

module.exports = { Inbox, RECORD, errorOf, throwLater }
