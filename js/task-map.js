'use strict'
// Coordinator.map: many tasks, some of them in flight, results in the order in which they come.

const { MidstreamerError, invalid, show } = require('./errors.js')
const { throwLater } = require('./inbox.js')
const { aborted, watch, unwatch } = require('./task.js')

class TaskMap {
  #source
  #submit
  #concurrency
  #signal
  #yieldErrors
  #next = 0
  /** Results that nobody has asked for yet. */
  #ready = []
  #inFlight = 0
  /** The source is asked for its next task. */
  #pulling = false
  #exhausted = false
  /** { error }, to be thrown by the next call; after that, and after the end, there is nothing more. */
  #failed
  #done = false
  /** Calls of next() that wait for a result. */
  #waiting = []
  /** Cancels what is in flight. */
  #stop = new AbortController()
  #onAbort = () => {
    // Whoever has aborted does not get what happened to be ready.
    this.#ready = []
    this.#fail(aborted(this.#signal))
  }

  constructor(tasks, { concurrency, signal, onError }, submit) {
    const iterate = tasks?.[Symbol.asyncIterator] ?? tasks?.[Symbol.iterator]
    if (typeof iterate !== 'function' || typeof tasks === 'string') {
      throw invalid(`tasks must be an iterable or async iterable of tasks, got ${show(tasks)}`)
    }
    this.#source = iterate.call(tasks)
    this.#submit = submit
    this.#concurrency = concurrency
    this.#signal = signal
    this.#yieldErrors = onError === 'yield'
    if (signal === undefined) return
    watch(signal, this, this.#onAbort)
    if (signal.aborted) this.#onAbort()
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#answer()
      this.#pull()
    })
  }

  /** `break` and `return` in a loop: pulls nothing more and cancels what is in flight. */
  async return(value) {
    await this.#end()
    return { done: true, value }
  }

  async throw(error) {
    await this.#end()
    throw error
  }

  /** As long as there is room, in flight or waiting to be read, the source is asked for more. */
  async #pull() {
    if (this.#pulling) return
    this.#pulling = true
    while (!this.#done && !this.#exhausted && this.#failed === undefined && this.#inFlight + this.#ready.length < this.#concurrency) {
      let item
      try {
        item = this.#source.next()
        // A source that is not asynchronous does not give the event loop a turn for each of its tasks.
        if (typeof item?.then === 'function') item = await item
      } catch (error) {
        this.#exhausted = true
        this.#fail(error)
        break
      }
      if (this.#done || this.#failed !== undefined) break
      if (item.done) {
        this.#exhausted = true
        break
      }
      this.#run(item.value, this.#next++)
    }
    this.#pulling = false
    this.#answer()
  }

  async #run(task, index) {
    this.#inFlight += 1
    let result
    try {
      result = await this.#submit(task, this.#stop.signal)
      result.index = index
    } catch (error) {
      // A closed coordinator fails every task to come, and a source may be endless.
      if (this.#yieldErrors && error instanceof MidstreamerError && error.code !== 'CLOSED') result = { index, error }
      else this.#fail(error)
    }
    this.#inFlight -= 1
    if (this.#done || this.#failed !== undefined) return
    this.#ready.push(result)
    this.#answer()
    this.#pull()
  }

  /** Gives what is ready to those who wait. */
  #answer() {
    while (this.#waiting.length > 0) {
      if (this.#done) {
        this.#waiting.shift().resolve({ done: true, value: undefined })
      } else if (this.#ready.length > 0) {
        this.#waiting.shift().resolve({ done: false, value: this.#ready.shift() })
      } else if (this.#failed !== undefined) {
        const { error } = this.#failed
        const waiting = this.#waiting.shift()
        // The source is told before the caller is, as `for await` does.
        this.#end().then(() => waiting.reject(error), waiting.reject)
      } else if (this.#exhausted && this.#inFlight === 0 && !this.#pulling) {
        this.#finish()
      } else {
        return
      }
    }
  }

  /** The first failure is thrown, after the results that came before it. */
  #fail(error) {
    if (this.#done || this.#failed !== undefined) return
    this.#failed = { error }
    this.#stop.abort()
    this.#answer()
  }

  #finish() {
    if (this.#done) return
    this.#done = true
    this.#ready = []
    if (this.#signal !== undefined) unwatch(this.#signal, this)
    this.#stop.abort()
    this.#answer()
  }

  async #end() {
    if (this.#done) return
    const left = !this.#exhausted
    this.#exhausted = true
    this.#finish()
    if (!left) return
    const returned = this.#source.return?.()
    // A source that is still busy with its next task ends when it comes to it; nobody waits for that.
    if (this.#pulling) Promise.resolve(returned).catch(throwLater)
    else await returned
  }
}

module.exports = { TaskMap }
