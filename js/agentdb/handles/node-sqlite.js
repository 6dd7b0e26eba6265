'use strict'
// node:sqlite. An iterator that is open refuses nothing: it goes on, and may or may not see what is applied meanwhile.

const { Driver } = require('./driver.js')
const { arrange, plain } = require('./statements.js')
const { OUTCOME, byNumber, wordsOf } = require('./outcome.js')

class NodeSqlite extends Driver {
  kind = 'node:sqlite'

  /** Reads are exact and by position, whatever the user has set for the handle: this is set for each statement. */
  prepare(sql) {
    const statement = this.db.prepare(sql)
    statement.setReadBigInts(true)
    statement.setReturnArrays(true)
    return statement
  }

  outcomeOf(error) {
    if (typeof error?.errcode === 'number') return byNumber(error.errcode, error)
    // A function of the user's in a trigger of the user's may throw anything.
    return (this.isOpen ? OUTCOME.refused : OUTCOME.failed) + wordsOf(error)
  }

  /** The file, or null: in memory, or without a name. */
  get path() {
    const file = this.db.location()
    return file === '' ? null : file
  }

  get readonly() {
    return false
  }

  get isOpen() {
    return this.db.isOpen === true
  }

  get inTransaction() {
    return this.db.isTransaction
  }

  query(number, values) {
    try {
      const parsed = this.statements.text(number)
      return this.statements.of(plain(parsed)).all(...arrange(parsed, values))
    } catch (error) {
      return this.outcomeOf(error)
    }
  }
}

/** By its own name for itself: to load node:sqlite only to compare would print a warning. */
function isNodeSqlite(db) {
  for (let layer = Object.getPrototypeOf(db); layer !== null; layer = Object.getPrototypeOf(layer)) {
    if (layer.constructor?.name === 'DatabaseSync' && Object.hasOwn(layer, 'prepare') && Object.hasOwn(layer, 'createSession')) return true
  }
  return false
}

/** What it needs came with Node 22.16. */
function hasArrays(db) {
  const statement = db.prepare('SELECT 1')
  return typeof statement.setReturnArrays === 'function' && typeof db.isTransaction === 'boolean'
}

module.exports = { NodeSqlite, isNodeSqlite, hasArrays }
