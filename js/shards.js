'use strict'
// Work of the whole swarm at once: Coordinator.lcsMatrix, dtwMatrix and distribute. What arrives is checked here and
// now, in the words of the local functions; what is computed is the same to the last bit.

const { invalid, isArray } = require('./errors.js')
const { readOptions } = require('./options.js')
const { allocate, toSeriesList } = require('./series.js')
const { toSymbolList } = require('./sequence.js')
const { refuseLargeMatrix } = require('./matrix.js')
const { follow, throwIfAborted } = require('./task.js')
const { METRICS, NORMALIZATIONS, SHAPE, SHAPE_DEFAULTS, readPatterns, checkIds } = require('./patterns.js')
const symbols = require('./symbols.js')
const dtw = require('./dtw.js')
const { Tiles } = require('./shards/tiles.js')
const { MatrixJob, placer } = require('./shards/matrix.js')
const { Distribution } = require('./shards/distribution.js')
const { refuseBadSeries, refuseBadPatterns } = require('./shards/values.js')

const RATIOS = ['max', 'min', 'dice', 'none']

/** Cells of the first tiles, before it is known how fast agents are: some milliseconds for most. */
const FIRST_LCS_CELLS = 2e9
const FIRST_DTW_CELLS = 2e7

async function lcsMatrix(coordinator, sequences, options) {
  const o = readOptions(options, symbols.MATRIX, symbols.DEFAULTS, 'lcsMatrix')
  throwIfAborted(o.signal)
  if (isArray(sequences)) refuseLargeMatrix('sequences', sequences.length)
  const { values, ends, count: size } = toSymbolList('sequences', sequences)
  const packed = narrow(values)
  const normalize = RATIOS[o.normalize]
  const data = allocate('sequences', Float64Array, size * size)
  for (let i = 0; i < size; i++) data[i * size + i] = normalize === 'none' ? ends[i] - startOf(ends, i) : 1
  const tiles = new Tiles(ends, packed.BYTES_PER_ELEMENT)
  const task = (tile) => {
    const { values: symbols, ends: itsEnds, rows } = gather(packed, ends, tile)
    return { kind: 'midstreamer.lcs.tile', payload: { symbols, ends: itsEnds, rows, normalize } }
  }
  await matrix(coordinator, o, size, new MatrixJob(coordinator, tiles, FIRST_LCS_CELLS, task, placer(data, size)))
  return { size, data }
}

async function dtwMatrix(coordinator, series, options) {
  const o = readOptions(options, dtw.MANY, dtw.DEFAULTS, 'dtwMatrix')
  throwIfAborted(o.signal)
  if (isArray(series)) refuseLargeMatrix('series', series.length)
  const { values, ends, count: size } = toSeriesList('series', series)
  refuseBadSeries('series', values, ends, o.channels)
  const data = allocate('series', Float64Array, size * size)
  const reach = o.window < 0 ? Infinity : (2 * o.window + 1) * o.channels
  const tiles = new Tiles(ends, Float64Array.BYTES_PER_ELEMENT, reach)
  const shared = { metric: METRICS[o.metric], normalize: NORMALIZATIONS[o.normalize], channels: o.channels }
  if (o.window >= 0) shared.window = o.window
  if (o.maxDistance !== Infinity) shared.maxDistance = o.maxDistance
  const task = (tile) => ({ kind: 'midstreamer.dtw.tile', payload: { ...gather(values, ends, tile), options: shared } })
  await matrix(coordinator, o, size, new MatrixJob(coordinator, tiles, FIRST_DTW_CELLS, task, placer(data, size)))
  return { size, data }
}

async function matrix(coordinator, options, size, job) {
  // One that is closed says so, also where there is nothing to do.
  coordinator.agents()
  const total = (size * size - size) / 2
  if (options.signal === undefined && options.onProgress === undefined) await job.run()
  else await follow(options, total, job, () => job.run())
}

function startOf(ends, index) {
  return index === 0 ? 0 : ends[index - 1]
}

/** The run of what a tile compares, where each part ends in it, and how many of those are rows: 0 for a triangle. */
function gather(all, ends, { a, b, c, d, isTriangle }) {
  const rowsFrom = startOf(ends, a)
  const rowValues = all.subarray(rowsFrom, startOf(ends, b))
  if (isTriangle || b === c) {
    // One behind the other already.
    const itsEnds = ends.slice(a, d)
    for (let i = 0; i < itsEnds.length; i++) itsEnds[i] -= rowsFrom
    return { values: all.subarray(rowsFrom, startOf(ends, d)), ends: itsEnds, rows: isTriangle ? 0 : b - a }
  }
  const columnsFrom = startOf(ends, c)
  const columnValues = all.subarray(columnsFrom, startOf(ends, d))
  const values = new all.constructor(rowValues.length + columnValues.length)
  values.set(rowValues)
  values.set(columnValues, rowValues.length)
  const itsEnds = new Float64Array(b - a + d - c)
  for (let i = a; i < b; i++) itsEnds[i - a] = ends[i] - rowsFrom
  for (let j = c; j < d; j++) itsEnds[b - a + j - c] = rowValues.length + ends[j] - columnsFrom
  return { values, ends: itsEnds, rows: b - a }
}

/** Symbols in the narrowest type that tells them apart; only which are equal matters. */
function narrow(symbols) {
  const signed = new Int32Array(symbols.buffer, symbols.byteOffset, symbols.length)
  let low = Infinity
  let high = -Infinity
  for (let i = 0; i < signed.length; i++) {
    const x = signed[i]
    if (x < low) low = x
    if (x > high) high = x
  }
  const Type = high - low < 2 ** 8 ? Uint8Array : high - low < 2 ** 16 ? Uint16Array : undefined
  if (Type === undefined) return symbols
  const narrowed = new Type(signed.length)
  for (let i = 0; i < signed.length; i++) narrowed[i] = signed[i] - low
  return narrowed
}

async function distribute(coordinator, patterns, options) {
  const shape = readOptions(options, SHAPE, SHAPE_DEFAULTS, 'distribute')
  if (shape.length === undefined) throw invalid('length is required: the time steps of every pattern, an integer >= 1')
  const row = shape.length * shape.channels
  const read = readPatterns(patterns, row)
  checkIds(read.ids, read.nameOf, () => false)
  refuseBadPatterns(read, row)
  coordinator.agents()
  return await Distribution.place(coordinator, shape, read)
}

module.exports = { lcsMatrix, dtwMatrix, distribute }
