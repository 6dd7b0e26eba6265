'use strict'
// How a call on the user's handle ended, in the one letter that the addon reads (src/node/sync/database.rs) and the words
// of the driver. What succeeded returns rows, or nothing.

/**
 * `refused`: this statement is not to be had here (a constraint, a trigger of the user's, a function that is not there), and
 * others may be. `failed`: the database itself cannot do what it should.
 */
const OUTCOME = Object.freeze({ busy: 'B', inUse: 'I', refused: 'C', failed: 'F' })

/** Result codes of SQLite: the name, the primary code, and how the message begins. */
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const FAILED = [
  ['SQLITE_NOMEM', 7, /^out of memory/],
  ['SQLITE_READONLY', 8, /^attempt to write a readonly database/],
  ['SQLITE_INTERRUPT', 9, /^interrupted/],
  ['SQLITE_IOERR', 10, /^disk I\/O error/],
  ['SQLITE_CORRUPT', 11, /^database disk image is malformed/],
  ['SQLITE_FULL', 13, /^database or disk is full/],
  ['SQLITE_CANTOPEN', 14, /^unable to open database file/],
  ['SQLITE_PROTOCOL', 15, /^locking protocol/],
  ['SQLITE_MISUSE', 21, /^bad parameter or other API misuse/],
  ['SQLITE_NOTADB', 26, /^file is not a database/],
]

/** A virtual table has lost its index, which is not the database's loss. */
const SQLITE_CORRUPT_VTAB = 267

function wordsOf(error) {
  return typeof error?.message === 'string' ? error.message : String(error)
}

/** By a result code, extended or not. */
function byNumber(code, error) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return OUTCOME.busy + wordsOf(error)
    default: return (code !== SQLITE_CORRUPT_VTAB && FAILED.some(([, primary]) => primary === (code & 0xff)) ? OUTCOME.failed : OUTCOME.refused) + wordsOf(error)
  }
}

/** By the name of a result code, extended or not: SQLITE_BUSY_SNAPSHOT. */
function byName(name, error) {
  if (name.startsWith('SQLITE_BUSY') || name.startsWith('SQLITE_LOCKED')) return OUTCOME.busy + wordsOf(error)
  return (name !== 'SQLITE_CORRUPT_VTAB' && FAILED.some(([primary]) => name.startsWith(primary)) ? OUTCOME.failed : OUTCOME.refused) + wordsOf(error)
}

/** By the message alone, where the driver tells no code. */
function byMessage(error) {
  const words = wordsOf(error)
  if (/^database (table |schema )?is locked/.test(words)) return OUTCOME.busy + words
  return (FAILED.some(([, , message]) => message.test(words)) ? OUTCOME.failed : OUTCOME.refused) + words
}

/** SQLite refuses a transaction within a transaction: the handle is in one of the user's. */
function isNested(error) {
  return /within a transaction/.test(wordsOf(error))
}

module.exports = { OUTCOME, byNumber, byName, byMessage, isNested, wordsOf }
