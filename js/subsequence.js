'use strict'
// The best places of a short query in a long series.

const native = require('./native.js')
const { failure } = require('./errors.js')
const { readOptions, checksOf, oneOf, count, radius, bound, abortSignal, callback } = require('./options.js')
const { toSeries } = require('./series.js')
const { run, throwIfAborted } = require('./task.js')

const CHECKS = checksOf({
  metric: oneOf('absolute', 'squared', 'euclidean'),
  window: radius,
  normalize: oneOf('none', 'zscore', 'minmax'),
  maxDistance: bound,
  channels: count,
  signal: abortSignal,
  onProgress: callback,
  k: count,
  exclusion: radius,
})

// -1 crosses for "no window", and the names as their positions.
const DEFAULTS = Object.freeze({ metric: 0, window: -1, normalize: 0, maxDistance: Infinity, channels: 1, k: 1 })

async function subsequenceSearch(query, series, options) {
  const o = readOptions(options, CHECKS, DEFAULTS, 'subsequenceSearch')
  throwIfAborted(o.signal)
  const q = toSeries('query', query)
  const s = toSeries('series', series)
  const steps = q.length / o.channels
  const windows = s.length / o.channels - steps + 1
  // A ragged input is worded by the addon.
  if (windows < 1 && Number.isInteger(steps) && Number.isInteger(windows)) {
    throw failure('LENGTH_MISMATCH', `series of length ${steps + windows - 1} is shorter than query of length ${steps}: it has no window to compare`)
  }
  const exclusion = o.exclusion ?? Math.floor(steps / 2)
  const { starts, distances } = await run(o, windows, (job) => native.subsequenceSearch(
    q, s, o.k, exclusion, o.metric, o.window, o.normalize, o.maxDistance, o.channels, job))
  const found = new Array(starts.length)
  for (let i = 0; i < found.length; i++) found[i] = { start: starts[i], distance: distances[i] }
  return found
}

module.exports = { subsequenceSearch }
