'use strict'
// Series and candidates as users pass them, into Float64Arrays for the addon. Whether the values are finite is
// checked there, at memory speed; here is only what Rust cannot see: types, holes, shared and detached memory.

const { failure, invalid, isArray, show } = require('./errors.js')

// The tag of the prototype cannot be faked by an instance and works across realms (vm contexts, jest), where
// instanceof does not.
const typedArrayTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get

/** 'Float64Array' and so on, or undefined for anything that is not a typed array. */
function kindOf(value) {
  return typedArrayTag.call(value)
}

/** A detached array looks empty; only a try at its buffer tells. */
function isDetached(array) {
  try {
    new Uint8Array(array.buffer)
    return false
  } catch {
    return true
  }
}

function refuseDetached(name, array) {
  if (array.length === 0 && isDetached(array)) {
    throw invalid(`${name} is a view of a detached ArrayBuffer: it was transferred to another thread`)
  }
}

/** Zeros, or TOO_LARGE where the engine cannot provide them. */
function allocate(name, Type, length) {
  try {
    return new Type(length)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw failure('TOO_LARGE', `${name}: no memory for ${length} values`)
  }
}

/** The array itself, or a copy where another thread could change it while the addon reads. */
function unshared(name, array, Type) {
  if (array.buffer instanceof ArrayBuffer) return array
  const copy = allocate(name, Type, array.length)
  copy.set(array)
  return copy
}

function fromNumbers(name, list) {
  const length = list.length
  // Before memory is asked for: a sparse array can claim four billion values.
  if (length > 0 && typeof list[length - 1] !== 'number') throw notANumber(name, length - 1, list)
  const values = allocate(name, Float64Array, length)
  for (let i = 0; i < length; i++) {
    const x = list[i]
    if (typeof x !== 'number') throw notANumber(name, i, list)
    values[i] = x
  }
  return values
}

function notANumber(name, index, list) {
  const hole = !(index in list)
  return invalid(`${name}[${index}] must be a number, ${hole ? 'but the array has a hole there' : `got ${show(list[index])}`}`)
}

/** The values of a Float64Array, Float32Array or array of numbers, perhaps none. */
function toValues(name, value) {
  const kind = kindOf(value)
  if (kind === 'Float64Array') {
    if (value.length === 0) refuseDetached(name, value)
    return unshared(name, value, Float64Array)
  }
  if (kind === 'Float32Array') {
    if (value.length === 0) refuseDetached(name, value)
    const copy = allocate(name, Float64Array, value.length)
    copy.set(value)
    return copy
  }
  if (isArray(value)) return fromNumbers(name, value)
  throw noSeries(name, value)
}

function noSeries(name, value) {
  return invalid(`${name} must be a Float64Array, a Float32Array or an array of numbers, got ${show(value)}`)
}

function empty(name) {
  return failure('EMPTY_SERIES', `${name} is empty: a series needs at least one value`)
}

/** A series of one value or more. */
function toSeries(name, value) {
  const values = toValues(name, value)
  if (values.length === 0) throw empty(name)
  return values
}

/** Arrays end to end: all values in one run, and where each one ends. */
function pack(name, arrays, Type) {
  const ends = new Float64Array(arrays.length)
  let total = 0
  for (let i = 0; i < arrays.length; i++) {
    // A getter among the later arrays can have taken the memory of an earlier one.
    if (arrays[i].length === 0) refuseDetached(`${name}[${i}]`, arrays[i])
    ends[i] = total += arrays[i].length
  }
  const values = allocate(name, Type, total)
  for (let i = 0, start = 0; i < arrays.length; start = ends[i++]) values.set(arrays[i], start)
  return { values, ends }
}

const NO_ENDS = new Float64Array(0)

/** The length of row `index` of a list, once its type is known to be right; names are made for errors only. */
function lengthOfRow(nameOf, index, row) {
  const kind = kindOf(row)
  if (kind === undefined ? !isArray(row) : kind !== 'Float64Array' && kind !== 'Float32Array') {
    throw noSeries(nameOf(index), row)
  }
  const length = row.length
  if (length === 0) {
    if (kind !== undefined) refuseDetached(nameOf(index), row)
    throw empty(nameOf(index))
  }
  // Before memory is asked for: a sparse array can claim four billion values.
  if (kind === undefined && typeof row[length - 1] !== 'number') throw notANumber(nameOf(index), length - 1, row)
  return length
}

/**
 * A list of series, packed; `check(length, index)` sees each, `nameOf(index)` is its name in errors. The values go straight into the packed array: an array
 * for each of a hundred thousand rows would hold up the event loop for longer than the copying.
 */
function toSeriesList(name, list, check, nameOf = (index) => `${name}[${index}]`) {
  if (!isArray(list)) throw invalid(`${name} must be an array of series, got ${show(list)}`)
  const count = list.length
  const rows = new Array(count)
  const ends = allocate(name, Float64Array, count)
  let total = 0
  for (let i = 0; i < count; i++) {
    rows[i] = list[i]
    const length = lengthOfRow(nameOf, i, rows[i])
    check?.(length, i)
    ends[i] = total += length
  }
  const values = allocate(name, Float64Array, total)
  for (let i = 0, at = 0; i < count; i++) {
    const row = rows[i]
    const length = ends[i] - at
    // One of the two, that is known by now.
    if (!ArrayBuffer.isView(row)) {
      for (let k = 0; k < length; k++) {
        const x = row[k]
        if (typeof x !== 'number') throw notANumber(nameOf(i), k, row)
        values[at + k] = x
      }
    } else {
      // A getter in the list can have detached or resized it since.
      if (row.length !== length) {
        refuseDetached(nameOf(i), row)
        throw invalid(`${nameOf(i)} changed its length while the list was read`)
      }
      values.set(row, at)
    }
    at = ends[i]
  }
  return { values, ends, steps: 0, count }
}

/** Candidates, packed: rows of `steps` time steps, or with steps 0 a list with ends. */
function toCandidates(candidates, channels) {
  if (isArray(candidates)) return toSeriesList('candidates', candidates)
  if (candidates === null || typeof candidates !== 'object' || isArray(candidates) === undefined || kindOf(candidates) !== undefined) {
    throw invalid(`candidates must be { data, length } or an array of series, got ${show(candidates)}`)
  }
  const { data, length: steps } = candidates
  const kind = kindOf(data)
  if (kind !== 'Float64Array' && kind !== 'Float32Array') {
    throw invalid(`candidates.data must be a Float64Array or a Float32Array, got ${show(data)}`)
  }
  if (!(Number.isSafeInteger(steps) && steps >= 1)) {
    throw invalid(`candidates.length must be a positive integer: the time steps of one row, got ${show(steps)}`)
  }
  const values = toValues('candidates.data', data)
  const row = steps * channels
  if (values.length % row !== 0) {
    const unit = channels === 1 ? `length ${steps}` : `length ${steps} x channels ${channels}`
    throw failure('LENGTH_MISMATCH', `candidates.data holds ${values.length} values, which is not a multiple of ${unit}`)
  }
  const count = values.length / row
  return { values, ends: NO_ENDS, steps, count }
}

module.exports = { kindOf, refuseDetached, allocate, unshared, pack, toValues, toSeries, toSeriesList, toCandidates }
