'use strict'
// Checks of options that coordinator and agent share.

const path = require('node:path')
const { failure, invalid, isArray, show } = require('./errors.js')
const { record } = require('./options.js')

/** Kinds, topics, capabilities, types, keys of metadata: bytes of each, as on the wire. */
const LONGEST_NAME_BYTES = 128

/** An idempotency key, characters. */
const LONGEST_KEY = 512

/** Bytes of everything that an agent says about itself. */
const MOST_DESCRIPTION_BYTES = 32 * 1024

/** Half of a surrogate pair would arrive as something else. */
const ILL_FORMED = /\p{Surrogate}/u

const CONTROL = /\p{Cc}/u

function name(what, value) {
  if (typeof value !== 'string' || value === '') throw invalid(`${what} must be a string that is not empty, got ${show(value)}`)
  const bytes = Buffer.byteLength(value)
  if (bytes > LONGEST_NAME_BYTES) throw invalid(`${what} must have at most ${LONGEST_NAME_BYTES} bytes in UTF-8, got ${bytes}`)
  if (ILL_FORMED.test(value) || CONTROL.test(value)) throw invalid(`${what} must be well-formed text without control characters, got ${show(value)}`)
  return value
}

/** An idempotency key: any text that says what it is. */
function key(what, value) {
  if (typeof value !== 'string' || value === '') throw invalid(`${what} must be a string that is not empty, got ${show(value)}`)
  if (value.length > LONGEST_KEY) throw invalid(`${what} must have at most ${LONGEST_KEY} characters, got ${value.length}`)
  if (ILL_FORMED.test(value) || value.includes('\0')) throw invalid(`${what} must be well-formed text without NUL, got ${show(value)}`)
  return value
}

function names(what, value) {
  if (isArray(value) !== true) throw invalid(`${what} must be an array of strings, got ${show(value)}`)
  return Array.from(value, (item, i) => name(`${what}[${i}]`, item))
}

/** `host:port`, an IPv6 address in brackets. */
function address(what, value) {
  const parts = typeof value === 'string' ? /^(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:[\]]+):(\d{1,5})$/.exec(value) : null
  if (parts === null || Number(parts[2]) > 65535) throw invalid(`${what} must be a string 'host:port', got ${show(value)}`)
  return value
}

/** Certificate, private key and CA, each in PEM. */
function identity(what, value) {
  if (value === null || typeof value !== 'object') {
    throw invalid(`${what} must be an object with certificate, privateKey and ca in PEM, got ${show(value)}`)
  }
  return ['certificate', 'privateKey', 'ca'].map((part) => {
    const text = value[part]
    // Not shown: it may be the key.
    if (typeof text !== 'string' || !text.includes('-----BEGIN ')) throw invalid(`${what}.${part} must be PEM text`)
    return text
  })
}

function directory(what, value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0') || ILL_FORMED.test(value)) {
    throw invalid(`${what} must be a path, got ${show(value)}`)
  }
  // A change of the working directory must not lead elsewhere.
  return path.resolve(value)
}

/** The most that a number of milliseconds or bytes can be: no computation with it overflows. */
const MOST = 2 ** 48

/** Milliseconds or bytes. */
function amount(what, value) {
  if (Number.isSafeInteger(value) && value >= 1 && value <= MOST) return value
  throw invalid(`${what} must be an integer from 1 to ${MOST}, got ${show(value)}`)
}

/** A number of things. */
function small(what, value) {
  if (Number.isSafeInteger(value) && value >= 1 && value < 2 ** 32) return value
  throw invalid(`${what} must be an integer from 1 to ${2 ** 32 - 1}, got ${show(value)}`)
}

/** Own enumerable properties with values that pass. */
function recordOf(check) {
  return (what, value) => {
    if (value === null || typeof value !== 'object' || isArray(value) !== false) throw invalid(`${what} must be an object, got ${show(value)}`)
    const read = record({})
    for (const key of Object.keys(value)) read[name(`a key of ${what}`, key)] = check(`${what}[${show(key)}]`, value[key])
    return read
  }
}

/** Refuses a description that would not fit into the greeting. */
function checkDescription(texts) {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 8, 0)
  if (bytes > MOST_DESCRIPTION_BYTES) {
    throw failure('TOO_LARGE', `type, capabilities, metadata and kinds of an agent take ${bytes} bytes together, more than ${MOST_DESCRIPTION_BYTES}`)
  }
}

/** A value is printed on one line in messages; a text may be any string. */
function text(what, value) {
  if (typeof value !== 'string' || ILL_FORMED.test(value)) throw invalid(`${what} must be well-formed text, got ${show(value)}`)
  return value
}

module.exports = { name, key, names, address, identity, directory, amount, small, recordOf, checkDescription, text }
