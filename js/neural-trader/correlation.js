'use strict'
// correlationAnalysis and crossAssetCorrelationMatrix of neural-trader, computed. The originals take symbols alone and have
// no prices; ours take the closes, or ask whoever setMarketData named for them.

const { correlationMatrix } = require('../dtw.js')
const { failure, invalid, isArray, show } = require('../errors.js')
const { callback } = require('../options.js')
const { toSeries } = require('../series.js')

/** Days of the originals where none are named. */
const DEFAULT_DAYS = 90

/** A correlation needs two returns at least, which are three closes. */
const FEWEST_CLOSES = 3

/** (symbol, days) => closes, or a promise of them. */
let marketData

function setMarketData(source) {
  marketData = source === null ? undefined : callback('source', source)
}

function period(name, value) {
  if (value === undefined || value === null) return DEFAULT_DAYS
  if (Number.isSafeInteger(value) && value >= FEWEST_CLOSES) return value
  throw invalid(`${name} must be an integer >= ${FEWEST_CLOSES}, got ${show(value)}`)
}

/** Symbols in the caller's order, and what is known of their closes. */
function read(name, value) {
  if (isArray(value) === true) return listed(name, value)
  if (value === null || typeof value !== 'object' || isArray(value) !== false) {
    throw invalid(`${name} must be an array of symbols, or an object with the closes of each, got ${show(value)}`)
  }
  return { symbols: Object.keys(value), closes: new Map(Object.entries(value)) }
}

function listed(name, value) {
  const symbols = Array.from(value, (symbol, i) => {
    if (typeof symbol === 'string' && symbol !== '') return symbol
    throw invalid(`${name}[${i}] must be a string that is not empty, got ${show(symbol)}`)
  })
  const seen = new Set()
  for (const symbol of symbols) {
    if (seen.has(symbol)) throw invalid(`${name} names ${show(symbol)} twice`)
    seen.add(symbol)
  }
  return { symbols, closes: undefined }
}

/** The last `days` closes of one symbol. */
async function closesOf(symbol, known, days) {
  if (known === undefined && marketData === undefined) {
    throw failure('NOT_FOUND', `no prices of ${symbol}: pass an object with the closes of each symbol, or name a source with setMarketData((symbol, days) => closes)`)
  }
  const name = `the closes of ${symbol}`
  const closes = toSeries(name, known === undefined ? await marketData(symbol, days) : known.get(symbol))
  if (closes.length < FEWEST_CLOSES) throw failure('LENGTH_MISMATCH', `${name} are ${closes.length}: a correlation of returns needs ${FEWEST_CLOSES} at least`)
  return closes.subarray(-days)
}

/** Simple returns, p[t] / p[t-1] - 1. */
function returnsOf(symbol, closes) {
  for (let i = 0; i < closes.length; i++) {
    // Whatever is not finite is found here too, and named by its symbol.
    if (!(closes[i] > 0 && closes[i] < Infinity)) {
      const code = Number.isFinite(closes[i]) ? 'INVALID_ARGUMENT' : 'NON_FINITE'
      throw failure(code, `the closes of ${symbol}[${i}] is ${closes[i]}: a close is a finite number > 0`)
    }
  }
  return Float64Array.from({ length: closes.length - 1 }, (_, i) => closes[i + 1] / closes[i] - 1)
}

/** { symbols, days, observations, matrix }: `matrix` by symbol and symbol, Pearson's correlation of returns. */
async function correlate(name, value, days) {
  const { symbols, closes: known } = read(name, value)
  if (symbols.length === 0) throw invalid(`${name} is empty: there is nothing to correlate`)
  const closes = await Promise.all(symbols.map((symbol) => closesOf(symbol, known, days)))
  for (const [i, { length }] of closes.entries()) {
    if (length !== closes[0].length) throw failure('LENGTH_MISMATCH', `${symbols[i]} has ${length} closes and ${symbols[0]} ${closes[0].length}: the same days are needed of all`)
  }
  const returns = closes.map((series, i) => returnsOf(symbols[i], series))
  const { size, data } = await correlationMatrix(returns, { method: 'pearson' })
  const row = (i) => Object.fromEntries(symbols.map((symbol, j) => [symbol, data[i * size + j]]))
  return { symbols, observations: returns[0].length, matrix: Object.fromEntries(symbols.map((symbol, i) => [symbol, row(i)])) }
}

function gpu(value) {
  if (value !== undefined && value !== null && typeof value !== 'boolean') throw invalid(`useGpu must be a boolean, got ${show(value)}`)
}

async function correlationAnalysis(symbols, periodDays, useGpu) {
  gpu(useGpu)
  const days = period('periodDays', periodDays)
  const { symbols: names, observations, matrix } = await correlate('symbols', symbols, days)
  return JSON.stringify({
    correlation_matrix: matrix,
    // Whatever was asked for: it ran on the processor.
    gpu_accelerated: false,
    period_days: days,
    observations,
    symbols: names,
    timestamp: new Date().toISOString(),
  })
}

async function crossAssetCorrelationMatrix(assets, lookbackDays) {
  const days = period('lookbackDays', lookbackDays)
  const { symbols, observations, matrix } = await correlate('assets', assets, days)
  return JSON.stringify({ assets: symbols, correlation_matrix: matrix, lookback_days: days, observations, timestamp: new Date().toISOString() })
}

module.exports = { setMarketData, correlationAnalysis, crossAssetCorrelationMatrix }
