'use strict'
// The work of an agent: calls handlers, and tells them when nobody wants their result any more.

const { failure, invalid, isArray, show } = require('./errors.js')
const { encode, decode } = require('./payload.js')

const NOTHING = new Uint8Array(0)

// For this module alone, and not for handlers.
let stopContext, isStopped

/** What the second argument of a handler is. Signal and progress are made when they are asked for: few tasks need them. */
class TaskContext {
  #work
  #token
  #controller
  #stopped
  #progress

  constructor(work, token, header) {
    this.#work = work
    this.#token = token
    this.taskId = header.taskId
    this.attempt = header.attempt
    this.fence = header.fence
    this.idempotencyKey = header.idempotencyKey
    this.deadline = header.deadline ?? Infinity
  }

  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#stopped !== undefined) this.#controller.abort(this.#stopped)
    }
    return this.#controller.signal
  }

  /** A function of its own, so that it can be taken out of the context. */
  get progress() {
    return this.#progress ??= (fraction) => this.#work.progress(this.#token, fraction)
  }

  static {
    stopContext = (context, reason) => {
      context.#stopped = reason
      context.#controller?.abort(reason)
    }
    isStopped = (context) => context.#stopped !== undefined
  }
}

class Work {
  constructor(inbox) {
    this.inbox = inbox
    this.handlers = new Map()
    this.running = new Map()
  }

  start(token, header, payload) {
    const { native } = this.inbox
    // Its lease may have ended while it waited for its turn of the event loop.
    if (!native.mayStart(token)) return
    const context = new TaskContext(this, token, header)
    this.running.set(token, context)
    let result
    try {
      result = this.handlers.get(header.kind)(decode(payload), context)
      if (typeof result?.then === 'function') {
        result.then((value) => this.finish(token, value), (error) => this.fail(token, error))
        return
      }
    } catch (error) {
      this.fail(token, error)
      return
    }
    this.finish(token, result)
  }

  /** Nobody wants the result: cancelled, out of time, or another agent has the task. The slot is free when the handler has ended. */
  stop(token, { code, message }) {
    const context = this.running.get(token)
    if (context === undefined) return
    stopContext(context, failure(code, message))
  }

  stopAll(reason) {
    const contexts = [...this.running.values()]
    this.running.clear()
    for (const context of contexts) stopContext(context, reason)
  }

  progress(token, fraction) {
    if (!(typeof fraction === 'number' && fraction >= 0 && fraction <= 1)) {
      throw invalid(`fraction must be a number from 0 to 1, got ${show(fraction)}`)
    }
    if (this.running.has(token) && !this.inbox.released) this.inbox.native.progress(token, fraction)
  }

  finish(token, value) {
    if (!this.#ended(token)) return
    try {
      this.inbox.native.finished(token, encode(value, 'result'))
    } catch (error) {
      this.inbox.native.failed(token, error.message, error.code, false)
    }
  }

  fail(token, error) {
    if (!this.#ended(token)) return
    const { message, code, retryable } = describe(error)
    this.inbox.native.failed(token, message, code, retryable)
  }

  /** A handler has ended. Whether anybody wants to know how. */
  #ended(token) {
    const context = this.running.get(token)
    // Closed meanwhile: the coordinator gives the task to somebody else.
    if (context === undefined || this.inbox.released) return false
    this.running.delete(token)
    if (!isStopped(context)) return true
    this.inbox.native.finished(token, NOTHING)
    return false
  }
}

/** What a handler threw, whatever it is: also no error at all, or one whose properties throw. */
function describe(error) {
  try {
    if (typeof error === 'string') return { message: error.slice(0, LONGEST_MESSAGE), code: undefined, retryable: true }
    if (error === null || typeof error !== 'object' || isArray(error) !== false) return { message: show(error), code: undefined, retryable: true }
    const { message, code, retryable } = error
    return {
      message: typeof message === 'string' ? message.slice(0, LONGEST_MESSAGE) : show(error),
      code: typeof code === 'string' && code !== '' ? code.slice(0, LONGEST_CODE) : undefined,
      retryable: retryable !== false,
    }
  } catch {
    return { message: 'an error that cannot be read', code: undefined, retryable: true }
  }
}

/** Characters that travel. */
const LONGEST_MESSAGE = 8192
const LONGEST_CODE = 256

module.exports = { Work }
