'use strict'
// Meta of patterns: a private, frozen copy of a JSON value, so that what a caller changes later changes nothing here,
// and the copy can be handed out without another.

const { failure, invalid, isArray, show } = require('./errors.js')

/** Deeper than any real meta, and far from the end of the stack. */
const MAX_DEPTH = 500

/** Values of one meta: an object that holds another many times over, on many levels, would fill the memory. */
const MAX_VALUES = 1_000_000

const PRIMITIVES = new Set(['string', 'number', 'boolean'])

/**
 * A deeply frozen copy of `value`. What JSON cannot hold is INVALID_ARGUMENT naming its place below `name()`:
 * functions, symbols, BigInt, instances of classes (also Date), cycles, holes. As JSON does, properties that are
 * undefined are left out and undefined items become null; NaN and infinities are kept.
 */
function toJson(name, value) {
  return value === undefined || value === null || PRIMITIVES.has(typeof value) ? value : new Copy(name).of(value)
}

class Copy {
  constructor(name) {
    this.name = name
    this.keys = []
    this.above = []
    this.count = 0
  }

  of(value) {
    if (++this.count > MAX_VALUES) throw failure('TOO_LARGE', `${this.name()} holds more than ${MAX_VALUES} values`)
    if (value === null || PRIMITIVES.has(typeof value)) return value
    if (typeof value !== 'object') throw this.refusal(`is ${show(value)}`)
    const kind = isArray(value)
    if (kind === undefined) throw this.refusal('is a revoked Proxy')
    if (!kind && !isPlain(value)) throw this.refusal(`is ${show(value)}, and only plain objects and arrays are JSON`)
    if (this.above.includes(value)) throw this.refusal('contains itself')
    if (this.above.length === MAX_DEPTH) throw this.refusal(`is nested deeper than ${MAX_DEPTH} levels`)
    this.above.push(value)
    const copy = kind ? this.ofArray(value) : this.ofObject(value)
    this.above.pop()
    return Object.freeze(copy)
  }

  ofArray(array) {
    const copy = []
    for (let i = 0, length = array.length; i < length; i++) {
      this.keys.push(i)
      // A sparse array can claim four billion items.
      if (!(i in array)) throw this.refusal('is a hole')
      const item = array[i]
      copy.push(item === undefined ? null : this.of(item))
      this.keys.pop()
    }
    return copy
  }

  ofObject(object) {
    const copy = {}
    for (const key of Object.keys(object)) {
      const item = object[key]
      if (item === undefined) continue
      this.keys.push(key)
      const own = this.of(item)
      this.keys.pop()
      // Assigned, this one would set the prototype.
      if (key === '__proto__') Object.defineProperty(copy, key, { value: own, enumerable: true, configurable: true, writable: true })
      else copy[key] = own
    }
    return copy
  }

  refusal(what) {
    const place = this.keys.map((key) => typeof key === 'number' ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${show(key)}]`)
    const path = place.length > 12 ? [...place.slice(0, 6), '...', ...place.slice(-5)] : place
    return invalid(`${this.name()}${path.join('')} ${what}`)
  }
}

/** An object without a class, of whatever realm. */
function isPlain(object) {
  const prototype = Object.getPrototypeOf(object)
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty'))
}

module.exports = { toJson }
