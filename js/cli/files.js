'use strict'
// Files with secrets in them: made for their owner alone, never over what is there, replaced whole.

const fs = require('node:fs')
const path = require('node:path')
const { failed, usage } = require('./exit.js')

const PEMS = { certificate: 'certificate.pem', privateKey: 'private-key.pem', ca: 'ca.pem' }

/** What an identity was renewed to, in a directory of PEM files. */
const RENEWED = 'identity.json'

/** Makes a directory for its owner alone; one that is there stays as it is. */
function makeDirectory(directory) {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw failed(`${directory} cannot be made: ${error.message}`, 'STORE')
  }
}

/** A new file with mode 0600; what is there already is not touched. */
function writeNew(file, text) {
  try {
    fs.writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (error.code === 'EEXIST') throw failed(`${file} is there already, and is not overwritten`, 'EXISTS')
    throw failed(`${file} cannot be written: ${error.message}`, 'STORE')
  }
}

/**
 * Takes the place for a file that is written later: so that a place that cannot be had is found before anything is done that
 * cannot be undone, such as using up a token. Returns `write(text)` and `release()`, which makes the place free again.
 */
function reserve(file) {
  writeNew(file, '')
  return {
    write: (text) => replace(file, text),
    release: () => fs.rmSync(file, { force: true }),
  }
}

/** The file has the old text or the new one, whatever happens, and the new one is on the disk when this returns. */
function replace(file, text) {
  const part = `${file}.part`
  // What an earlier crash left behind may have another mode.
  fs.rmSync(part, { force: true })
  const descriptor = fs.openSync(part, 'wx', 0o600)
  try {
    fs.writeFileSync(descriptor, text)
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
  fs.renameSync(part, file)
  // Windows has no such thing as a directory that is written to the disk.
  if (process.platform === 'win32') return
  const directory = fs.openSync(path.dirname(file), 'r')
  try {
    fs.fsyncSync(directory)
  } finally {
    fs.closeSync(directory)
  }
}

function readText(file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw failed(`${file} cannot be read: ${error.message}`, 'STORE')
  }
}

/** An identity as JSON, checked only as far as that its three parts are texts. */
function parseIdentity(text, file) {
  let identity
  try {
    identity = JSON.parse(text)
  } catch {
    // Not the parser's message: it shows what it stumbled over, which may be the key.
    throw usage(`${file} holds no identity: it is no JSON`)
  }
  const { certificate, privateKey, ca } = identity ?? {}
  if ([certificate, privateKey, ca].some((part) => typeof part !== 'string')) throw usage(`${file} holds no identity: certificate, privateKey and ca are missing`)
  return { certificate, privateKey, ca }
}

function isDirectory(place) {
  return fs.statSync(place, { throwIfNoEntry: false })?.isDirectory() === true
}

/** Where the renewals of an identity are kept: in its own file, or beside the PEM files. */
function renewalFile(place, state) {
  if (state !== undefined) return path.join(state, RENEWED)
  return isDirectory(place) ? path.join(place, RENEWED) : place
}

/**
 * The identity at a place: a file as `enroll` writes it, or a directory with certificate.pem, private-key.pem and ca.pem. What it was renewed
 * to comes first.
 */
function readIdentity(place, state) {
  const kept = state === undefined ? undefined : path.join(state, RENEWED)
  const renewed = kept === undefined ? undefined : readText(kept)
  if (renewed !== undefined) return parseIdentity(renewed, kept)
  if (!isDirectory(place)) {
    const text = readText(place)
    if (text === undefined) throw usage(`there is no identity at ${place}: make one with \`midstreamer enroll\` or \`midstreamer ca issue\``)
    return parseIdentity(text, place)
  }
  const beside = readText(path.join(place, RENEWED))
  if (beside !== undefined) return parseIdentity(beside, path.join(place, RENEWED))
  return Object.fromEntries(Object.entries(PEMS).map(([part, file]) => {
    const text = readText(path.join(place, file))
    if (text === undefined) throw usage(`${place} holds no identity: ${file} is missing`)
    return [part, text]
  }))
}

/** The PEM files of an identity, in a directory of its own. Returns their paths. */
function writePems(directory, identity) {
  makeDirectory(directory)
  const files = Object.entries(PEMS).map(([part, file]) => [path.join(directory, file), identity[part]])
  for (const [file] of files) if (fs.existsSync(file)) throw failed(`${file} is there already, and is not overwritten`, 'EXISTS')
  for (const [file, text] of files) writeNew(file, text)
  return files.map(([file]) => file)
}

const identityText = ({ certificate, privateKey, ca }) => `${JSON.stringify({ certificate, privateKey, ca })}\n`

module.exports = { PEMS, makeDirectory, writeNew, reserve, replace, readText, parseIdentity, readIdentity, renewalFile, writePems, identityText, isDirectory }
