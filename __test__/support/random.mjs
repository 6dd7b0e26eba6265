// Seeded test data: the same in every run, on every machine.

/** Numbers in [0, 1) from a seed (mulberry32). */
export function generator(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An integer in [low, high]. */
export function integer(random, low, high) {
  return low + Math.floor(random() * (high - low + 1))
}

export function pick(random, list) {
  return list[integer(random, 0, list.length - 1)]
}

/** Prices: a walk from 100 by up to 1 % a step. */
export function walk(random, length) {
  let price = 100
  return Float64Array.from({ length }, () => (price *= 1 + (random() - 0.5) / 50))
}

/** Few distinct values, so that warping paths and orders have many ties. */
export function ties(random, length) {
  return Float64Array.from({ length }, () => integer(random, 0, 3))
}

export function series(random, length) {
  return random() < 0.5 ? walk(random, length) : ties(random, length)
}

export function symbols(random, length, alphabet) {
  return Array.from({ length }, () => integer(random, 0, alphabet - 1))
}
