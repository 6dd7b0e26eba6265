'use strict'
// Options that mean the same in several commands.

const { option, file, fileOrStdin, flag, choice, duration } = require('./options.js')

const AUTHORITY = 'midstreamer-authority'
const DATA = 'midstreamer-data'
const IDENTITY = 'midstreamer-identity.json'

/** A default path, which is relative to the working directory. */
const place = (name, what, fallback, description) => option(name, what, file, description, { fallback: file.read(fallback), shown: fallback })

const authority = place('authority', 'dir', AUTHORITY, 'directory of the certificate authority')
const dataDir = place('dataDir', 'dir', DATA, 'directory of the coordinator: tasks, audit log, identity, control socket')
const identity = place('identity', 'path', IDENTITY, 'identity: a file of `enroll`, or a directory of `ca issue`')
const passphraseFile = option('passphraseFile', 'path', fileOrStdin, 'file with the passphrase of the authority; MIDSTREAMER_PASSPHRASE has it itself')
const logLevel = option('logLevel', 'level', choice('error', 'warn', 'info', 'debug'), 'least important entries that are logged: error, warn, info or debug', { fallback: 'info', shown: 'info' })

function drain(fallback, what) {
  return option('drain', 'duration', duration, what, { fallback: duration.read(fallback), shown: fallback })
}

/** Every command has these. */
const json = option('json', undefined, flag, 'print JSON, one document or one line an event', { fallback: false })
const config = option('config', 'path', file, 'configuration file', { shown: 'midstreamer.config.json, if there is one' })

const LEVELS = ['error', 'warn', 'info', 'debug']

/** Whether an entry of a level is to be shown. */
const isLogged = (level, least) => LEVELS.indexOf(level) <= LEVELS.indexOf(least)

module.exports = { authority, dataDir, identity, passphraseFile, logLevel, drain, json, config, isLogged }
