/**
 * What a trader who knows the literature writes without a library: rolling rows that are left as soon as every
 * cell of one is beyond the best so far, and for long series a bound from the ends first. Squared cost.
 */

/** Mean 0 and population standard deviation 1, of `length` values from `start` on. */
export function standardised(values, start = 0, length = values.length) {
  const out = new Float64Array(length)
  let sum = 0
  for (let i = 0; i < length; i++) sum += values[start + i]
  const mean = sum / length
  let squares = 0
  for (let i = 0; i < length; i++) squares += (values[start + i] - mean) ** 2
  const deviation = Math.sqrt(squares / length)
  for (let i = 0; i < length; i++) out[i] = (values[start + i] - mean) / deviation
  return out
}

/** Every row of a block by itself. */
export function standardisedRows(data, length) {
  const out = new Float64Array(data.length)
  for (let start = 0; start < data.length; start += length) out.set(standardised(data, start, length), start)
  return out
}

/** DTW of `a` and the values of `data` from `start` on, or Infinity as soon as it must be `cutoff` or more. */
function abandoningDtw(a, data, start, window, cutoff, rows) {
  const n = a.length
  let [previous, current] = rows
  previous.fill(Infinity)
  previous[0] = 0
  for (let i = 1; i <= n; i++) {
    const first = Math.max(1, i - window)
    const last = Math.min(n, i + window)
    current[first - 1] = Infinity
    const x = a[i - 1]
    let left = Infinity
    let least = Infinity
    for (let j = first; j <= last; j++) {
      let best = previous[j - 1]
      if (previous[j] < best) best = previous[j]
      if (left < best) best = left
      const difference = x - data[start + j - 1]
      left = difference * difference + best
      current[j] = left
      if (left < least) least = left
    }
    if (least >= cutoff) return Infinity
    if (last < n) current[last + 1] = Infinity
    ;[previous, current] = [current, previous]
  }
  return previous[n]
}

const twoRows = (length) => [new Float64Array(length + 1), new Float64Array(length + 1)]

/** The `k` nearest rows of `data` as { row, distance }, nearest first; both are standardised already. */
export function nearestRows(query, data, { window = Infinity, k = 1 } = {}) {
  const length = query.length
  const rows = twoRows(length)
  const best = []
  let cutoff = Infinity
  for (let start = 0, row = 0; start < data.length; start += length, row++) {
    const distance = abandoningDtw(query, data, start, window, cutoff, rows)
    if (distance >= cutoff) continue
    let place = best.length
    while (place > 0 && best[place - 1].distance > distance) place--
    best.splice(place, 0, { row, distance })
    if (best.length > k) best.pop()
    if (best.length === k) cutoff = best[k - 1].distance
  }
  return best
}

/** Windows after which the running sums are added up anew: what they have lost by then is far below the ninth digit. */
const RENEWED = 512

/**
 * The best place of `query` in `series`, every window standardised by itself, in the way of the UCR suite
 * (Rakthanmanon et al. 2012): running sums, a bound from the two samples at either end, one from the query's envelope, then DTW.
 */
export function bestPlace(query, series, window) {
  const length = query.length
  const pattern = standardised(query)
  const { lowest, highest } = envelope(pattern, window)
  const rows = twoRows(length)
  const normal = new Float64Array(length)
  let best = { start: -1, distance: Infinity }
  let [sum, squares, origin] = [0, 0, 0]
  for (let start = 0; start + length <= series.length; start++) {
    if (start % RENEWED === 0) {
      // Differences from a sample nearby, so that the level of the prices cancels nothing.
      origin = series[start]
      sum = squares = 0
      for (let i = start; i < start + length; i++) {
        const x = series[i] - origin
        sum += x
        squares += x * x
      }
    } else {
      const gone = series[start - 1] - origin
      const come = series[start + length - 1] - origin
      sum += come - gone
      squares += come * come - gone * gone
    }
    const mean = sum / length
    const scale = 1 / Math.sqrt(squares / length - mean * mean)
    const shift = origin + mean
    const end = start + length - 1
    const [x, y] = [(series[start] - shift) * scale, (series[start + 1] - shift) * scale]
    const [u, v] = [(series[end - 1] - shift) * scale, (series[end] - shift) * scale]
    if (endCosts(pattern, x, y, u, v) >= best.distance) continue
    let bound = 0
    for (let i = 0; i < length && bound < best.distance; i++) {
      const value = (series[start + i] - shift) * scale
      const beyond = value > highest[i] ? value - highest[i] : value < lowest[i] ? lowest[i] - value : 0
      bound += beyond * beyond
      normal[i] = value
    }
    if (bound >= best.distance) continue
    const distance = abandoningDtw(pattern, normal, 0, window, best.distance, rows)
    if (distance < best.distance) best = { start, distance }
  }
  return best
}

/** The least and the largest value within `window` samples of each. */
function envelope(values, window) {
  const around = (i) => values.subarray(Math.max(0, i - window), i + window + 1)
  const lowest = Float64Array.from(values, (_, i) => Math.min(...around(i)))
  const highest = Float64Array.from(values, (_, i) => Math.max(...around(i)))
  return { lowest, highest }
}

/** LB_Kim: every path pays for both ends, and then for one of the three cells next to each. */
function endCosts(pattern, first, second, penultimate, last) {
  const n = pattern.length
  const square = (x) => x * x
  const start = Math.min(square(pattern[1] - first), square(pattern[0] - second), square(pattern[1] - second))
  const end = Math.min(square(pattern[n - 2] - last), square(pattern[n - 1] - penultimate), square(pattern[n - 2] - penultimate))
  return square(pattern[0] - first) + square(pattern[n - 1] - last) + start + end
}
