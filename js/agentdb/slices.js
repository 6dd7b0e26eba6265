'use strict'
// When the engine may run on the user's handle, and for how long.
//
// A slice is one whole transaction on the handle: what was captured, and some of what has come. It is made as large as fits
// into a few milliseconds, and between two slices the event loop has its turn. While the handle is the user's, or another
// connection has the write lock, it waits and tries again.

const { Exchange } = require('./exchange.js')

/** What a slice may take of the event loop, in milliseconds. It is left half empty: the next one may have larger rows. */
const MOST_MS = 8
const AIM_MS = 4

/** Rows of the first slice. */
const FIRST_ROWS = 32

/** Pauses while the handle is not to be had, in milliseconds; the first ones are short, since most transactions are. */
const SHORTEST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 200

/** So long a user may have the handle before it is said who is in the way. */
const BLOCKED_MS = 1000

/**
 * To read a large database for a save blocks the event loop: at most a tenth of the time goes there, but nobody waits for that
 * longer than a second.
 */
const SAVE_SHARE = 10
const SHORTEST_SAVE_PAUSE_MS = 20
const LONGEST_SAVE_PAUSE_MS = 1000

/** So often in a row the user may save in between; then nothing may. */
const MOST_OVERTAKEN = 3

/** What a slice ended with, as in src/node/sync/native.rs. */
const STATE = Object.freeze({ idle: 0, more: 1, busy: 2, inUse: 3 })

/** The numbers by which slices keep to their time. */
class Pace {
  constructor(ceiling) {
    this.ceiling = ceiling
    this.rows = Math.min(FIRST_ROWS, ceiling)
  }

  /** A slice of `rows` rows took so long, without waiting for the disk. */
  took(rows, ms) {
    if (ms > MOST_MS) this.rows = Math.max(1, Math.floor(this.rows * AIM_MS / ms))
    else if (ms > AIM_MS) this.rows = Math.max(1, Math.floor(this.rows * 0.9))
    // Only a slice that was full says that a larger one would fit.
    else if (rows >= this.rows && ms < AIM_MS / 2) this.rows = Math.min(this.ceiling, this.rows * 2)
    else if (rows >= this.rows) this.rows = Math.min(this.ceiling, this.rows + Math.max(1, this.rows >> 3))
  }
}

class Slices {
  #handle
  #calls
  #engine
  #pace
  #interval
  #immediate
  #pause
  #pauses = 0
  #blockedSince
  #blockedBy = ''
  #running = false
  #stopped = false
  #unsaved = false
  #commits = 0
  #saved = 0
  #saveTimer
  /** While the disk has what was committed last: nothing else is, so that what may leave then is known. */
  #saving
  #saveMs = 0
  /** Saves in a row that the user's own have overtaken. */
  #overtaken = 0
  #savedAt = -Infinity
  #commitMs = 0

  /**
   * `engine.slice(calls, rows)` runs one and returns its report, `engine.send()` lets out what may leave after the commit,
   * `engine.report(report)` tells the user. `engine.failed(error)` gets what nobody waits for.
   */
  constructor(handle, engine, { flushMs, batchRows }) {
    this.#handle = handle
    this.#engine = engine
    this.#pace = new Pace(batchRows)
    this.#calls = callsOf(handle, (ms) => { this.#commitMs += ms })
    // None of the timers keeps the process alive.
    this.#interval = setInterval(() => this.now(), flushMs)
    this.#interval.unref()
  }

  get calls() {
    return this.#calls
  }

  /** Who has been in the way for more than a moment, or null. */
  get blockedBy() {
    return this.#blockedSince !== undefined && performance.now() - this.#blockedSince >= BLOCKED_MS ? this.#blockedBy : null
  }

  /** Commits so far. */
  get commits() {
    return this.#commits
  }

  /** How many of them nobody has to save any more. */
  get saved() {
    return this.#unsaved ? this.#saved : this.#commits
  }

  /** A slice in a later turn of the event loop. */
  soon() {
    if (this.#stopped || this.#immediate !== undefined || this.#pause !== undefined) return
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined
      this.now()
    })
  }

  /** A slice, unless it is known that it has to wait. */
  now() {
    if (this.#stopped || this.#running || this.#pause !== undefined || this.#saving !== undefined) return
    let report
    try {
      report = this.#slice()
    } catch (error) {
      this.#engine.failed(error)
      return this.#wait('the database')
    }
    if (report === undefined) return
    if (report.state === STATE.busy) return this.#wait('another connection holds the write lock', report.reason)
    if (report.state === STATE.inUse) return this.#wait(report.reason)
    this.#pauses = 0
    this.#blockedSince = undefined
    this.#sent(report)
    if (report.state === STATE.more) this.soon()
    this.#engine.report(report)
  }

  #slice() {
    if (!this.#handle.isOpen) return { state: STATE.inUse, reason: 'the database is closed' }
    const inUse = this.#handle.inUse()
    if (inUse !== null) return { state: STATE.inUse, reason: inUse }
    this.#running = true
    this.#commitMs = 0
    const started = performance.now()
    try {
      this.#handle.hurry()
      const report = this.#engine.slice(this.#calls, this.#pace.rows)
      if (report.rows > 0) this.#pace.took(report.rows, performance.now() - started - this.#commitMs)
      return report
    } finally {
      this.#handle.wait()
      this.#running = false
    }
  }

  /** What a commit allows to leave, leaves; with sql.js once it is in the file. */
  #sent(report) {
    if (report.committed) this.#commits += 1
    if (report.committed && this.#handle.mustSave) this.#unsaved = true
    if (this.#unsaved) this.#saveLater()
    else this.#engine.send()
  }

  #saveLater() {
    if (this.#saveTimer !== undefined || this.#saving !== undefined) return
    const pause = Math.min(LONGEST_SAVE_PAUSE_MS, Math.max(SHORTEST_SAVE_PAUSE_MS, this.#saveMs * SAVE_SHARE))
    this.#saveTimer = setTimeout(() => {
      this.#saveTimer = undefined
      this.#saving = this.#save()
    }, Math.max(0, this.#savedAt + pause - performance.now()))
    this.#saveTimer.unref()
  }

  /** Saves what is committed in memory alone. */
  async #save() {
    const started = performance.now()
    let saved = false
    try {
      const written = this.#saveNow()
      this.#saveMs = performance.now() - started
      saved = await written
      this.#overtaken = saved ? 0 : this.#overtaken + 1
    } catch (error) {
      if (!this.#stopped) this.#engine.failed(error)
      this.#saveMs = LONGEST_SAVE_PAUSE_MS
    }
    this.#savedAt = performance.now()
    this.#saving = undefined
    this.#unsaved = !saved
    if (saved) this.#saved = this.#commits
    if (this.#stopped) return
    if (!saved) return this.#saveLater()
    this.#engine.send()
    this.soon()
  }

  /** Resolves to whether it is saved. What has to be read is read before this returns. */
  async #saveNow() {
    // The user has a transaction open: what the file would get is not committed.
    if (this.#handle.inUse() !== null) return false
    if (this.#overtaken < MOST_OVERTAKEN) return this.#handle.saveAside()
    this.#handle.save()
    return true
  }

  #wait(reason, detail) {
    this.#blockedSince ??= performance.now()
    this.#blockedBy = detail === undefined || detail === '' ? reason : `${reason}: ${detail}`
    const most = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(this.#pauses++, 10))
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.now()
    }, most * (0.5 + Math.random() / 2))
    this.#pause.unref()
  }

  /** No slice any more. Resolves when nothing is written any more, to whether something was not saved. */
  async stop() {
    this.#stopped = true
    clearInterval(this.#interval)
    clearTimeout(this.#pause)
    clearTimeout(this.#saveTimer)
    clearImmediate(this.#immediate)
    await this.#saving
    return this.#unsaved
  }
}

/** The functions of a handle for the addon; `committed(ms)` hears how long each commit took, most of which is the disk. */
function callsOf(handle, committed) {
  const exchange = new Exchange()
  return {
    get exchange() {
      return exchange.bytes
    },
    room: (length) => exchange.room(length),
    define: (number, sql) => handle.define(number, sql),
    forget: () => handle.forget(),
    query(number) {
      const outcome = handle.query(number, exchange.values())
      return Array.isArray(outcome) ? exchange.put(outcome) : outcome
    },
    batch: (sql) => handle.batch(sql),
    begin: () => handle.begin(),
    commit() {
      const started = performance.now()
      const outcome = handle.commit()
      committed(performance.now() - started)
      return outcome
    },
    rollback: () => handle.rollback(),
  }
}

module.exports = { Slices, callsOf, STATE }
