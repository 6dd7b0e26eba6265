'use strict'
// Workers, each with a module of its own, that make one call at a time. They are started when there is work for them and kept.

const { failure } = require('../errors.js')
const { calls, checkSize, guarded } = require('./calls.js')

/** The buffers of what is sent, which then need not be copied. */
function buffersOf(value) {
  if (ArrayBuffer.isView(value)) return [value.buffer]
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(buffersOf) : []
}

/** The caller may change its arrays as soon as the call returns, so the call has its own. */
function own(args) {
  try {
    return args.map((arg) => (ArrayBuffer.isView(arg) ? arg.slice() : arg))
  } catch (error) {
    if (error instanceof RangeError) throw failure('TOO_LARGE', `there is no memory for a copy of what was passed: ${error.message}`)
    throw error
  }
}

const failed = (error) => failure('INTERNAL', `internal error: a worker of the WebAssembly module failed: ${error?.message ?? error}`)

const aborted = () => failure('ABORTED', 'the operation was aborted')

class Pool {
  #module
  #host
  /** Calls { id, name, args, job, resolve, reject } that wait for a worker. */
  #waiting = []
  #idle = []
  #started = 0
  #nextId = 0

  /** `host` starts workers: `start(module)` gives one, `width` is how many there may be; 0: calls run on this thread. */
  constructor(module, host) {
    this.#module = module
    this.#host = host
  }

  /** Threads that work at once. */
  get width() {
    return Math.max(1, this.#host.width)
  }

  /** Makes the call `name` in a worker. */
  async run(name, args, job) {
    checkSize(args)
    if (job?.cancelled) throw aborted()
    if (this.#host.width === 0) return await this.#runHere(name, args)
    return await new Promise((resolve, reject) => {
      const call = { id: this.#nextId++, name, args: own(args), job, resolve, reject }
      if (job !== undefined) job.leave = () => this.#leave(call)
      this.#waiting.push(call)
      this.#next()
    })
  }

  /** Not before the caller has its promise; then the thread is busy until the result is there. */
  async #runHere(name, args) {
    const mine = own(args)
    await undefined
    return guarded(() => calls[name](...mine))
  }

  #next() {
    while (this.#waiting.length > 0) {
      let worker = this.#idle.pop()
      if (worker === undefined) {
        if (this.#started >= this.#host.width) return
        try {
          worker = this.#start()
        } catch (error) {
          // A page may forbid workers. Calls that wait for the others wait on.
          if (this.#started === 0) this.#waiting.shift().reject(failed(error))
          else return
          continue
        }
      }
      const call = this.#waiting.shift()
      call.worker = worker
      worker.call = call
      worker.hold()
      worker.post({ id: call.id, name: call.name, args: call.args, told: call.job !== undefined }, buffersOf(call.args))
      call.args = undefined
    }
  }

  #start() {
    const worker = this.#host.start(this.#module, {
      answered: (message) => this.#answered(worker, message),
      failed: (error) => this.#failed(worker, error),
    })
    this.#started++
    return worker
  }

  #answered(worker, { id, done, result, error, grown }) {
    const { call } = worker
    if (call?.id !== id) return
    if (done !== undefined) {
      if (call.job !== undefined) call.job.told = done
      return
    }
    worker.call = undefined
    if (error === undefined) call.resolve(result)
    else call.reject(Object.assign(new Error(error.message), { code: error.code }))
    // What trapped may have left things half done, and memory comes back with the worker alone: others get a new one.
    if (error?.trapped || grown) this.#drop(worker)
    else {
      worker.release()
      this.#idle.push(worker)
    }
    this.#next()
  }

  /** It did not start, or ended by itself. */
  #failed(worker, error) {
    if (worker.gone) return
    this.#drop(worker)
    worker.call?.reject(failed(error))
    worker.call = undefined
    this.#next()
  }

  /** Nobody waits for the call any more: a worker that is in the middle of it is ended, for nothing else would stop it. */
  #leave(call) {
    const at = this.#waiting.indexOf(call)
    if (at >= 0) this.#waiting.splice(at, 1)
    else if (call.worker?.call === call) {
      call.worker.call = undefined
      this.#drop(call.worker)
    } else return
    call.reject(aborted())
    this.#next()
  }

  #drop(worker) {
    if (worker.gone) return
    worker.gone = true
    this.#started--
    this.#idle = this.#idle.filter((other) => other !== worker)
    worker.end()
  }
}

module.exports = { Pool, buffersOf }
