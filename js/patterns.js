'use strict'
// Patterns as users pass them, and what is said about a library and a search: shared by the libraries of this process
// and those that are spread over a swarm.

const native = require('./native.js')
const { failure, invalid, isArray, show } = require('./errors.js')
const { checksOf, oneOf, count, radius, bound, abortSignal } = require('./options.js')
const { kindOf, toSeries, toSeriesList, toValues } = require('./series.js')
const { toJson } = require('./json.js')

/** An instant that may be infinite: before or after everything. */
function instant(name, value) {
  if (typeof value === 'number' && !Number.isNaN(value)) return value
  throw invalid(`${name} must be a number, in epoch milliseconds, got ${show(value)}`)
}

const METRICS = ['absolute', 'squared', 'euclidean']
const NORMALIZATIONS = ['none', 'zscore', 'minmax']
const SHAPE = checksOf({
  length: count,
  channels: count,
  window: radius,
  metric: oneOf(...METRICS),
  normalize: oneOf(...NORMALIZATIONS),
})
const SEARCH_SYNC = checksOf({ k: count, maxDistance: bound, asOf: instant })
const SEARCH = checksOf({ ...SEARCH_SYNC, signal: abortSignal })

// -1 crosses for "no window", NaN for "no asOf".
const SHAPE_DEFAULTS = Object.freeze({ channels: 1, window: -1, metric: 0, normalize: 0 })
const SEARCH_DEFAULTS = Object.freeze({ k: 10, maxDistance: Infinity, asOf: NaN })

/** Half of a surrogate pair: no file and no peer could keep such an id as it is. */
const ILL_FORMED = /\p{Surrogate}/u

/** The instant of meta.endsAt, NaN where there is none. */
function endOf(meta) {
  const endsAt = meta !== null && typeof meta === 'object' ? meta.endsAt : undefined
  return Number.isFinite(endsAt) ? endsAt : NaN
}

/**
 * Patterns in each form in which they can be passed, of `row` values each, checked but for the values themselves: those
 * may still be the caller's own, and not finite.
 */
function readPatterns(patterns, row) {
  if (isArray(patterns)) return readList(patterns, row)
  if (patterns === null || typeof patterns !== 'object' || isArray(patterns) === undefined || kindOf(patterns) !== undefined) {
    throw invalid(`patterns must be { id, values }, an array of them, or { ids, data }, got ${show(patterns)}`)
  }
  // Other fields are the caller's own, also one that is called data.
  const isBlock = 'ids' in patterns || ('data' in patterns && !('values' in patterns))
  return isBlock ? readBlock(patterns, row) : readOne(patterns, row)
}

function readOne(pattern, row) {
  const { id, values, meta } = pattern
  const own = toSeries('pattern.values', values)
  checkLength('pattern.values', own.length, row)
  const metas = [toJson(() => 'pattern.meta', meta)]
  return { form: native.PatternForm.One, ids: [id], metas, values: own, nameOf: () => 'pattern.id' }
}

function readList(patterns, row) {
  const ids = new Array(patterns.length)
  const metas = new Array(patterns.length)
  const rows = new Array(patterns.length)
  for (let i = 0; i < ids.length; i++) {
    const pattern = patterns[i]
    if (pattern === null || typeof pattern !== 'object' || isArray(pattern) !== false) {
      throw invalid(`patterns[${i}] must be { id, values }, got ${i in patterns ? show(pattern) : 'a hole'}`)
    }
    const { id, values, meta } = pattern
    ids[i] = id
    rows[i] = values
    metas[i] = toJson(() => `patterns[${i}].meta`, meta)
  }
  const rowName = (i) => `patterns[${i}].values`
  const { values } = toSeriesList('patterns', rows, (length, i) => checkLength(rowName, length, row, i), rowName)
  return { form: native.PatternForm.List, ids, metas, values, nameOf: (i) => `patterns[${i}].id` }
}

function readBlock(block, row) {
  const { ids: names, data, meta } = block
  if (!isArray(names)) throw invalid(`block.ids must be an array of strings, got ${show(names)}`)
  const kind = kindOf(data)
  if (kind !== 'Float64Array' && kind !== 'Float32Array') {
    throw invalid(`block.data must be a Float64Array or a Float32Array, got ${show(data)}`)
  }
  if (meta !== undefined && !isArray(meta)) throw invalid(`block.meta must be an array, got ${show(meta)}`)
  const size = names.length
  if (meta !== undefined && meta.length !== size) {
    throw failure('LENGTH_MISMATCH', `block.meta holds ${meta.length} items and block.ids ${size}`)
  }
  const values = toValues('block.data', data)
  if (values.length !== size * row) {
    throw failure('LENGTH_MISMATCH',
      `block.data holds ${values.length} values, block.ids ${size} ids of patterns of ${row} values`)
  }
  const ids = new Array(size)
  const metas = new Array(size)
  for (let i = 0; i < size; i++) {
    ids[i] = names[i]
    metas[i] = meta === undefined ? undefined : toJson(() => `block.meta[${i}]`, meta[i])
  }
  return { form: native.PatternForm.Block, ids, metas, values, nameOf: (i) => `block.ids[${i}]` }
}

/** The length of `name`, or of `name(index)`, is that of a pattern. */
function checkLength(name, length, row, index) {
  if (length === row) return
  const named = typeof name === 'function' ? name(index) : name
  throw failure('LENGTH_MISMATCH', `${named} holds ${length} values, the library's patterns have ${row}`)
}

/** Strings that occur once; `has(id)` says which there are already. */
function checkIds(ids, nameOf, has) {
  const seen = ids.length > 1 ? new Set() : undefined
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]
    if (typeof id !== 'string') throw invalid(`${nameOf(i)} must be a string, got ${show(id)}`)
    if (ILL_FORMED.test(id)) throw invalid(`${nameOf(i)} is not well-formed Unicode: ${show(id)}`)
    if (has(id)) throw invalid(`${nameOf(i)}: the library has a pattern ${show(id)} already`)
    if (seen === undefined) continue
    if (seen.has(id)) throw invalid(`${nameOf(i)}: the id ${show(id)} occurs twice`)
    seen.add(id)
  }
}

module.exports = {
  METRICS, NORMALIZATIONS, SHAPE, SHAPE_DEFAULTS, SEARCH, SEARCH_SYNC, SEARCH_DEFAULTS, readPatterns, checkIds, checkLength, endOf,
}
