'use strict'
// Many series at once: alignments of neighbours, a centre, representatives.

const native = require('./native.js')
const { invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf, oneOf, count, radius, bound, nonNegative, abortSignal, callback } = require('./options.js')
const { toSeriesList } = require('./series.js')
const { refuseLargeMatrix } = require('./matrix.js')
const { run, throwIfAborted } = require('./task.js')

function seed(name, value) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`${name} must be an integer >= 0, got ${show(value)}`)
}

const NEIGHBORS = checksOf({
  metric: oneOf('absolute', 'squared', 'euclidean'),
  window: radius,
  normalize: oneOf('none', 'zscore', 'minmax'),
  maxDistance: bound,
  channels: count,
  signal: abortSignal,
  onProgress: callback,
})
const MEDOIDS = checksOf({ ...NEIGHBORS, seed })
const BARYCENTER = checksOf({ window: radius, maxIterations: count, tolerance: nonNegative, signal: abortSignal, onProgress: callback })

// -1 crosses for "no window", and the names as their positions.
const DEFAULTS = Object.freeze({
  metric: 0, window: -1, normalize: 0, maxDistance: Infinity, channels: 1, seed: 0, maxIterations: 30, tolerance: 1e-6,
})

const pairsOf = (size) => (size * size - size) / 2

async function alignTimeframes(series, options) {
  const o = readOptions(options, NEIGHBORS, DEFAULTS, 'alignTimeframes')
  throwIfAborted(o.signal)
  const { values, ends, count: size } = toSeriesList('series', series)
  const paths = await run(o, Math.max(0, size - 1), (job) => native.alignTimeframes(
    values, ends, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
  return paths.map(({ distance, path, lag }) => ({
    distance, similarity: path.length === 0 ? 0 : 1 / (1 + distance / (path.length / 2)), path, lag,
  }))
}

async function barycenter(series, options) {
  const o = readOptions(options, BARYCENTER, DEFAULTS, 'barycenter')
  throwIfAborted(o.signal)
  if (isArray(series)) refuseLargeMatrix('series', series.length)
  const { values, ends, count: size } = toSeriesList('series', series)
  if (size === 0) throw invalid('series is an empty array: a barycenter needs at least one series')
  const total = pairsOf(size) + size * (o.maxIterations + 1)
  const { center, inertia, iterations } = await run(o, total, (job) => native.barycenter(
    values, ends, o.window, o.maxIterations, o.tolerance, job))
  return { center, inertia, iterations }
}

async function medoids(series, k, options) {
  const o = readOptions(options, MEDOIDS, DEFAULTS, 'medoids')
  throwIfAborted(o.signal)
  if (isArray(series)) refuseLargeMatrix('series', series.length)
  count('k', k)
  const { values, ends, count: size } = toSeriesList('series', series)
  if (k > size) throw invalid(`k must be at most the number of series, ${size}, got ${k}`)
  const found = await run(o, pairsOf(size), (job) => native.medoids(
    values, ends, k, o.seed, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
  return { medoids: found.medoids, assignment: found.assignment, inertia: found.inertia }
}

module.exports = { alignTimeframes, barycenter, medoids }
