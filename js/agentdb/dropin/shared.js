'use strict'
// One AgentDbSync for each database handle, whoever of the three classes asks for it; closed when the last one lets go.

const { createHash } = require('node:crypto')
const { AgentDbSync } = require('../sync.js')
const { failure, invalid, show } = require('../../errors.js')

/** Handle -> { name, opening, holders }. */
const open = new WeakMap()

/**
 * Whoever has another token replicates another database, and is told so: the peers' certificates say who they are, and the
 * token, which never travels, that they belong together.
 */
function databaseName(database, authToken) {
  return authToken === '' ? database : `${database}#${createHash('sha256').update(authToken).digest('hex').slice(0, 32)}`
}

/** Takes hold of the sync of this handle. */
async function hold(db, name, keyring) {
  let entry = open.get(db)
  if (entry !== undefined && entry.name !== name) {
    throw failure('INVALID_ARGUMENT', `this database is replicated as ${show(entry.name)} already, not as ${show(name)}: database and authToken must be the same for all who share it`)
  }
  if (entry === undefined) {
    entry = { name, holders: 0, opening: AgentDbSync.open({ db, database: name, ...(keyring && { keyring }) }) }
    open.set(db, entry)
  }
  entry.holders += 1
  try {
    return await entry.opening
  } catch (error) {
    if (open.get(db) === entry) open.delete(db)
    throw error
  }
}

/** Lets go of it. */
async function release(db) {
  const entry = open.get(db)
  if (entry === undefined) return
  entry.holders -= 1
  if (entry.holders > 0) return
  open.delete(db)
  await (await entry.opening).close()
}

/** An identity, or AgentDB's `tlsConfig`, as an identity. */
function identityOf(owner, { identity, tlsConfig }) {
  if (identity !== undefined) return identity
  const { cert, key, ca } = tlsConfig ?? {}
  for (const [name, value] of Object.entries({ cert, key, ca })) {
    if (typeof value !== 'string' || !value.includes('-----BEGIN')) {
      throw invalid(`${owner} needs tlsConfig.${name}, PEM text and not a path (or identity, of a CertificateAuthority): there is no peer without a certificate`)
    }
  }
  return { certificate: cert, privateKey: key, ca }
}

module.exports = { databaseName, hold, identityOf, release }
