/**
 * Single calls, for what happens once a bar: the median and the 99th of a hundred, not the mean of many. The
 * contenders take turns, round by round, as in rounds.mjs; garbage of a round is part of it.
 */
import { collectGarbage, median } from './rounds.mjs'

/**
 * @typedef {object} Observed
 * @property {string} name
 * @property {() => number} observe    one call; its milliseconds
 * @property {number} observations     calls a round
 * @property {number} [limitMs]        what the median should stay below
 * @property {number} [limitP99Ms]     what 99 of 100 calls should stay below
 */

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

const oneRound = ({ observe, observations }) => {
  collectGarbage()
  return Array.from({ length: observations }, observe)
}

/** Milliseconds of a call. */
export function timed(call) {
  const started = process.hrtime.bigint()
  call()
  return Number(process.hrtime.bigint() - started) / 1e6
}

/**
 * @param {Observed[]} contenders
 * @returns as `interleave` does, where `ms` is the median of all calls, and beside it `p99Ms` (of all calls) and `bestP99Ms` (of the
 *   round where it is least)
 */
export function observe(contenders, { rounds }) {
  const entries = contenders.map((contender) => ({ contender, rounds: [] }))
  for (const { contender } of entries) oneRound(contender) // the warm-up
  for (let round = 0; round < rounds; round++) {
    for (const entry of entries) entry.rounds.push(oneRound(entry.contender))
  }
  const mediansOf = (entry) => entry.rounds.map(median)
  const first = mediansOf(entries[0])
  return entries.map((entry) => {
    const medians = mediansOf(entry)
    const ratios = medians.map((ms, round) => ms / first[round])
    const all = entry.rounds.flat()
    const { name, observations, limitMs, limitP99Ms } = entry.contender
    return {
      name,
      ms: median(all),
      p99Ms: quantile(all, 0.99),
      ratio: median(ratios),
      bestMs: Math.min(...medians),
      bestP99Ms: Math.min(...entry.rounds.map((ms) => quantile(ms, 0.99))),
      bestRatio: Math.min(...medians) / Math.min(...first),
      ...(limitMs === undefined ? {} : { limitMs }),
      ...(limitP99Ms === undefined ? {} : { limitP99Ms }),
      repetitions: observations,
      rounds,
      spread: [Math.min(...ratios), Math.max(...ratios)],
    }
  })
}
