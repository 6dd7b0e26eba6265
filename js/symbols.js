'use strict'
// Longest common subsequences, edit distance, and LCSS of real values.

const native = require('./native.js')
const { failure, fromNative, invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf, oneOf, radius, nonNegative, abortSignal, callback } = require('./options.js')
const { toSeries } = require('./series.js')
const { toSymbolPair, toSymbolList } = require('./sequence.js')
const { refuseLargeMatrix } = require('./matrix.js')
const { run, throwIfAborted } = require('./task.js')

const NONE = checksOf({})
const PAIR = checksOf({ signal: abortSignal })
const MATRIX = checksOf({ normalize: oneOf('max', 'min', 'dice', 'none'), signal: abortSignal, onProgress: callback })
const LCSS = checksOf({ epsilon: nonNegative, window: radius, signal: abortSignal })
const DEFAULTS = Object.freeze({ normalize: 0, window: -1 })

function lcsSync(a, b, options) {
  readOptions(options, NONE, DEFAULTS, 'lcsSync')
  const [x, y] = toSymbolPair(a, b)
  try {
    return native.lcsSync(x, y)
  } catch (error) {
    throw fromNative(error)
  }
}

async function lcs(a, b, options) {
  const o = readOptions(options, PAIR, DEFAULTS, 'lcs')
  throwIfAborted(o.signal)
  const [x, y] = toSymbolPair(a, b)
  return await run(o, 1, (job) => native.lcs(x, y, job))
}

async function lcsAlign(a, b, options) {
  const o = readOptions(options, PAIR, DEFAULTS, 'lcsAlign')
  throwIfAborted(o.signal)
  const [x, y] = toSymbolPair(a, b)
  const longer = Math.max(x.length, y.length)
  const { positionsA, positionsB } = await run(o, 1, (job) => native.lcsAlign(x, y, job)).catch((error) => {
    if (error.code !== 'TOO_LARGE' || !/^\d+ cells/.test(error.message)) throw error
    throw failure('TOO_LARGE', `a and b of ${x.length} and ${y.length} symbols, common ends not counted: ${error.message}`)
  })
  const length = positionsA.length
  return { length, similarity: longer === 0 ? 1 : length / longer, positionsA, positionsB }
}

async function lcsMatrix(sequences, options) {
  const o = readOptions(options, MATRIX, DEFAULTS, 'lcsMatrix')
  throwIfAborted(o.signal)
  if (isArray(sequences)) refuseLargeMatrix('sequences', sequences.length)
  const { values, ends, count: size } = toSymbolList('sequences', sequences)
  const data = await run(o, (size * size - size) / 2, (job) => native.lcsMatrix(values, ends, o.normalize, job))
  return { size, data }
}

async function levenshtein(a, b, options) {
  const o = readOptions(options, PAIR, DEFAULTS, 'levenshtein')
  throwIfAborted(o.signal)
  const [x, y] = toSymbolPair(a, b)
  return await run(o, 1, (job) => native.levenshtein(x, y, job))
}

async function lcss(a, b, options) {
  const o = readOptions(options, LCSS, DEFAULTS, 'lcss')
  if (o.epsilon === undefined) throw invalid(`lcss needs options.epsilon, a finite number >= 0, got ${show(undefined)}`)
  throwIfAborted(o.signal)
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  return await run(o, 1, (job) => native.lcss(x, y, o.epsilon, o.window, job))
}

module.exports = { lcs, lcsSync, lcsAlign, lcsMatrix, levenshtein, lcss, MATRIX, DEFAULTS }
