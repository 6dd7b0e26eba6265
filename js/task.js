'use strict'
// One asynchronous call of the addon: abort, progress, errors with the caller's stack.

const native = require('./native.js')
const { MidstreamerError, fromNative } = require('./errors.js')

/** How often progress is looked at. */
const PROGRESS_MS = 50

function aborted(signal) {
  return new MidstreamerError('the operation was aborted', { code: 'ABORTED', cause: signal.reason })
}

/** Before any work: an aborted signal is enough to reject. */
function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal)
}

// The running jobs of each signal, behind one listener: a signal shared by thousands of calls would otherwise
// collect thousands of listeners, and Node would warn of a leak.
const jobsOf = new WeakMap()

/** Calls `leave` when the signal aborts. */
function watch(signal, job, leave) {
  let entry = jobsOf.get(signal)
  if (entry === undefined) {
    const jobs = new Map()
    const listener = () => { for (const leave of jobs.values()) leave() }
    jobsOf.set(signal, entry = { jobs, listener })
    signal.addEventListener('abort', listener, { once: true })
  }
  entry.jobs.set(job, leave)
}

function unwatch(signal, job) {
  const entry = jobsOf.get(signal)
  entry.jobs.delete(job)
  if (entry.jobs.size === 0) {
    jobsOf.delete(signal)
    signal.removeEventListener('abort', entry.listener)
  }
}

/**
 * Calls `start(job)`, a function of the addon that returns a promise, and waits. With `onProgress`, `total` is the
 * number of units that the work counts. `await` everywhere, even before return: it keeps the caller in the stack.
 */
async function run(options, total, start) {
  if (options.signal === undefined && options.onProgress === undefined) {
    try {
      return await start(undefined)
    } catch (error) {
      throw fromNative(error)
    }
  }
  return await follow(options, total, new native.Job(), start)
}

/** The same for a job of another make: `cancel()` asks it to stop, `done` says how far it is. */
async function follow({ signal, onProgress }, total, job, start) {
  const progress = onProgress === undefined ? undefined : new Progress(job, total, onProgress, signal)
  // Settles at once when the signal aborts: the work itself may still be waiting for a thread, behind somebody else's.
  let left
  if (signal !== undefined) {
    left = new Promise((resolve) => {
      const leave = () => {
        job.cancel()
        resolve()
      }
      watch(signal, job, leave)
      // A getter of an argument may have aborted since the first look; then the listener comes too late.
      if (signal.aborted) leave()
    })
  }
  let result, failed
  try {
    const work = start(job)
    progress?.start()
    // A race listens to both, so what becomes of work that was left is heard and goes unheeded.
    result = await (left === undefined ? work : Promise.race([work, left]))
  } catch (error) {
    failed = error
  } finally {
    progress?.stop()
    if (signal !== undefined) unwatch(signal, job)
  }
  progress?.rethrow()
  // Whoever has aborted does not get a result that happened to be ready.
  throwIfAborted(signal)
  if (failed !== undefined) throw fromNative(failed)
  if (progress !== undefined) {
    await progress.finish()
    // The last callback may have aborted too.
    throwIfAborted(signal)
  }
  return result
}

/** Looks at a job now and then, and tells the callback when it has come further. */
class Progress {
  constructor(job, total, callback, signal) {
    this.job = job
    this.total = total
    this.callback = callback
    this.signal = signal
    this.last = 0
    this.thrown = undefined
    this.pending = new Set()
  }

  start() {
    this.timer = setInterval(() => this.look(), PROGRESS_MS)
    // The work itself keeps the process alive for as long as it must.
    this.timer.unref?.()
  }

  look() {
    if (this.signal?.aborted) return
    const done = this.job.done
    // (total, total) is for the end, when the result is there.
    if (done <= this.last || done >= this.total) return
    this.last = done
    this.tell(done)
  }

  /** A callback that is an async function fails later, but fails all the same. */
  tell(done) {
    try {
      const returned = this.callback(done, this.total)
      if (typeof returned?.then !== 'function') return
      const settled = Promise.resolve(returned).then(() => {}, (error) => this.fail(error)).then(() => this.pending.delete(settled))
      this.pending.add(settled)
    } catch (error) {
      this.fail(error)
    }
  }

  fail(error) {
    this.thrown ??= { error }
    this.stop()
    this.job.cancel()
  }

  /** The last call, and what the callbacks still have to do. */
  async finish() {
    this.tell(this.total)
    await Promise.all(this.pending)
    this.rethrow()
  }

  stop() {
    clearInterval(this.timer)
  }

  /** What the callback threw belongs to whoever passed it. */
  rethrow() {
    if (this.thrown !== undefined) throw this.thrown.error
  }
}

module.exports = { run, follow, throwIfAborted, aborted, watch, unwatch }
