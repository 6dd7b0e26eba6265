'use strict'
// What a careful programmer writes without a library: two rows of a Float64Array, and a search that gives up on a candidate as soon
// as it cannot be the best any more. `bench` compares with these.

/** Sum of |x - y| along the warping path; Infinity once no path can be below `bound`. `window` is a Sakoe-Chiba radius. */
function dtw(a, b, window = Infinity, bound = Infinity) {
  const [n, m] = [a.length, b.length]
  let previous = new Float64Array(m + 1).fill(Infinity)
  let current = new Float64Array(m + 1).fill(Infinity)
  previous[0] = 0
  for (let i = 1; i <= n; i++) {
    const first = Math.max(1, i - window)
    const last = Math.min(m, i + window)
    const value = a[i - 1]
    current[first - 1] = Infinity
    let left = Infinity
    let least = Infinity
    for (let j = first; j <= last; j++) {
      let best = previous[j - 1]
      if (previous[j] < best) best = previous[j]
      if (left < best) best = left
      left = Math.abs(value - b[j - 1]) + best
      current[j] = left
      if (left < least) least = left
    }
    if (least > bound) return Infinity
    if (last < m) current[last + 1] = Infinity
    ;[previous, current] = [current, previous]
  }
  return previous[m]
}

/** Length of the longest common subsequence. */
function lcs(a, b) {
  let previous = new Int32Array(b.length + 1)
  let current = new Int32Array(b.length + 1)
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      current[j] = a[i - 1] === b[j - 1] ? previous[j - 1] + 1 : Math.max(previous[j], current[j - 1])
    }
    ;[previous, current] = [current, previous]
  }
  return previous[b.length]
}

function zscore(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
  return values.map((value) => (deviation === 0 ? 0 : (value - mean) / deviation))
}

/** The nearest of equal-length candidates in one block, each normalised by itself: `{ index, distance }`. */
function nearest(query, data, length, window) {
  const wanted = zscore(query)
  let found = { index: -1, distance: Infinity }
  for (let index = 0; index * length < data.length; index++) {
    const distance = dtw(wanted, zscore(data.subarray(index * length, (index + 1) * length)), window, found.distance)
    if (distance < found.distance) found = { index, distance }
  }
  return found
}

module.exports = { dtw, lcs, zscore, nearest }
