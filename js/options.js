'use strict'
// Options: every name known, every value checked, every property read once.

const { types } = require('node:util')
const { invalid, isArray, show } = require('./errors.js')

/** One of `names`, as its position. */
function oneOf(...names) {
  return (name, value) => {
    const index = typeof value === 'string' ? names.indexOf(value) : -1
    if (index < 0) throw invalid(`${name} must be ${names.map((x) => `'${x}'`).join(' or ')}, got ${show(value)}`)
    return index
  }
}

function count(name, value) {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw invalid(`${name} must be an integer >= 1, got ${show(value)}`)
}

function radius(name, value) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`${name} must be an integer >= 0, in samples, got ${show(value)}`)
}

function bound(name, value) {
  if (typeof value === 'number' && value >= 0) return value
  throw invalid(`${name} must be a number >= 0, got ${show(value)}`)
}

function finite(name, value) {
  if (Number.isFinite(value)) return value
  throw invalid(`${name} must be a finite number, got ${show(value)}`)
}

function nonNegative(name, value) {
  if (Number.isFinite(value) && value >= 0) return value
  throw invalid(`${name} must be a finite number >= 0, got ${show(value)}`)
}

function abortSignal(name, value) {
  if (value !== null && typeof value === 'object' && isArray(value) === false && typeof value.aborted === 'boolean'
    && typeof value.addEventListener === 'function' && typeof value.removeEventListener === 'function') return value
  throw invalid(`${name} must be an AbortSignal, got ${show(value)}`)
}

function callback(name, value) {
  if (typeof value === 'function') return value
  throw invalid(`${name} must be a function, got ${show(value)}`)
}

/** Every name that is an option somewhere in this API: such a one with the value undefined is omitted everywhere. */
const NAMES = new Set()

/** The names of checks: to enumerate the record itself, which has no prototype, takes longer than all the rest. */
const NAMES_OF = new WeakMap()

/** The checks of a function, by name. */
function checksOf(fields) {
  for (const name in fields) NAMES.add(name)
  const checks = record(fields)
  NAMES_OF.set(checks, Object.keys(checks))
  return checks
}

/** Whether this is the Object.prototype of some realm: what others put there is no option. */
function isRoot(object) {
  return Object.getPrototypeOf(object) === null && Object.hasOwn(object, 'hasOwnProperty')
}

/** The object and its prototypes, for options may be inherited and may be the getters of a class. */
function layersOf(options) {
  const layers = []
  for (let layer = options; layer !== null && (layer === options || !isRoot(layer)); layer = Object.getPrototypeOf(layer)) layers.push(layer)
  return layers
}

/** Objects without enumerable properties that somebody may take for options, and whose content would be passed over. */
function isOther(object) {
  return Object.getPrototypeOf(object) !== Object.prototype
    && (types.isMap(object) || types.isSet(object) || types.isPromise(object) || types.isDate(object)
      || types.isBoxedPrimitive(object) || ArrayBuffer.isView(object))
}

/**
 * Reads `options` by `checks`, a record of `checksOf`. Absent and undefined options keep what `defaults` says.
 * `context` ends the message about an unknown name, e.g. "elastic('erp')".
 */
function readOptions(options, checks, defaults, context) {
  if (options === undefined) return defaults
  if (options === null || typeof options !== 'object' || isArray(options) !== false || isOther(options)) {
    throw invalid(`options of ${context} must be an object, got ${show(options)}`)
  }
  return Object.getPrototypeOf(options) === Object.prototype
    ? readPlain(options, checks, defaults, context)
    : readLayers(options, checks, defaults, context)
}

/** Most options are a literal: what stands in the object itself is all there is. */
function readPlain(options, checks, defaults, context) {
  const own = Object.keys(options)
  for (let i = 0; i < own.length; i++) refuseUnknown(own[i], options, checks, context)
  const read = { ...defaults }
  for (const name of NAMES_OF.get(checks)) {
    if (!Object.hasOwn(options, name)) continue
    const value = options[name]
    if (value !== undefined) read[name] = checks[name](name, value)
  }
  return read
}

function readLayers(options, checks, defaults, context) {
  const layers = layersOf(options)
  for (const layer of layers) {
    for (const name of Object.keys(layer)) refuseUnknown(name, options, checks, context)
  }
  const read = { ...defaults }
  for (const name of NAMES_OF.get(checks)) {
    const value = options[name]
    // Most are absent; what is there may still be somebody else's, put on Object.prototype.
    if (value === undefined || !layers.some((layer) => Object.hasOwn(layer, name))) continue
    read[name] = checks[name](name, value)
  }
  return read
}

function refuseUnknown(name, options, checks, context) {
  if (name in checks || (NAMES.has(name) && options[name] === undefined)) return
  throw unknown(name, Object.keys(checks), context)
}

function unknown(name, known, context) {
  const near = known.find((x) => x.toLowerCase() === name.toLowerCase()) ?? known.find((x) => differByLittle(x, name))
  const hint = near === undefined
    ? (known.length === 0 ? ': it takes none' : `: it takes ${known.join(', ')}`)
    : `: did you mean ${show(near)}?`
  return invalid(`${show(name)} is no option of ${context}${hint}`)
}

/** Whether one is the beginning of the other, or an edit distance of at most 2 apart. */
function differByLittle(a, b) {
  if (b.length >= 3 && (a.startsWith(b) || b.startsWith(a))) return true
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length] <= 2
}

/** A record without a prototype, so that "constructor" and the like are unknown options. */
function record(fields) {
  return Object.assign(Object.create(null), fields)
}

module.exports = { readOptions, checksOf, record, oneOf, count, radius, bound, finite, nonNegative, abortSignal, callback }
