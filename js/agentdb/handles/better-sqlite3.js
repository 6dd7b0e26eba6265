'use strict'
// better-sqlite3. It refuses everything while one of its iterators is open on the connection, with a TypeError.

const { Driver } = require('./driver.js')
const { arrange, plain } = require('./statements.js')
const { OUTCOME, byName, wordsOf } = require('./outcome.js')

const MAIN_FILE = "SELECT file FROM pragma_database_list WHERE name = 'main'"

class BetterSqlite3 extends Driver {
  kind = 'better-sqlite3'

  /** Reads are exact and by position, whatever the user has set for the handle: this is set for each statement. */
  prepare(sql) {
    const statement = this.db.prepare(sql)
    return statement.reader ? statement.raw(true).safeIntegers(true) : statement
  }

  outcomeOf(error) {
    if (typeof error?.code === 'string' && error.code.startsWith('SQLITE_')) return byName(error.code, error)
    if (error instanceof TypeError && /busy executing a query/.test(error.message)) return OUTCOME.inUse + error.message
    // A function of the user's in a trigger of the user's may throw anything.
    return (this.isOpen ? OUTCOME.refused : OUTCOME.failed) + wordsOf(error)
  }

  /** The file, or null: in memory, or without a name. */
  get path() {
    const file = this.db.memory ? '' : this.prepare(MAIN_FILE).get()[0]
    return file === '' || file === null ? null : file
  }

  get readonly() {
    return this.db.readonly === true
  }

  get isOpen() {
    return this.db.open === true
  }

  get inTransaction() {
    return this.db.inTransaction
  }

  query(number, values) {
    try {
      const parsed = this.statements.text(number)
      const statement = this.statements.of(plain(parsed))
      const arranged = arrange(parsed, values)
      if (statement.reader) return statement.all(...arranged)
      statement.run(...arranged)
      return undefined
    } catch (error) {
      return this.outcomeOf(error)
    }
  }

  inUse() {
    const reason = super.inUse()
    if (reason !== null) return reason
    try {
      // The driver refuses even this while it iterates; reading would be allowed.
      this.db.exec('')
      return null
    } catch (error) {
      if (this.outcomeOf(error)[0] === OUTCOME.inUse) return 'an iterator is open on the handle'
      throw error
    }
  }
}

function isBetterSqlite3(db) {
  return typeof db.prepare === 'function' && typeof db.exec === 'function' && typeof db.defaultSafeIntegers === 'function'
    && typeof db.unsafeMode === 'function' && typeof db.inTransaction === 'boolean'
}

module.exports = { BetterSqlite3, isBetterSqlite3 }
