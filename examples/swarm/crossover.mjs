/** A moving-average cross-over on daily closes: what it says every day, and what it would have earned. */

const DAYS_OF_A_YEAR = 252
const COST = 0.0005 // of the value, for each change of the position

/** Means of the `length` values that end with each day; NaN before there are so many. */
function movingAverage(values, length) {
  const out = new Float64Array(values.length).fill(NaN)
  let sum = 0
  for (let day = 0; day < values.length; day++) {
    sum += values[day]
    if (day >= length) sum -= values[day - length]
    if (day >= length - 1) out[day] = sum / length
  }
  return out
}

/** 1 on the days after whose close the fast average is above the slow one, else 0. */
export function positions(closes, fast, slow) {
  const [quick, calm] = [movingAverage(closes, fast), movingAverage(closes, slow)]
  return Uint8Array.from(closes, (_, day) => (quick[day] > calm[day] ? 1 : 0))
}

/**
 * Holds the index from the close of a day on which the fast average is above the slow one, and nothing otherwise. A
 * position is paid for from the next day on, so no day is traded on what its own close says.
 *
 * @param {{ closes: Float64Array, fast: number, slow: number, from: number }} options averages in days; `from`: the first
 * day that counts, the same for all, so that slow averages are not judged by other years than fast ones
 * @returns what came of 1 that was put in: `growth`, a year's `sharpe`, the deepest `drawdown`, `trades`, and the `equity` of every day
 */
export function backtest({ closes, fast, slow, from }) {
  if (!(fast < slow)) throw Object.assign(new Error(`fast must be below slow, got ${fast} and ${slow}`), { retryable: false })
  const position = positions(closes, fast, slow)
  const equity = new Float64Array(closes.length - from)
  let [value, top, drawdown, trades, sum, squares] = [1, 1, 0, 0, 0, 0]
  for (let day = from; day < closes.length; day++) {
    const [held, before] = [position[day - 1], day > from ? position[day - 2] : 0]
    const earned = held * (closes[day] / closes[day - 1] - 1) - COST * Math.abs(held - before)
    value *= 1 + earned
    if (held !== before) trades++
    top = Math.max(top, value)
    drawdown = Math.max(drawdown, 1 - value / top)
    sum += earned
    squares += earned * earned
    equity[day - from] = value
  }
  const mean = sum / equity.length
  const deviation = Math.sqrt(squares / equity.length - mean * mean)
  return { fast, slow, growth: value, sharpe: deviation > 0 ? (mean / deviation) * Math.sqrt(DAYS_OF_A_YEAR) : 0, drawdown, trades, equity }
}
