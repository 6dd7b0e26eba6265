'use strict'
// Opening the authority that commands work on: never making one by the way.

const fs = require('node:fs')
const path = require('node:path')
const api = require('./api.js')
const { failed, usage } = require('./exit.js')
const { ask, canAsk, givenPassphrase } = require('./secrets.js')

/** What is in the directory of an authority. */
const FILE = 'authority.json'

const isAuthority = (directory) => fs.existsSync(path.join(directory, FILE))

/** An authority that is there; its passphrase is asked for where one is needed and none was given. */
async function openAuthority(settings) {
  const { authority: directory } = settings
  if (!isAuthority(directory)) throw failed(`there is no authority in ${directory}: \`midstreamer ca init\` makes one`, 'NOT_FOUND')
  const passphrase = givenPassphrase(settings)
  try {
    return await api.CertificateAuthority.open(directory, { passphrase })
  } catch (error) {
    if (error.code !== 'DECRYPT' || passphrase !== undefined) throw error
    if (!canAsk()) throw usage(`the authority in ${directory} has a passphrase: MIDSTREAMER_PASSPHRASE, --passphrase-file, or a terminal to ask on`)
    return await api.CertificateAuthority.open(directory, { passphrase: await ask('Passphrase of the authority: ') })
  }
}

/** Its own certificate, which needs no passphrase. */
function certificateOf(directory) {
  return JSON.parse(fs.readFileSync(path.join(directory, FILE), 'utf8')).certificate
}

module.exports = { openAuthority, isAuthority, certificateOf }
