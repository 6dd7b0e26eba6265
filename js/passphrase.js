'use strict'
// Passphrases as users pass them, into bytes for the addon.

const { invalid } = require('./errors.js')
const { kindOf, refuseDetached } = require('./series.js')

/** Half of a surrogate pair: UTF-8 has no form for it. */
const ILL_FORMED = /\p{Surrogate}/u

/** Whether UTF-8 has a form for the text. */
const isWellFormed = typeof ''.isWellFormed === 'function' ? (text) => text.isWellFormed() : (text) => !ILL_FORMED.test(text)

/** A private copy of the bytes. The value is secret: no message shows it. */
function passphrase(name, value) {
  const isText = typeof value === 'string'
  if (!isText && kindOf(value) !== 'Uint8Array') throw invalid(`${name} must be a string or a Uint8Array, got a value of type ${typeof value}`)
  if (!isText) refuseDetached(name, value)
  if (value.length === 0) throw invalid(`${name} is empty`)
  if (isText && !isWellFormed(value)) throw invalid(`${name} is not well-formed Unicode`)
  return isText ? Buffer.from(value, 'utf8') : Uint8Array.from(value)
}

module.exports = { passphrase, isWellFormed }
