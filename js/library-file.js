'use strict'
// Where a pattern library is saved to and loaded from, and under which key.

const path = require('node:path')
const { invalid, show } = require('./errors.js')
const { readOptions, checksOf } = require('./options.js')
const { nativeKeyring, contextOf } = require('./keyring.js')

const FILE = checksOf({
  keyring(name, value) {
    const keyring = nativeKeyring(value)
    if (keyring === undefined) throw invalid(`${name} must be a Keyring, from Keyring.open(), got ${show(value)}`)
    return keyring
  },
  context: (_, value) => contextOf(value),
})

/** A context is what a sealed file is bound to; a plain one is bound to nothing. */
function fileOptions(options, what) {
  const { keyring, context } = readOptions(options, FILE, {}, what)
  if (context !== undefined && keyring === undefined) throw invalid('context needs a keyring: a plain file is bound to nothing')
  return { keyring, context: context ?? '' }
}

function filePath(name, value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalid(`${name} must be a path, got ${show(value)}`)
  // A change of the working directory meanwhile must not lead elsewhere.
  return path.resolve(value)
}

/** The save that is the last in the queue of each path. */
const saves = new Map()

/** Writes when the saves to the same path that were called before are done: the last call is what stays. */
async function inTurn(target, write) {
  const before = saves.get(target)
  const turn = (async () => {
    // Its caller hears of a failure; here it only makes room.
    await before?.catch(() => {})
    await write()
  })()
  saves.set(target, turn)
  try {
    await turn
  } finally {
    if (saves.get(target) === turn) saves.delete(target)
  }
}

module.exports = { fileOptions, filePath, inTurn }
