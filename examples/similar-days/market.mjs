/**
 * Daily bars of the S&P 500 from 2000-01-03 to 2020-04-17, read from the development dependency
 * vega-datasets, and the two transformations that the demo needs of them.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** @typedef {{ dates: string[], close: Float64Array, high: Float64Array, low: Float64Array }} Bars */

/** @returns {Bars} one entry a trading day, oldest first */
export function loadBars() {
  const entry = createRequire(import.meta.url).resolve('vega-datasets')
  const [header, ...lines] = readFileSync(join(dirname(entry), '..', 'data', 'sp500-2000.csv'), 'utf8')
    .trim()
    .split('\n')
  const names = header.split(',')
  const rows = lines.map((line) => line.split(','))
  const column = (name) => {
    const at = names.indexOf(name)
    if (at < 0) throw new Error(`sp500-2000.csv has no column ${name}`)
    return rows.map((row) => row[at])
  }
  return {
    dates: column('date'),
    close: Float64Array.from(column('close'), Number),
    high: Float64Array.from(column('high'), Number),
    low: Float64Array.from(column('low'), Number),
  }
}

/** Subtracts the mean and divides by the population standard deviation of `values[from, to)`; `until` may reach further. */
export function standardise(values, from, to, until = to) {
  let mean = 0
  for (let i = from; i < to; i++) mean += values[i]
  mean /= to - from
  let variance = 0
  for (let i = from; i < to; i++) variance += (values[i] - mean) ** 2
  const deviation = Math.sqrt(variance / (to - from))
  return Float64Array.from(values.subarray(from, until), (value) => (deviation > 0 ? (value - mean) / deviation : 0))
}

/** Every window of `length` values that starts at 0 .. count-1, row after row, as dtwBatch takes them. */
export function slidingWindows(values, length, count) {
  const data = new Float64Array(count * length)
  for (let start = 0; start < count; start++) data.set(values.subarray(start, start + length), start * length)
  return { data, length }
}
