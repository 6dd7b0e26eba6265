'use strict'
// The checks that the three classes share.

const { invalid, show } = require('../../errors.js')

function text(name, value) {
  if (typeof value === 'string' && value !== '') return value
  throw invalid(`${name} must be a string that is not empty, got ${show(value)}`)
}

/** Empty: none. What it says is a secret. */
function token(name, value) {
  if (typeof value === 'string') return value
  throw invalid(`${name} must be a string, got a value of type ${typeof value}`)
}

function port(name, value) {
  if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  throw invalid(`${name} must be a port, 0 to 65535, got ${show(value)}`)
}

function object(name, value) {
  if (value !== null && typeof value === 'object') return value
  throw invalid(`${name} must be an object, got ${show(value)}`)
}

function database(name, value) {
  if (typeof value?.prepare === 'function' && typeof value.exec === 'function') return value
  throw invalid(`${name} must be an open database (better-sqlite3, node:sqlite, or AgentDB's own), got ${show(value)}`)
}

/** An option of AgentDB's that would promise what nobody does here. */
function unsupported(reason) {
  return (name) => {
    throw invalid(`${name} is not supported: ${reason}`)
  }
}

module.exports = { database, object, port, text, token, unsupported }
