'use strict'
// The work of an agent: calls handlers, and tells them when nobody wants their result any more.

const { failure, invalid, isArray, show } = require('./errors.js')
const { encode, decode } = require('./payload.js')

/** Stops a context: for this module alone, and not for handlers. */
let stopContext

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

  /** Nobody wants the result: cancelled, out of time, or another agent has the task. */
  stop(token, { code, message }) {
    const context = this.running.get(token)
    if (context === undefined) return
    this.running.delete(token)
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
    if (this.running.has(token)) this.inbox.native.progress(token, fraction)
  }

  finish(token, value) {
    // Stopped meanwhile.
    if (!this.running.has(token)) return
    let bytes
    try {
      bytes = encode(value, 'result')
    } catch (error) {
      this.#send(token, error.message, error.code, false)
      return
    }
    this.running.delete(token)
    try {
      this.inbox.native.finished(token, bytes)
    } catch (error) {
      this.#send(token, error.message, error.code, false)
    }
  }

  fail(token, error) {
    if (!this.running.has(token)) return
    const { message, code, retryable } = describe(error)
    this.#send(token, message, code, retryable)
  }

  #send(token, message, code, retryable) {
    this.running.delete(token)
    // Closed meanwhile: the coordinator gives the task to somebody else.
    if (!this.inbox.released) this.inbox.native.failed(token, message, code, retryable)
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
