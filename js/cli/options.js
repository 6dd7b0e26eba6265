'use strict'
// Options of commands, and what their values may be. A kind reads a text, or throws what the value has to be.

const path = require('node:path')
const { show } = require('../errors.js')

/** A kind of value: `read(text)` gives the value or undefined, `wanted` says what it has to be. */
const kind = (wanted, read, more) => Object.freeze({ wanted, read, ...more })

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const LONGEST_MS = 36_500 * UNITS.d

/** Milliseconds. Without a unit nobody knows whether 30 are seconds. */
const duration = kind('a duration such as 500ms, 30s, 10m, 24h or 7d', (text) => {
  const parts = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text)
  const value = parts === null ? (text === '0' ? 0 : NaN) : Number(parts[1]) * UNITS[parts[2]]
  return value <= LONGEST_MS ? value : undefined
})

function integer(least, most = 2 ** 32 - 1) {
  return kind(`an integer from ${least} to ${most}`, (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
    return value >= least && value <= most ? value : undefined
  })
}

const ADDRESS = /^(\[[0-9A-Fa-f:.%a-z]+\]|[^\s:[\],]+):(\d{1,5})$/

function readAddress(text) {
  const parts = ADDRESS.exec(text)
  return parts !== null && Number(parts[2]) <= 65535 ? text : undefined
}

const address = kind('host:port, an IPv6 address in brackets', readAddress)

const addresses = kind('host:port, several of them separated by commas', (text) => {
  const read = text.split(',').map((part) => readAddress(part.trim()))
  return read.includes(undefined) ? undefined : read
}, { list: true })

/** Names that the package checks further: ids, kinds, topics. */
const list = kind('names separated by commas', (text) => {
  const names = text.split(',').map((name) => name.trim())
  return names.includes('') ? undefined : names
}, { list: true })

const choice = (...names) => kind(names.join(', ').replace(/, ([^,]*)$/, ' or $1'), (text) => (names.includes(text) ? text : undefined))

const string = kind('a text that is not empty', (text) => (text === '' ? undefined : text))

/** Relative to the working directory; in a configuration file, to that. */
const file = kind('a path', (text) => (text === '' || text.includes('\0') ? undefined : path.resolve(text)), { path: true })

/** The same, and `-` for the standard input. */
const fileOrStdin = kind('a path, or - for the standard input', (text) => (text === '-' ? text : file.read(text)), { path: true })

const TRUE = new Set(['1', 'true', 'yes', 'on'])
const FALSE = new Set(['0', 'false', 'no', 'off'])
const flag = kind('true or false', (text) => (TRUE.has(text) ? true : FALSE.has(text) ? false : undefined), { flag: true })

const url = kind('a URL that begins with http:// or https://', (text) => {
  try {
    return /^https?:$/.test(new URL(text).protocol) ? text.replace(/\/+$/, '') : undefined
  } catch {
    return undefined
  }
})

/**
 * One option. `name` is as in the configuration file, `value` what stands for its value in the help.
 * With `environment: false` it is a flag alone.
 */
function option(name, value, kind, description, { fallback, shown, environment = true, short } = {}) {
  const long = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  return Object.freeze({
    name, kind, description, fallback, shown, long, value, short,
    variable: environment ? `MIDSTREAMER_${long.slice(2).replaceAll('-', '_').toUpperCase()}` : undefined,
  })
}

/** Reads one text as the value of an option. `where` names the place for the message; what is secret is no option. */
function read(option, text, where) {
  const value = option.kind.read(text)
  if (value !== undefined) return { value }
  return { problem: `${where} must be ${option.kind.wanted}, got ${show(text)}` }
}

module.exports = {
  option, read, duration, integer, address, addresses, list, choice, string, file, fileOrStdin, flag, url,
}
