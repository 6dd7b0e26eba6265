'use strict'
// Passphrases and tokens. They come from a file, the environment, the standard input or a prompt, never from the command
// line, which every user of the machine can read; and what is written is for its owner alone.

const fs = require('node:fs')
const { usage } = require('./exit.js')

/** A token or a passphrase is a line; more is some other file. */
const LONGEST_BYTES = 64 * 1024

const INTERRUPTED = 130

/** A secret in a file, or in what is piped in (`-`): its only line, without the end of that. */
function secretFrom(file, what) {
  let text
  try {
    text = file === '-' ? fs.readFileSync(0, 'utf8') : fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw usage(`the ${what} cannot be read: ${error.message}`)
  }
  const where = file === '-' ? 'the standard input' : file
  if (Buffer.byteLength(text) > LONGEST_BYTES) throw usage(`the ${what} in ${where} is longer than ${LONGEST_BYTES} bytes`)
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '') throw usage(`the ${what} in ${where} is empty`)
  if (/[\r\n]/.test(secret)) throw usage(`the ${what} in ${where} has more than one line`)
  return secret
}

/** Whether somebody is there to be asked. */
function canAsk() {
  return process.stdin.isTTY === true && process.stderr.isTTY === true
}

/** Asks on the terminal, without an echo. Ctrl-C ends the process, as it does everywhere else. */
function ask(question) {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  return new Promise((resolve) => {
    let typed = []
    const finish = () => {
      stdin.removeListener('data', onData)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const onData = (text) => {
      for (const letter of text) {
        if (letter === '\r' || letter === '\n' || letter === '\x04') {
          finish()
          return resolve(typed.join(''))
        }
        if (letter === '\x03') {
          finish()
          process.exit(INTERRUPTED)
        }
        if (letter === '\x7f' || letter === '\b') typed.pop()
        else if (letter === '\x15') typed = []
        else if (letter >= ' ') typed.push(letter)
      }
    }
    stdin.on('data', onData)
    stdin.resume()
  })
}

/** The passphrase that was given: by a file, or MIDSTREAMER_PASSPHRASE; undefined without. */
function givenPassphrase({ passphraseFile }, environment = process.env) {
  if (passphraseFile !== undefined) return secretFrom(passphraseFile, 'passphrase')
  return environment.MIDSTREAMER_PASSPHRASE || undefined
}

/** A new passphrase, asked for twice. */
async function newPassphrase() {
  if (!canAsk()) throw usage('a passphrase is needed: MIDSTREAMER_PASSPHRASE, --passphrase-file, or a terminal to ask on')
  const first = await ask('Passphrase for the authority: ')
  if (first === '') throw usage('the passphrase is empty')
  if (await ask('The same again: ') !== first) throw usage('the two passphrases differ')
  return first
}

/** The join token: by a file, `-`, or MIDSTREAMER_TOKEN. */
function givenToken({ tokenFile }, environment = process.env) {
  if (tokenFile !== undefined) return secretFrom(tokenFile, 'token').trim()
  if (environment.MIDSTREAMER_TOKEN) return environment.MIDSTREAMER_TOKEN.trim()
  throw usage('a token is needed: --token-file <path>, --token-file - for the standard input, or MIDSTREAMER_TOKEN')
}

module.exports = { secretFrom, canAsk, ask, givenPassphrase, newPassphrase, givenToken }
