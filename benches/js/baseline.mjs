/**
 * What a trader writes without a library. The full matrix of arrays is the baseline that every
 * comparison of this field uses; the rolling row is what a careful programmer makes of it.
 */

/** (n + 1) x (m + 1) as an array of arrays. */
export function dtwFullMatrix(a, b) {
  const [n, m] = [a.length, b.length]
  const d = Array(n + 1)
    .fill(null)
    .map(() => Array(m + 1).fill(Infinity))
  d[0][0] = 0
  for (let i = 1; i <= n; i++) {
    for (let j = 1; j <= m; j++) {
      const cost = Math.abs(a[i - 1] - b[j - 1])
      d[i][j] = cost + Math.min(d[i - 1][j], d[i][j - 1], d[i - 1][j - 1])
    }
  }
  return d[n][m]
}

/** Two rows of a Float64Array; with a Sakoe-Chiba radius only the cells of the band (equal lengths). */
export function dtwRollingRow(a, b, { metric = 'absolute', window = Infinity } = {}) {
  return metric === 'absolute' ? rollingAbsolute(a, b, window) : rollingSquared(a, b, window)
}

// One function a cost: a cost function passed in would be called once a cell and measured with it.
function rollingAbsolute(a, b, window) {
  const [n, m] = [a.length, b.length]
  let previous = new Float64Array(m + 1).fill(Infinity)
  let current = new Float64Array(m + 1).fill(Infinity)
  previous[0] = 0
  for (let i = 1; i <= n; i++) {
    const first = Math.max(1, i - window)
    const last = Math.min(m, i + window)
    current[first - 1] = Infinity
    let left = Infinity
    for (let j = first; j <= last; j++) {
      let best = previous[j - 1]
      if (previous[j] < best) best = previous[j]
      if (left < best) best = left
      left = Math.abs(a[i - 1] - b[j - 1]) + best
      current[j] = left
    }
    if (last < m) current[last + 1] = Infinity
    ;[previous, current] = [current, previous]
  }
  return previous[m]
}

function rollingSquared(a, b, window) {
  const [n, m] = [a.length, b.length]
  let previous = new Float64Array(m + 1).fill(Infinity)
  let current = new Float64Array(m + 1).fill(Infinity)
  previous[0] = 0
  for (let i = 1; i <= n; i++) {
    const first = Math.max(1, i - window)
    const last = Math.min(m, i + window)
    current[first - 1] = Infinity
    let left = Infinity
    for (let j = first; j <= last; j++) {
      let best = previous[j - 1]
      if (previous[j] < best) best = previous[j]
      if (left < best) best = left
      const difference = a[i - 1] - b[j - 1]
      left = difference * difference + best
      current[j] = left
    }
    if (last < m) current[last + 1] = Infinity
    ;[previous, current] = [current, previous]
  }
  return previous[m]
}

/** The textbook table of the longest common subsequence, as an array of arrays. */
export function lcsFullMatrix(a, b) {
  const [n, m] = [a.length, b.length]
  const d = Array(n + 1)
    .fill(null)
    .map(() => Array(m + 1).fill(0))
  for (let i = 1; i <= n; i++) {
    for (let j = 1; j <= m; j++) {
      d[i][j] = a[i - 1] === b[j - 1] ? d[i - 1][j - 1] + 1 : Math.max(d[i - 1][j], d[i][j - 1])
    }
  }
  return d[n][m]
}

/** The same with two rows of an Int32Array. */
export function lcsRollingRow(a, b) {
  let previous = new Int32Array(b.length + 1)
  let current = new Int32Array(b.length + 1)
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < b.length; j++) {
      current[j + 1] = a[i] === b[j] ? previous[j] + 1 : Math.max(previous[j + 1], current[j])
    }
    ;[previous, current] = [current, previous]
  }
  return previous[b.length]
}

/** Every pair i < j by `length`, divided by the longer length and mirrored. */
export function lcsMatrixOf(length, sequences) {
  const size = sequences.length
  const data = new Float64Array(size * size)
  for (let i = 0; i < size; i++) {
    data[i * size + i] = 1
    for (let j = i + 1; j < size; j++) {
      const value = length(sequences[i], sequences[j]) / Math.max(sequences[i].length, sequences[j].length)
      data[i * size + j] = value
      data[j * size + i] = value
    }
  }
  return data
}
