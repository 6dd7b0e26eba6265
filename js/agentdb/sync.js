'use strict'
// AgentDbSync: replicates the AgentDB database that the user has open. The replica, its sessions and the network are the
// addon's; here are arguments, the turns on the user's handle, waiting and events.

const fs = require('node:fs')
const path = require('node:path')
const native = require('../native.js')
const { Inbox, RECORD, throwLater } = require('../inbox.js')
const { Events } = require('../listeners.js')
const { nativeAgent } = require('../agent.js')
const { nativeKeyring } = require('../keyring.js')
const { failure, fromNative, invalid, isArray, show } = require('../errors.js')
const { readOptions, checksOf, callback } = require('../options.js')
const { name, address, identity, amount, text } = require('../swarm-options.js')
const { handleOf } = require('./handles')
const { Slices, callsOf } = require('./slices.js')

/** Beside the database, locked while it is replicated. */
const LOCK_SUFFIX = '-mqs-lock'

/** How long open() and uninstall() wait for the handle. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 20

/** How long a flush waits where it is not said. */
const FLUSH_MS = 30_000

/** How long attach() waits for an agent that is not connected now; it is attached all the same. */
const ATTACH_MS = 5_000

const CONNECT_MS = 30_000

/** As long as a timer can be. */
const LONGEST_MS = 2 ** 31 - 1

const SCOPES = ['relay', 'members']

const EVENTS = ['applied', 'conflict', 'schemaMismatch', 'forked', 'progress', 'refused']

function between(least, most, unit) {
  return (what, value) => {
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value
    throw invalid(`${what} must be an integer from ${least} to ${most}${unit}, got ${show(value)}`)
  }
}

function tables(what, value) {
  if (isArray(value) !== true) throw invalid(`${what} must be an array of names of tables, got ${show(value)}`)
  const read = Array.from(value, (item, i) => {
    if (text(`${what}[${i}]`, item) === '' || item.includes('\0')) throw invalid(`${what}[${i}] must be the name of a table, got ${show(item)}`)
    return item
  })
  if (read.length === 0) throw invalid(`${what} must name at least one table, got an empty array`)
  return read
}

function keyring(what, value) {
  const opened = nativeKeyring(value)
  if (opened === undefined) throw invalid(`${what} must be a Keyring, got ${show(value)}`)
  return opened
}

const OPEN = checksOf({
  db: (what, value) => value,
  database: name,
  tables,
  flushMs: between(1, 60_000, ' ms'),
  batchRows: between(1, 10_000, ' rows'),
  keyring,
  onVectors: callback,
})
const OPEN_DEFAULTS = Object.freeze({ db: undefined, database: 'default', tables: undefined, flushMs: 10, batchRows: 200, keyring: undefined, onVectors: undefined })
const LISTEN = checksOf({ listen: address, identity })
const LISTEN_DEFAULTS = Object.freeze({ listen: '127.0.0.1:0', identity: undefined })
const CONNECT = checksOf({ address, identity, connectTimeoutMs: amount })
const CONNECT_DEFAULTS = Object.freeze({ address: undefined, identity: undefined, connectTimeoutMs: CONNECT_MS })
const FLUSH = checksOf({
  scope(what, value) {
    if (SCOPES.includes(value)) return value
    throw invalid(`${what} must be 'relay' or 'members', got ${show(value)}`)
  },
  timeoutMs: amount,
})
const FLUSH_DEFAULTS = Object.freeze({ scope: 'relay', timeoutMs: FLUSH_MS })

/** Databases that are replicated from here: also those that have no file. */
const OPENED = new WeakSet()

/** Only `open` makes them. */
const INSIDE = Symbol('inside')

/** Where the lock is: the same place for all names of a file. */
function lockOf(file) {
  if (file === null) return undefined
  const real = fs.existsSync(file) ? fs.realpathSync(file) : path.join(fs.realpathSync(path.dirname(file)), path.basename(file))
  return real + LOCK_SUFFIX
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}

/** Calls until it says nothing is in the way. */
async function untilFree(handle, call, what) {
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    if (!handle.isOpen) throw failure('CLOSED', 'the database is closed')
    const reason = handle.inUse() ?? call()
    if (reason === null || reason === undefined) return
    if (performance.now() > end) throw failure('STORE', `${what}: for ${PATIENCE_MS} ms the database could not be had: ${reason}`)
    await pause(PAUSE_MS)
  }
}

class AgentDbSync {
  #db
  #handle
  #inbox
  #slices
  #events = new Events('an AgentDbSync', EVENTS)
  #database
  #onVectors
  #waiters = new Set()
  #captured = 0
  #flushed = 0
  #closing
  #failure
  #refusal

  constructor(inside) {
    if (inside !== INSIDE) throw invalid('an AgentDbSync is made by AgentDbSync.open()')
  }

  static async open(options) {
    const checked = readOptions(options, OPEN, OPEN_DEFAULTS, 'AgentDbSync.open')
    const handle = handleOf('db', checked.db)
    if (OPENED.has(checked.db)) throw failure('STORE', 'db is replicated by another AgentDbSync')
    OPENED.add(checked.db)
    const sync = new AgentDbSync(INSIDE)
    try {
      await sync.#open(checked, handle)
      return sync
    } catch (error) {
      OPENED.delete(checked.db)
      throw fromNative(error)
    }
  }

  async #open({ db, database, tables: chosen, flushMs, batchRows, keyring: ring, onVectors }, handle) {
    this.#db = db
    this.#handle = handle
    this.#database = database
    this.#onVectors = onVectors
    const lock = lockOf(handle.path)
    const make = function (wake) { return new native.NativeSync(wake, database, lock) }
    this.#inbox = new Inbox(make, 'AgentDbSync', (type) => this.#deliver(type))
    // Until it listens or dials it gives the process no reason to stay.
    this.#inbox.unref()
    try {
      const calls = callsOf(handle, () => {})
      await untilFree(handle, () => this.#inbox.now((inner) => inner.open(calls, chosen, Date.now(), ring)), 'AgentDbSync.open')
    } catch (error) {
      this.#inbox.release()
      throw error
    }
    const engine = {
      slice: (calls, rows) => this.#inbox.native.slice(calls, Date.now(), rows),
      send: () => this.#inbox.native.send(),
      report: (report) => this.#report(report),
      failed: (error) => this.#failed(error),
    }
    this.#slices = new Slices(handle, engine, { flushMs, batchRows })
    // Rows that are there already are entered page by page: what is written from now on is told from them.
    try {
      await this.#until((report) => report !== undefined && !report.behind, LONGEST_MS, true)
    } catch (error) {
      await this.close()
      throw error
    }
    this.#flushed = this.#captured
  }

  get database() {
    return this.#database
  }

  async attach(agent) {
    this.#throwIfClosed()
    const its = nativeAgent(agent)
    if (its === undefined) throw invalid(`agent must be an Agent, got ${show(agent)}`)
    this.#refusal = undefined
    const before = this.#reached(0, 'relay').ready
    this.#inbox.now((inner) => inner.attach(its))
    await this.#greeted(before)
  }

  async listen(options) {
    const { listen, identity: who } = readOptions(options, LISTEN, LISTEN_DEFAULTS, 'listen')
    if (who === undefined) throw invalid('identity must be an object with certificate, privateKey and ca in PEM, got undefined')
    this.#throwIfClosed()
    this.#inbox.ref()
    return this.#inbox.ask((inner, request) => inner.listen(request, listen, ...who))
  }

  async connect(options) {
    const { address: at, identity: who, connectTimeoutMs } = readOptions(options, CONNECT, CONNECT_DEFAULTS, 'connect')
    if (at === undefined) throw invalid("address must be a string 'host:port', got undefined")
    if (who === undefined) throw invalid('identity must be an object with certificate, privateKey and ca in PEM, got undefined')
    this.#throwIfClosed()
    this.#inbox.ref()
    this.#refusal = undefined
    const before = this.#reached(0, 'relay').ready
    await this.#inbox.ask((inner, request) => inner.connect(request, at, ...who, connectTimeoutMs))
    await this.#greeted(before)
  }

  async flush(options) {
    const { scope, timeoutMs } = readOptions(options, FLUSH, FLUSH_DEFAULTS, 'flush')
    this.#throwIfClosed()
    if (!this.#handle.isOpen) throw failure('CLOSED', 'the database is closed')
    const started = performance.now()
    const left = () => timeoutMs - (performance.now() - started)
    // Whatever was committed before this call is captured by the first slice that leaves nothing behind.
    let captured = false
    const seen = (report) => { captured ||= !report.behind }
    await this.#until((report) => { if (report !== undefined) seen(report); return captured }, left(), false)
    const version = this.#inbox.now((inner) => inner.head(this.#slices.calls))
    const upTo = this.#captured
    const { commits } = this.#slices
    if (this.#reached(version, scope).links === 0) throw this.#refusal ?? failure('CONNECTION', 'no peer is connected; what was written travels when there is one')
    await this.#until(() => {
      const reached = this.#reached(version, scope)
      if (reached.ready === 0 && this.#refusal !== undefined) throw this.#refusal
      return this.#slices.saved >= commits && reached.done
    }, left(), false)
    const rows = Math.max(0, upTo - this.#flushed)
    this.#flushed = Math.max(this.#flushed, upTo)
    return { rows, peers: this.#reached(version, scope).reached, elapsedMs: performance.now() - started }
  }

  status() {
    this.#throwIfClosed()
    const status = JSON.parse(this.#inbox.now((inner) => inner.status()))
    const { nodeId, ...rest } = status
    return { nodeId, database: this.#database, ...rest, blockedBy: this.#slices.blockedBy ?? this.#failure ?? null }
  }

  on(event, listener) {
    this.#events.on(event, listener)
    return this
  }

  off(event, listener) {
    this.#events.off(event, listener)
    return this
  }

  async uninstall() {
    this.#throwIfClosed()
    this.#closing ??= this.#close(true)
    await this.#closing
  }

  async close() {
    await (this.#closing ??= this.#close(false))
  }

  async #close(uninstall) {
    this.#inbox.ref()
    const unsaved = await this.#slices.stop()
    try {
      // Without that it would be captured again: nothing is lost either way.
      if (unsaved && this.#handle.isOpen && this.#handle.inUse() === null) {
        this.#handle.save()
        this.#inbox.native.send()
      }
    } catch (error) {
      this.#failed(error)
    }
    const closed = this.#inbox.ask((inner, request) => inner.close(request))
    try {
      await closed
      if (uninstall) {
        const calls = callsOf(this.#handle, () => {})
        await untilFree(this.#handle, () => this.#inbox.native.uninstall(calls), 'uninstall')
        if (this.#handle.mustSave) this.#handle.save()
      }
    } catch (error) {
      throw fromNative(error)
    } finally {
      this.#inbox.release()
      this.#handle.release()
      OPENED.delete(this.#db)
      const gone = failure('CLOSED', 'the AgentDbSync is closed')
      for (const waiter of [...this.#waiters]) waiter.end(gone)
    }
  }

  ref() {
    this.#inbox.ref()
  }

  unref() {
    this.#inbox.unref()
  }

  #throwIfClosed() {
    if (this.#closing !== undefined) throw failure('CLOSED', 'the AgentDbSync is closed')
  }

  /** Until both sides of one more link have said who they are: who seals otherwise is refused then. */
  async #greeted(before) {
    await this.#until(() => {
      if (this.#refusal !== undefined) throw this.#refusal
      return this.#reached(0, 'relay').ready > before
    }, ATTACH_MS, true)
  }

  #reached(version, scope) {
    return this.#inbox.now((inner) => inner.reached(version, scope === 'members'))
  }

  /** Until the check holds, which is asked again after each slice; a timeout is an error, or simply the end. */
  #until(check, timeoutMs, lenient) {
    return new Promise((resolve, reject) => {
      const waiter = {
        look: (report) => {
          try {
            if (check(report)) waiter.end()
          } catch (error) {
            waiter.end(error)
          }
        },
        refused: (error) => { if (lenient) waiter.end(error) },
        end: (error) => {
          clearTimeout(timer)
          this.#waiters.delete(waiter)
          if (error === undefined) resolve()
          else reject(error)
        },
      }
      const late = () => {
        if (lenient) return waiter.end()
        const blocked = this.#slices.blockedBy
        waiter.end(failure('TIMEOUT', `flush: not everybody has it in time${blocked === null ? '' : `: ${blocked}`}`))
      }
      // This one keeps the process alive: somebody waits.
      const timer = setTimeout(late, Math.min(Math.max(1, timeoutMs), LONGEST_MS))
      this.#waiters.add(waiter)
      this.#slices.soon()
    })
  }

  #deliver(type) {
    // Not at once: who is woken while a slice runs would be woken again and again, and timers would never have their turn.
    if (type === RECORD.links) return this.#slices?.soon()
    throw failure('INTERNAL', `unknown record ${type}`)
  }

  #report(report) {
    this.#failure = undefined
    this.#captured += report.captured
    this.#vectors(report.vectors)
    if (report.notices !== undefined && report.notices !== null) {
      for (const { event, ...detail } of JSON.parse(report.notices)) {
        if (event === 'linkRefused') this.#refused(detail)
        else {
          if (event === 'refused') this.#unsealed(detail)
          this.#events.emit(event, this, detail)
        }
      }
    }
    for (const waiter of [...this.#waiters]) waiter.look(report)
  }

  #refused({ code, message }) {
    const error = failure(code, message)
    for (const waiter of [...this.#waiters]) waiter.refused(error)
  }

  /** A link to somebody who seals otherwise, or a row that does not open; the latter concerns nobody who waits. */
  #unsealed({ code, from, table, message }) {
    if (table !== null) return
    this.#refusal = failure(code, `keyring: ${from === '' ? 'a peer' : show(from)} and this node do not replicate the database ${show(this.#database)}: ${message}`)
    for (const waiter of [...this.#waiters]) waiter.refused(this.#refusal)
  }

  #vectors(changes) {
    if (this.#onVectors === undefined || changes.length === 0) return
    const byTable = new Map()
    for (const { table, id, vector } of changes) {
      const rows = byTable.get(table) ?? []
      byTable.set(table, rows)
      rows.push({ id, embedding: vector === undefined || vector === null ? null : new Float32Array(vector.slice().buffer) })
    }
    for (const [table, rows] of byTable) {
      try {
        this.#onVectors(table, rows)
      } catch (error) {
        throwLater(error)
      }
    }
  }

  /** What nobody waits for, and what will be tried again. */
  #failed(error) {
    const words = fromNative(error).message
    // While it is opened somebody waits for exactly this.
    for (const waiter of [...this.#waiters]) waiter.refused(fromNative(error))
    if (this.#failure === words) return
    this.#failure = words
    process.emitWarning(`AgentDbSync of the database ${show(this.#database)}: ${words}; it is tried again`, 'MidstreamerWarning')
  }
}
// Node 18 lacks the symbol in its first versions; there and later it is what this says.
Object.defineProperty(AgentDbSync.prototype, Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'), {
  value: async function () { await this.close() }, configurable: true, writable: true,
})

module.exports = { AgentDbSync }
