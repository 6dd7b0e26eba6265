'use strict'
// What better-sqlite3 and node:sqlite have in common: one connection, prepared statements, transactions by SQL.

const { Statements } = require('./statements.js')
const { OUTCOME, isNested, wordsOf } = require('./outcome.js')

/**
 * A handle whose commits are in the file. A driver adds `prepare(sql)`, `outcomeOf(error)`, `query(number, values)`,
 * `isOpen` and `inTransaction`.
 */
class Driver {
  #timeout
  /** The user's busy timeout while it is another one. */
  #before = undefined

  constructor(db) {
    this.db = db
    this.statements = new Statements((sql) => this.prepare(sql))
  }

  define(number, sql) {
    this.statements.define(number, sql)
  }

  forget() {
    this.statements.forget()
  }

  batch(sql) {
    return this.#run(sql)
  }

  /** Why the handle is the user's now; null when it is not. */
  inUse() {
    return this.inTransaction ? 'a transaction is open on the handle' : null
  }

  /** From now on nobody waits for a lock on the event loop: with the usual limit it stood still for 5 s. Until `wait()`. */
  hurry() {
    if (this.#before !== undefined) return
    this.#timeout ??= this.prepare('PRAGMA busy_timeout')
    const [before] = this.#timeout.get()
    if (before === 0n) return
    this.db.exec('PRAGMA busy_timeout = 0')
    this.#before = before
  }

  /** The user's own limit holds again. */
  wait() {
    if (this.#before === undefined) return
    const before = this.#before
    this.#before = undefined
    if (this.isOpen) this.db.exec(`PRAGMA busy_timeout = ${before}`)
  }

  begin() {
    if (this.inTransaction) return `${OUTCOME.inUse}a transaction is open on the handle`
    try {
      this.hurry()
      this.db.exec('BEGIN IMMEDIATE')
      return undefined
    } catch (error) {
      this.wait()
      return isNested(error) ? OUTCOME.inUse + wordsOf(error) : this.outcomeOf(error)
    }
  }

  commit() {
    const outcome = this.#run('COMMIT')
    if (outcome === undefined) this.wait()
    return outcome
  }

  rollback() {
    try {
      // A full disk, for example, has ended it already.
      if (this.isOpen && this.inTransaction) this.db.exec('ROLLBACK')
    } finally {
      this.wait()
    }
  }

  #run(sql) {
    try {
      this.db.exec(sql)
      return undefined
    } catch (error) {
      return this.outcomeOf(error)
    }
  }

  /** A commit is in the file. */
  get mustSave() {
    return false
  }

  release() {
    this.statements.forget()
  }
}

module.exports = { Driver }
