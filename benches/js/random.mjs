/** Seeded inputs, so that every run and every contender sees the same data. */

/** mulberry32: 32 bits of state, uniform in [0, 1). */
export function seededRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296
  }
}

/** Prices from 100 on, each step uniform in +-1 % of the price. */
export function randomWalk(length, random) {
  const out = new Float64Array(length)
  let price = 100
  for (let i = 0; i < length; i++) {
    out[i] = price
    price *= 1 + (random() - 0.5) * 0.02
  }
  return out
}

/** `count` walks one after another. */
export function randomWalks(count, length, random) {
  const out = new Float64Array(count * length)
  for (let row = 0; row < count; row++) out.set(randomWalk(length, random), row * length)
  return out
}

/** Uniform symbols 0 .. alphabet-1. */
export function symbols(length, alphabet, random) {
  return Int32Array.from({ length }, () => Math.floor(random() * alphabet))
}

const SIGNALS = ['BUY', 'SELL', 'HOLD', 'STRONG_BUY', 'STRONG_SELL']

/** One strategy's signals, uniform over the five that traders use. */
export function signals(length, random) {
  return Array.from({ length }, () => SIGNALS[Math.floor(random() * SIGNALS.length)])
}
