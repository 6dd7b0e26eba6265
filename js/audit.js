'use strict'
// verifyAuditLog. Files, hashes and signatures are the addon's; here are arguments and errors.

const path = require('node:path')
const native = require('./native.js')
const { fromNative, invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf } = require('./options.js')

/** A hash as the log writes it: 64 lower-case hexadecimal digits. */
const HASH = /^[0-9a-f]{64}$/

const ANCHOR = checksOf({
  seq(name, value) {
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw invalid(`anchor.${name} must be an integer >= 0, got ${show(value)}`)
  },
  head(name, value) {
    if (typeof value === 'string' && HASH.test(value)) return value
    throw invalid(`anchor.${name} must be 64 lower-case hexadecimal digits, got ${show(value)}`)
  },
})

const VERIFY = checksOf({
  publicKey(name, value) {
    if (typeof value === 'string' && value !== '') return value
    throw invalid(`${name} must be the PEM of an Ed25519 public key, got ${show(value)}`)
  },
  anchor(name, value) {
    if (value === null || typeof value !== 'object' || isArray(value) !== false) throw invalid(`${name} must be { seq, head }, got ${show(value)}`)
    const anchor = readOptions(value, ANCHOR, {}, 'anchor')
    for (const member of ['seq', 'head']) if (anchor[member] === undefined) throw invalid(`${name}.${member} is required: an anchor is { seq, head }`)
    return anchor
  },
})

async function verifyAuditLog(target, options) {
  if (typeof target !== 'string' || target === '' || target.includes('\0')) throw invalid(`path must be a path, got ${show(target)}`)
  const { publicKey, anchor } = readOptions(options, VERIFY, {}, 'verifyAuditLog')
  try {
    // A change of the working directory meanwhile must not lead elsewhere.
    const found = await native.verifyAuditLog(path.resolve(target), publicKey, anchor?.seq, anchor?.head)
    const { ok, entries, head, brokenAt, truncated, unsignedTail } = found
    const result = { ok, entries, head, truncated, unsignedTail }
    if (brokenAt != null) result.brokenAt = brokenAt
    return result
  } catch (error) {
    throw fromNative(error)
  }
}

module.exports = { verifyAuditLog }
