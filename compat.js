'use strict'
// What the trader calls today, over our kernels: the class of the `midstreamer` WASM package 0.2.x and the DTW
// functions of neural-trader 2.8.11. Same results on valid input; invalid input throws a MidstreamerError.
// Documentation of every name: compat.d.ts.

const native = require('./js/native.js')
const { failure, fromNative, invalid, show } = require('./js/errors.js')
const { count } = require('./js/options.js')
const { kindOf, toSeries } = require('./js/series.js')
const { toSymbolPair } = require('./js/sequence.js')

/** Errors of the addon as ours. */
function guarded(call) {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

function plainDtw(a, b) {
  return guarded(() => native.dtwSync(a, b, 0, -1, 0, Infinity, 1))
}

/** As Rust's `as i32` and `as u8`: towards zero, held within the range. */
function saturate(value, low, high) {
  return Math.max(low, Math.min(high, Math.trunc(value)))
}

/** The symbols that `analyze` compares: values scaled and cut to whole numbers. */
function quantize(values, scale, low, high) {
  return Uint32Array.from(values, (x) => saturate(x * scale, low, high))
}

/** Unicode scalar values; a lone surrogate is U+FFFD, which is what it becomes on its way into WASM. */
function codePoints(name, text) {
  if (typeof text !== 'string') throw invalid(`${name} must be a string, got ${show(text)}`)
  return Uint32Array.from(text, (character) => {
    const code = character.codePointAt(0)
    return code >= 0xd800 && code <= 0xdfff ? 0xfffd : code
  })
}

// Whatever windowSize the constructor is given, the original makes nothing of it.
class TemporalCompare {
  dtw(a, b) {
    return plainDtw(toSeries('a', a), toSeries('b', b))
  }

  lcs(a, b) {
    for (const [name, value] of [['a', a], ['b', b]]) {
      if (kindOf(value) !== 'Int32Array') throw invalid(`${name} must be an Int32Array, got ${show(value)}`)
    }
    const [x, y] = toSymbolPair(a, b)
    return guarded(() => native.lcsSync(x, y))
  }

  edit_distance(a, b) {
    const x = codePoints('a', a)
    const y = codePoints('b', b)
    return guarded(() => native.levenshteinSync(x, y))
  }

  analyze(a, b) {
    const x = toSeries('a', a)
    const y = toSeries('b', b)
    // First, because it is what refuses values that are not finite.
    const dtw_distance = plainDtw(x, y)
    const cents = [x, y].map((values) => quantize(values, 100, -(2 ** 31), 2 ** 31 - 1))
    const tenths = [x, y].map((values) => quantize(values, 10, 0, 255))
    return {
      dtw_distance,
      lcs_length: guarded(() => native.lcsSync(...cents)),
      edit_distance: guarded(() => native.levenshteinSync(...tenths)),
      similarity_score: 1 - Math.min(1, dtw_distance / (100 * Math.max(x.length, y.length))),
    }
  }

  free() {}
}
if (Symbol.dispose) TemporalCompare.prototype[Symbol.dispose] = TemporalCompare.prototype.free

function dtwDistanceRust(a, b) {
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  const { distance, path } = guarded(() => native.dtwAlignLeftFirstSync(x, y))
  return { similarity: Math.max(0, 1 - distance / (x.length + y.length)), distance, alignment: Array.from(path) }
}

function dtwBatch(pattern, historical, patternLength) {
  const query = toSeries('pattern', pattern)
  const values = toSeries('historical', historical)
  const steps = count('patternLength', patternLength)
  if (values.length % steps !== 0) {
    throw failure('LENGTH_MISMATCH', `historical holds ${values.length} values, which is not a multiple of patternLength ${steps}`)
  }
  return Array.from(guarded(() => native.patternBatchSync(query, values, steps)))
}

module.exports.TemporalCompare = TemporalCompare
module.exports.dtwDistanceRust = dtwDistanceRust
module.exports.dtwDistanceRustOptimized = dtwDistanceRust
module.exports.dtwBatch = dtwBatch
module.exports.dtwBatchParallel = dtwBatch
module.exports.dtwBatchAdaptive = dtwBatch
