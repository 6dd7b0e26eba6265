/** The little statistics of the demo. Everything random is seeded, so that two runs print the same numbers. */

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

/** Linear interpolation between the two nearest order statistics. */
export function quantile(values, fraction) {
  const sorted = Float64Array.from(values).sort()
  const at = fraction * (sorted.length - 1)
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (at - below) * (sorted[above] - sorted[below])
}

export const median = (values) => quantile(values, 0.5)

export const shareAbove = (values, limit) => values.filter((value) => value > limit).length / values.length

/** mulberry32: a small generator with 32 bits of state, uniform in [0, 1). */
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

/** Fisher-Yates on a copy: the same symbols as often, in random order. */
export function shuffled(sequence, random) {
  const copy = [...sequence]
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[copy[i], copy[j]] = [copy[j], copy[i]]
  }
  return copy
}

/** Starts with a random element and goes round: keeps the runs that shuffling tears apart. */
export function rotated(sequence, random) {
  const by = Math.floor(random() * sequence.length)
  return [...sequence.slice(by), ...sequence.slice(0, by)]
}

/** Best first; a start closer than `spacing` samples to an accepted one is left out. */
export function pickApart(ranked, count, spacing) {
  const picked = []
  for (const entry of ranked) {
    if (picked.length === count) break
    if (picked.every((other) => Math.abs(other.start - entry.start) >= spacing)) picked.push(entry)
  }
  return picked
}

/**
 * How often the mean of as many windows, drawn at random under the same spacing, is at least as far
 * from the base rate as `observed`: the share of such luck in a world where the match means nothing.
 */
export function chanceOfMean(outcomes, count, spacing, observed, { draws = 4000, seed = 60 } = {}) {
  const random = seededRandom(seed)
  const base = mean(outcomes)
  let asFar = 0
  for (let draw = 0; draw < draws; draw++) {
    const starts = []
    while (starts.length < count) {
      const start = Math.floor(random() * outcomes.length)
      if (starts.every((other) => Math.abs(other - start) >= spacing)) starts.push(start)
    }
    if (Math.abs(mean(starts.map((start) => outcomes[start])) - base) >= Math.abs(observed - base)) asFar++
  }
  return asFar / draws
}
