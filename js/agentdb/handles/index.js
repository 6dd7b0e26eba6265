'use strict'
// The user's open database, whatever its driver: one way to run statements on it for the engine, which is in the addon.
//
// Values are exact in both directions: NULL is null, INTEGER a bigint, REAL a number, TEXT a string, BLOB a Uint8Array. Calls
// do not throw what SQLite says but return it (outcome.js). Nothing that the user has set for the handle is changed: what is
// needed is set for our own statements.

const { invalid, isArray, show } = require('../../errors.js')
const { BetterSqlite3, isBetterSqlite3 } = require('./better-sqlite3.js')
const { NodeSqlite, isNodeSqlite, hasArrays } = require('./node-sqlite.js')
const { SqlJs, isRawSqlJs, isSqlJsWrapper } = require('./sql-js.js')

const KNOWN = "a better-sqlite3 Database, a DatabaseSync of node:sqlite, or the sql.js database of AgentDB's createDatabase()"

function adapterOf(name, db) {
  if (isBetterSqlite3(db)) return new BetterSqlite3(db)
  if (isNodeSqlite(db)) {
    if (!db.isOpen) throw invalid(`${name} is closed`)
    if (!hasArrays(db)) throw invalid(`${name}: node:sqlite is supported from Node 22.16 on, this is ${process.version}`)
    return new NodeSqlite(db)
  }
  if (isSqlJsWrapper(db)) return new SqlJs(db.db, db)
  if (isRawSqlJs(db)) return new SqlJs(db, null)
  throw invalid(`${name} must be ${KNOWN}, got ${show(db)}`)
}

/** The handle that `db` is. INVALID_ARGUMENT when it is none that is known, closed, or read-only. */
function handleOf(name, db) {
  if (typeof db !== 'object' || db === null || isArray(db) !== false) throw invalid(`${name} must be ${KNOWN}, got ${show(db)}`)
  const handle = adapterOf(name, db)
  if (!handle.isOpen) throw invalid(`${name} is closed`)
  if (handle.readonly) throw invalid(`${name} is read-only`)
  return handle
}

module.exports = { handleOf }
