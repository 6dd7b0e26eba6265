'use strict'
// Sequences of symbols into Uint32Arrays for the addon, so that two numbers are equal exactly where the symbols are.
// Whatever is 32 bits already (signals, states, UTF-16 code units) goes as it is; other numbers and strings are
// numbered in the order of their first appearance, with one dictionary for all sequences of a call.

const { failure, invalid, isArray, show } = require('./errors.js')
const { kindOf, refuseDetached, allocate, unshared, pack } = require('./series.js')

const TEXT = 'a string'
const STRINGS = 'an array of strings'
const NUMBERS = 'numbers'
/** An empty array is both of numbers and of strings. */
const ANY = 'an empty array'

function kindOfSequence(name, value) {
  if (typeof value === 'string') return TEXT
  const kind = kindOf(value)
  if (kind === 'Int32Array' || kind === 'Uint8Array') {
    if (value.length === 0) refuseDetached(name, value)
    return NUMBERS
  }
  if (!isArray(value)) {
    throw invalid(`${name} must be an Int32Array, a Uint8Array, a string or an array of numbers or strings, got ${show(value)}`)
  }
  if (value.length === 0) return ANY
  const first = value[0]
  if (typeof first === 'number') return NUMBERS
  if (typeof first === 'string') return STRINGS
  throw invalid(`${name}[0] must be a number or a string, ${0 in value ? `got ${show(first)}` : 'but the array has a hole there'}`)
}

/** The one kind of all sequences; `names[i]` is for the error. */
function commonKind(names, sequences) {
  let kind = ANY
  let from = 0
  for (let i = 0; i < sequences.length; i++) {
    const own = kindOfSequence(names(i), sequences[i])
    if (own === kind) continue
    if (kind === ANY && (i === 0 || own !== TEXT)) {
      kind = own
      from = i
    } else if (own !== ANY || kind === TEXT) {
      throw invalid(`${names(i)} is ${own} but ${names(from)} is ${kind}: sequences that are compared must be of one kind`)
    }
  }
  return kind
}

function codeUnits(name, text) {
  const symbols = allocate(name, Uint32Array, text.length)
  for (let i = 0; i < symbols.length; i++) symbols[i] = text.charCodeAt(i)
  return symbols
}

/** Numbers by the order in which values are first seen. A Map holds -0 and 0 for equal, as the contract does. */
class Dictionary {
  constructor() {
    this.ids = new Map()
  }

  idOf(value) {
    let id = this.ids.get(value)
    if (id === undefined) this.ids.set(value, id = this.ids.size)
    return id
  }
}

function wrongItem(name, index, list, wanted) {
  return invalid(`${name}[${index}] must be ${wanted}, ${index in list ? `got ${show(list[index])}` : 'but the array has a hole there'}`)
}

function internStrings(name, list, dictionary) {
  const length = list.length
  if (length > 0 && typeof list[length - 1] !== 'string') throw wrongItem(name, length - 1, list, 'a string')
  const symbols = allocate(name, Uint32Array, length)
  for (let i = 0; i < length; i++) {
    const x = list[i]
    if (typeof x !== 'string') throw wrongItem(name, i, list, 'a string')
    symbols[i] = dictionary.idOf(x)
  }
  return symbols
}

function checkNumber(name, index, list) {
  const x = list[index]
  if (typeof x !== 'number') throw wrongItem(name, index, list, 'a number')
  if (!Number.isFinite(x)) throw failure('NON_FINITE', `${name}[${index}] is ${x}`)
  return x
}

/** The bits of 32-bit integers, or undefined at the first number that is none. */
function integerBits(name, value) {
  const kind = kindOf(value)
  if (kind === 'Int32Array') {
    const own = unshared(name, value, Int32Array)
    return new Uint32Array(own.buffer, own.byteOffset, own.length)
  }
  if (kind === 'Uint8Array') {
    const symbols = allocate(name, Uint32Array, value.length)
    symbols.set(value)
    return symbols
  }
  const length = value.length
  if (length > 0) checkNumber(name, length - 1, value)
  const symbols = allocate(name, Uint32Array, length)
  for (let i = 0; i < length; i++) {
    const x = value[i]
    // Holds for -0 too, which becomes 0.
    if (typeof x === 'number' && (x | 0) === x) {
      symbols[i] = x
    } else {
      checkNumber(name, i, value)
      return undefined
    }
  }
  return symbols
}

function internNumbers(name, list, dictionary) {
  const symbols = allocate(name, Uint32Array, list.length)
  for (let i = 0; i < symbols.length; i++) {
    symbols[i] = dictionary.idOf(kindOf(list) === undefined ? checkNumber(name, i, list) : list[i])
  }
  return symbols
}

/** Sequences of one kind as arrays of symbols; `names(i)` is what errors call sequence i. */
function toSymbols(names, sequences) {
  const kind = commonKind(names, sequences)
  if (kind === TEXT) return sequences.map((text, i) => codeUnits(names(i), text))
  if (kind === STRINGS) {
    const dictionary = new Dictionary()
    return sequences.map((list, i) => internStrings(names(i), list, dictionary))
  }
  const bits = new Array(sequences.length)
  for (let i = 0; i < bits.length; i++) {
    bits[i] = integerBits(names(i), sequences[i])
    if (bits[i] === undefined) {
      const dictionary = new Dictionary()
      return sequences.map((list, k) => internNumbers(names(k), list, dictionary))
    }
  }
  return bits
}

const PAIR = (i) => (i === 0 ? 'a' : 'b')

/** The two sequences of a comparison. */
function toSymbolPair(a, b) {
  return toSymbols(PAIR, [a, b])
}

/** A list of sequences, packed. */
function toSymbolList(name, sequences) {
  if (!isArray(sequences)) throw invalid(`${name} must be an array of sequences, got ${show(sequences)}`)
  // A copy, without holes, because sequences are looked at more than once.
  const arrays = toSymbols((i) => `${name}[${i}]`, Array.from(sequences))
  return { ...pack(name, arrays, Uint32Array), count: arrays.length }
}

module.exports = { toSymbolPair, toSymbolList }
