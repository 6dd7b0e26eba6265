// Textbook definitions in plain JavaScript, one cell after the other over the full matrix: what the addon is held against.

/** -w - max(0, n-m) <= j-i <= w + max(0, m-n) */
function inBand(i, j, n, m, window) {
  return window === undefined || (-window - Math.max(0, n - m) <= j - i && j - i <= window + Math.max(0, m - n))
}

export function normalize(values, how = 'none', channels = 1) {
  const out = Float64Array.from(values)
  if (how === 'none') return out
  for (let c = 0; c < channels; c++) {
    const at = []
    for (let k = c; k < out.length; k += channels) at.push(k)
    const x = at.map((k) => out[k])
    if (how === 'zscore') {
      const mean = x.reduce((s, v) => s + v, 0) / x.length
      const deviation = Math.sqrt(x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length)
      const constant = deviation === 0 || deviation < 1e-12 * Math.abs(mean)
      for (const k of at) out[k] = constant ? 0 : (out[k] - mean) / deviation
    } else {
      const low = Math.min(...x)
      const high = Math.max(...x)
      for (const k of at) out[k] = high === low ? 0 : (out[k] - low) / (high - low)
    }
  }
  return out
}

/** The whole matrix, n x m, Infinity outside the band, without the final root. */
function dtwMatrix(a, b, { metric = 'absolute', window, channels = 1 }) {
  const n = a.length / channels
  const m = b.length / channels
  const d = Array.from({ length: n }, () => new Float64Array(m).fill(Infinity))
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      if (!inBand(i, j, n, m, window)) continue
      let cost = 0
      for (let c = 0; c < channels; c++) {
        const x = a[i * channels + c] - b[j * channels + c]
        cost += metric === 'absolute' ? Math.abs(x) : x * x
      }
      const up = i > 0 ? d[i - 1][j] : Infinity
      const left = j > 0 ? d[i][j - 1] : Infinity
      const diagonal = i > 0 && j > 0 ? d[i - 1][j - 1] : Infinity
      d[i][j] = cost + (i === 0 && j === 0 ? 0 : Math.min(diagonal, up, left))
    }
  }
  return d
}

export function dtw(a, b, options = {}) {
  return dtwAlign(a, b, options).distance
}

export function dtwAlign(a, b, options = {}) {
  const { channels = 1, maxDistance = Infinity } = options
  const x = normalize(a, options.normalize, channels)
  const y = normalize(b, options.normalize, channels)
  const d = dtwMatrix(x, y, options)
  let i = d.length - 1
  let j = d[0].length - 1
  const distance = options.metric === 'euclidean' ? Math.sqrt(d[i][j]) : d[i][j]
  if (distance > maxDistance) return { distance: Infinity, path: [], lag: NaN, similarity: 0, pairs: [] }
  const pairs = [[i, j]]
  while (i > 0 || j > 0) {
    const up = i > 0 ? d[i - 1][j] : Infinity
    const left = j > 0 ? d[i][j - 1] : Infinity
    const diagonal = i > 0 && j > 0 ? d[i - 1][j - 1] : Infinity
    if (diagonal <= up && diagonal <= left) {
      i--
      j--
    } else if (up <= left) i--
    else j--
    pairs.push([i, j])
  }
  pairs.reverse()
  const lag = pairs.reduce((sum, [i, j]) => sum + j - i, 0) / pairs.length
  return { distance, path: pairs.flat(), lag, similarity: 1 / (1 + distance / pairs.length), pairs, x, y }
}

/** Pearson correlation of pairs of values; 0 when either side is constant. */
export function pearson(xs, ys) {
  const n = xs.length
  const mx = xs.reduce((s, v) => s + v, 0) / n
  const my = ys.reduce((s, v) => s + v, 0) / n
  let xy = 0
  let xx = 0
  let yy = 0
  for (let k = 0; k < n; k++) {
    xy += (xs[k] - mx) * (ys[k] - my)
    xx += (xs[k] - mx) ** 2
    yy += (ys[k] - my) ** 2
  }
  return xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy)
}

export function lcs(a, b) {
  let row = new Array(b.length + 1).fill(0)
  for (let i = 0; i < a.length; i++) {
    const next = [0]
    for (let j = 0; j < b.length; j++) next.push(a[i] === b[j] ? row[j] + 1 : Math.max(row[j + 1], next[j]))
    row = next
  }
  return row[b.length]
}

export function levenshtein(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) next.push(Math.min(row[j + 1] + 1, next[j] + 1, row[j] + (a[i] === b[j] ? 0 : 1)))
    row = next
  }
  return row[b.length]
}

export function lcss(a, b, epsilon, window = Infinity) {
  let row = new Array(b.length + 1).fill(0)
  for (let i = 0; i < a.length; i++) {
    const next = [0]
    for (let j = 0; j < b.length; j++) {
      const match = Math.abs(a[i] - b[j]) <= epsilon && Math.abs(i - j) <= window
      next.push(match ? row[j] + 1 : Math.max(row[j + 1], next[j]))
    }
    row = next
  }
  return row[b.length]
}

/** MSM, Stefan et al. 2013: what a split or merge of x costs between its predecessor and the other series. */
function splitOrMerge(x, before, other, cost) {
  if ((before <= x && x <= other) || (before >= x && x >= other)) return cost
  return cost + Math.min(Math.abs(x - before), Math.abs(x - other))
}

function softMinimum(values, gamma) {
  const least = Math.min(...values)
  if (least === Infinity) return Infinity
  return least - gamma * Math.log(values.reduce((sum, v) => sum + Math.exp((least - v) / gamma), 0))
}

/** Every measure as a matrix with a border row and column; i and j count from 1, as in the papers. */
const ELASTIC = {
  wdtw: ({ g = 0.05 }) => (d, x, y, i, j, n, m) =>
    (x[i] - y[j]) ** 2 / (1 + Math.exp(-g * (Math.abs(i - j) - Math.max(n, m) / 2))) + Math.min(d[i - 1][j - 1], d[i - 1][j], d[i][j - 1]),
  adtw: ({ penalty = 1 }) => (d, x, y, i, j) =>
    (x[i] - y[j]) ** 2 + Math.min(d[i - 1][j - 1], d[i - 1][j] + penalty, d[i][j - 1] + penalty),
  erp: ({ gap = 0 }) => (d, x, y, i, j) =>
    Math.min(d[i - 1][j - 1] + Math.abs(x[i] - y[j]), d[i - 1][j] + Math.abs(x[i] - gap), d[i][j - 1] + Math.abs(y[j] - gap)),
  edr: ({ epsilon }) => (d, x, y, i, j) =>
    Math.min(d[i - 1][j - 1] + (Math.abs(x[i] - y[j]) <= epsilon ? 0 : 1), d[i - 1][j] + 1, d[i][j - 1] + 1),
  msm: ({ cost = 1 }) => (d, x, y, i, j) => Math.min(
    d[i - 1][j - 1] + Math.abs(x[i] - y[j]),
    i > 1 ? d[i - 1][j] + splitOrMerge(x[i], x[i - 1], y[j], cost) : Infinity,
    j > 1 ? d[i][j - 1] + splitOrMerge(y[j], y[j - 1], x[i], cost) : Infinity),
  twe: ({ nu = 0.001, lambda = 1 }) => (d, x, y, i, j) => Math.min(
    d[i - 1][j - 1] + Math.abs(x[i] - y[j]) + Math.abs(x[i - 1] - y[j - 1]) + 2 * nu * Math.abs(i - j),
    d[i - 1][j] + Math.abs(x[i] - x[i - 1]) + nu + lambda,
    d[i][j - 1] + Math.abs(y[j] - y[j - 1]) + nu + lambda),
  'soft-dtw': ({ gamma = 1 }) => (d, x, y, i, j) =>
    (x[i] - y[j]) ** 2 + softMinimum([d[i - 1][j - 1], d[i - 1][j], d[i][j - 1]], gamma),
}

export function elastic(measure, a, b, options = {}) {
  if (measure === 'ddtw') {
    const derive = (v) => Array.from(v).slice(1, -1).map((x, k) => (x - v[k] + (v[k + 2] - v[k]) / 2) / 2)
    return dtw(derive(a), derive(b), { metric: 'squared', window: options.window })
  }
  const [n, m] = [a.length, b.length]
  const [x, y] = [[0, ...a], [0, ...b]]
  const cell = ELASTIC[measure](options)
  const d = Array.from({ length: n + 1 }, () => new Float64Array(m + 1).fill(Infinity))
  d[0][0] = 0
  // Only the edit distances have finite borders: a prefix against nothing.
  const border = { erp: (v) => Math.abs(v - (options.gap ?? 0)), edr: () => 1 }[measure]
  if (border) {
    for (let i = 1; i <= n && inBand(i, 0, n, m, options.window); i++) d[i][0] = d[i - 1][0] + border(x[i])
    for (let j = 1; j <= m && inBand(0, j, n, m, options.window); j++) d[0][j] = d[0][j - 1] + border(y[j])
  }
  for (let i = 1; i <= n; i++) {
    for (let j = 1; j <= m; j++) {
      if (inBand(i, j, n, m, options.window)) d[i][j] = cell(d, x, y, i, j, n, m)
    }
  }
  return d[n][m]
}
