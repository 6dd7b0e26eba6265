'use strict'
// Dynamic time warping: one pair, one query against many, all pairs.

const native = require('./native.js')
const { failure, fromNative, isArray } = require('./errors.js')
const { readOptions, checksOf, oneOf, count, radius, bound, abortSignal, callback } = require('./options.js')
const { toSeries, toSeriesList, toCandidates } = require('./series.js')
const { refuseLargeMatrix } = require('./matrix.js')
const { run, throwIfAborted } = require('./task.js')

const SYNC = checksOf({
  metric: oneOf('absolute', 'squared', 'euclidean'),
  window: radius,
  normalize: oneOf('none', 'zscore', 'minmax'),
  maxDistance: bound,
  channels: count,
})
const PAIR = checksOf({ ...SYNC, signal: abortSignal })
const MANY = checksOf({ ...PAIR, onProgress: callback })
const NEAREST = checksOf({ ...MANY, k: count })
const CORRELATION = checksOf({ ...MANY, method: oneOf('dtw', 'pearson') })

// -1 crosses for "no window", and the names as their positions.
const DEFAULTS = Object.freeze({ metric: 0, window: -1, normalize: 0, maxDistance: Infinity, channels: 1, k: 1, method: 0 })

function dtwSync(a, b, options) {
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  const o = readOptions(options, SYNC, DEFAULTS, 'dtwSync')
  try {
    return native.dtwSync(x, y, o.metric, o.window, o.normalize, o.maxDistance, o.channels)
  } catch (error) {
    throw fromNative(error)
  }
}

async function dtw(a, b, options) {
  const o = readOptions(options, PAIR, DEFAULTS, 'dtw')
  throwIfAborted(o.signal)
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  return await run(o, 1, (job) => native.dtw(x, y, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
}

async function dtwAlign(a, b, options) {
  const o = readOptions(options, PAIR, DEFAULTS, 'dtwAlign')
  throwIfAborted(o.signal)
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  try {
    const { distance, path, lag } = await run(o, 1, (job) =>
      native.dtwAlign(x, y, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
    return { distance, similarity: path.length === 0 ? 0 : 1 / (1 + distance / (path.length / 2)), path, lag }
  } catch (error) {
    throw withLengths(error, x.length / o.channels, y.length / o.channels, o.window)
  }
}

/** "a and b: 70000 x 70000 = 4900000000 cells are more than ...", where the addon only knows about cells. */
function withLengths(error, n, m, window) {
  if (error.code !== 'TOO_LARGE' || !/^\d+ cells/.test(error.message)) return error
  return failure('TOO_LARGE', `a and b: ${n} x ${m}${window < 0 ? ' =' : `, of which in window ${window}`} ${error.message}`)
}

async function dtwBatch(query, candidates, options) {
  const o = readOptions(options, MANY, DEFAULTS, 'dtwBatch')
  throwIfAborted(o.signal)
  const q = toSeries('query', query)
  const c = toCandidates(candidates, o.channels)
  return await run(o, c.count, (job) => native.dtwBatch(
    q, c.values, c.ends, c.steps, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
}

async function dtwNearest(query, candidates, options) {
  const o = readOptions(options, NEAREST, DEFAULTS, 'dtwNearest')
  throwIfAborted(o.signal)
  const q = toSeries('query', query)
  const c = toCandidates(candidates, o.channels)
  const { indices, distances } = await run(o, c.count, (job) => native.dtwNearest(
    q, c.values, c.ends, c.steps, o.k, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
  const nearest = new Array(indices.length)
  for (let i = 0; i < nearest.length; i++) nearest[i] = { index: indices[i], distance: distances[i] }
  return nearest
}

/** All pairs of a list: the checks and the call that the three matrices share. */
async function matrix(kind, series, o, check) {
  throwIfAborted(o.signal)
  if (isArray(series)) refuseLargeMatrix('series', series.length)
  const { values, ends, count: size } = toSeriesList('series', series, check)
  const data = await run(o, (size * size - size) / 2, (job) => native.seriesMatrix(
    kind, values, ends, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
  return { size, data }
}

async function dtwMatrix(series, options) {
  return await matrix(native.MatrixKind.Distance, series, readOptions(options, MANY, DEFAULTS, 'dtwMatrix'))
}

async function lagMatrix(series, options) {
  return await matrix(native.MatrixKind.Lag, series, readOptions(options, MANY, DEFAULTS, 'lagMatrix'))
}

async function correlationMatrix(series, options) {
  const o = readOptions(options, CORRELATION, DEFAULTS, 'correlationMatrix')
  if (o.method === 0) return await matrix(native.MatrixKind.WarpedCorrelation, series, o)
  let expected
  return await matrix(native.MatrixKind.PearsonCorrelation, series, o, (length, index) => {
    expected ??= length
    if (length !== expected) {
      throw failure('LENGTH_MISMATCH', `series[${index}] holds ${length} values and series[0] ${expected}: method 'pearson' needs equal lengths`)
    }
  })
}

module.exports = { dtw, dtwSync, dtwAlign, dtwBatch, dtwNearest, dtwMatrix, lagMatrix, correlationMatrix, MANY, DEFAULTS }
