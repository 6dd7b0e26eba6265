/**
 * Thirteen textbook strategies as streams of signals, one symbol a day. The signal of day t reads the
 * bars up to and including t and nothing later; every stream starts at day `first`, when the
 * slowest of them has its history.
 */

const FIRST = 273

/** Mean of the `length` values that end with t. */
function average(values, t, length) {
  let sum = 0
  for (let i = t - length + 1; i <= t; i++) sum += values[i]
  return sum / length
}

function deviation(values, t, length) {
  const centre = average(values, t, length)
  let sum = 0
  for (let i = t - length + 1; i <= t; i++) sum += (values[i] - centre) ** 2
  return Math.sqrt(sum / length)
}

/** Exponential moving average with the smoothing 2 / (length + 1), for every day. */
function exponential(values, length) {
  const out = Float64Array.from(values)
  for (let t = 1; t < out.length; t++) out[t] = out[t - 1] + (2 / (length + 1)) * (values[t] - out[t - 1])
  return out
}

/** Relative strength index with Wilder's smoothing, for every day. */
function relativeStrength(close, length) {
  const out = new Float64Array(close.length).fill(50)
  let up = 0
  let down = 0
  for (let t = 1; t < close.length; t++) {
    const change = close[t] - close[t - 1]
    up += (Math.max(change, 0) - up) / length
    down += (Math.max(-change, 0) - down) / length
    if (up + down > 0) out[t] = (100 * up) / (up + down)
  }
  return out
}

const trend = (value, strong) =>
  value > strong ? 'STRONG_BUY' : value > 0 ? 'BUY' : value < -strong ? 'STRONG_SELL' : value < 0 ? 'SELL' : 'HOLD'

const reversion = (value, { low, high, margin }) =>
  value < low - margin ? 'STRONG_BUY' : value < low ? 'BUY' : value > high + margin ? 'STRONG_SELL' : value > high ? 'SELL' : 'HOLD'

/**
 * @param {import('./market.mjs').Bars} bars
 * @returns {{ names: string[], streams: string[][], first: number }}
 */
export function strategySignals({ dates, close, high, low }) {
  const rsi14 = relativeStrength(close, 14)
  const rsi2 = relativeStrength(close, 2)
  const fast = exponential(close, 12)
  const slow = exponential(close, 26)
  const macd = fast.map((value, t) => value - slow[t])
  const macdSignal = exponential(macd, 9)
  const returns = close.map((value, t) => (t > 0 ? value / close[t - 1] - 1 : 0))
  const highest = (t, length) => Math.max(...high.subarray(t - length, t))
  const lowest = (t, length) => Math.min(...low.subarray(t - length, t))
  const change = (t, length, skip = 0) => close[t - skip] / close[t - length] - 1
  const breakout = (t, length) => (close[t] > highest(t, length) ? 'BUY' : close[t] < lowest(t, length) ? 'SELL' : 'HOLD')
  const dayOfMonth = (t) => Number(dates[t].slice(8))

  /** @type {[string, (t: number) => string][]} */
  const rules = [
    ['Buy and hold', () => 'BUY'],
    ['SMA 20/50', (t) => trend(average(close, t, 20) / average(close, t, 50) - 1, 0.03)],
    ['SMA 50/200', (t) => trend(average(close, t, 50) / average(close, t, 200) - 1, 0.05)],
    ['MACD 12/26/9', (t) => trend((macd[t] - macdSignal[t]) / close[t], 0.005)],
    ['Momentum 60', (t) => trend(change(t, 60), 0.08)],
    ['Momentum 12-1', (t) => trend(change(t, 252, 21), 0.15)],
    ['Breakout 20', (t) => breakout(t, 20)],
    ['Breakout 55', (t) => breakout(t, 55)],
    ['Bollinger 20', (t) => reversion((close[t] - average(close, t, 20)) / deviation(close, t, 20), { low: -2, high: 2, margin: 0.5 })],
    ['RSI 14', (t) => reversion(rsi14[t], { low: 30, high: 70, margin: 10 })],
    ['RSI 2', (t) => reversion(rsi2[t], { low: 10, high: 90, margin: 5 })],
    ['Calm market', (t) => (deviation(returns, t, 20) < deviation(returns, t, 252) ? 'BUY' : 'HOLD')],
    ['Early month', (t) => (dayOfMonth(t) <= 5 ? 'BUY' : 'HOLD')],
  ]
  const days = close.length - FIRST
  return {
    names: rules.map(([name]) => name),
    streams: rules.map(([, rule]) => Array.from({ length: days }, (_, day) => rule(FIRST + day))),
    first: FIRST,
  }
}
