/**
 * When did the market last look like this? The 60 days up to the newest bar are compared with every
 * window of the years before, and what followed then is set against what follows any day.
 * Afterwards thirteen strategies on the same bars are compared by their signals.
 *
 *   npm start
 *
 * No look-ahead: a window counts only when it and the 20 days after it end before the query starts.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dtwAlign, dtwBatch, dtwNearest, lcsMatrix, version } from '@neural-trader/midstreamer'
import { loadBars, slidingWindows, standardise } from './similar-days/market.mjs'
import { renderPage } from './similar-days/page.mjs'
import { chanceOfMean, mean, median, pickApart, rotated, seededRandom, shareAbove, shuffled } from './similar-days/statistics.mjs'
import { strategySignals } from './similar-days/strategies.mjs'
import { alignmentPlot, blue, bold, coloured, dim, heatMap, orange, percent, sparkline } from './similar-days/terminal.mjs'

const LENGTH = 60
const HORIZON = 20
const MATCHES = 10
const SPACING = LENGTH + HORIZON // neither the ten windows nor what followed them overlap
const MATCH_OPTIONS = { normalize: 'zscore', window: 6 } // a shape may be stretched by six days at most
const SHUFFLES = 20

const page = join(dirname(fileURLToPath(import.meta.url)), '..', 'out', 'similar-days.html')
const steps = []
async function step(name, work) {
  const started = performance.now()
  const result = await work()
  steps.push({ name, ms: performance.now() - started })
  return result
}
const heading = (text) => console.log(`\n${bold(text)}\n`)

// ---------------------------------------------------------------------------------- similar days
const bars = await step('read 20 years of daily bars', loadBars)
const { dates, close } = bars
const queryStart = close.length - LENGTH
const count = queryStart - SPACING + 1
const query = close.slice(queryStart)

const candidates = await step(`cut ${count} windows of ${LENGTH} days`, () => slidingWindows(close, LENGTH, count))
const distances = await step(`dtwBatch: the query against all ${count}`, () => dtwBatch(query, candidates, MATCH_OPTIONS))
const [nearest] = await step('dtwNearest: only the best of them', () => dtwNearest(query, candidates, MATCH_OPTIONS))

const outcomeOf = (start) => close[start + LENGTH + HORIZON - 1] / close[start + LENGTH - 1] - 1
const outcomes = Array.from({ length: count }, (_, start) => outcomeOf(start))
const ranked = Array.from(distances, (distance, start) => ({ start, distance })).sort(
  (a, b) => a.distance - b.distance || a.start - b.start,
)
if (ranked[0].start !== nearest.index) throw new Error('dtwNearest and dtwBatch disagree')
const matches = pickApart(ranked, MATCHES, SPACING).map((match) => ({ ...match, outcome: outcomeOf(match.start) }))
const best = matches[0]
const alignment = await step('dtwAlign: query and best match', () =>
  dtwAlign(query, close.slice(best.start, best.start + LENGTH), MATCH_OPTIONS),
)
const summary = await step('4000 random draws of ten windows', () => {
  const followed = matches.map((match) => match.outcome)
  const describe = (values) => ({ mean: mean(values), median: median(values), up: shareAbove(values, 0) })
  return {
    matches: describe(followed),
    base: describe(outcomes),
    chance: chanceOfMean(outcomes, MATCHES, SPACING, mean(followed)),
  }
})

heading(`S&P 500: the ${LENGTH} days to ${dates.at(-1)} and the ${MATCHES} windows most like them since ${dates[0].slice(0, 4)}`)
console.log(dim(`  #  window                     distance  shape                 next ${HORIZON} days`))
matches.forEach((match, i) => {
  const end = match.start + LENGTH - 1
  const after = close.subarray(end, end + HORIZON + 1)
  console.log(
    `${String(i + 1).padStart(3)}  ${dates[match.start]} - ${dates[end]}  ${match.distance.toFixed(2).padStart(8)}  ` +
      `${orange(sparkline(close.subarray(match.start, end + 1), 20))}  ${coloured(match.outcome, percent(match.outcome).padStart(7))}  ${dim(sparkline(after, 10))}`,
  )
})
console.log(`${' '.repeat(28)}query so far  ${blue(sparkline(query, 20))}`)

heading(`Query (above) and best match of ${dates[best.start]} (below), joined by the warping path`)
const bestWindow = standardise(close, best.start, best.start + LENGTH)
for (const line of alignmentPlot(standardise(close, queryStart, close.length), bestWindow, alignment.path)) console.log(`  ${line}`)
console.log(dim(`  distance ${alignment.distance.toFixed(3)}, similarity ${alignment.similarity.toFixed(3)}, mean lag ${alignment.lag.toFixed(2)} days`))

heading('Did it mean anything?')
const row = (name, s) =>
  console.log(`  ${name.padEnd(30)} mean ${percent(s.mean, 2)}   median ${percent(s.median, 2)}   up ${(100 * s.up).toFixed(0)} %`)
row(`after the ${MATCHES} matches`, summary.matches)
row(`after any of the ${count} windows`, summary.base)
console.log(
  `  Ten windows drawn at random are as far from the base rate ${(100 * summary.chance).toFixed(0)} % of the time:\n` +
    `  ${summary.chance < 0.05 ? 'unusual, yet one query out of many that could have been asked.' : 'no evidence that the resemblance predicts.'} Ten outcomes are few.`,
)

// -------------------------------------------------------------------------- strategy correlation
const { names, streams, first } = await step('signals of thirteen strategies', () => strategySignals(bars))
const pairs = (names.length * (names.length - 1)) / 2
const similarity = await step(`lcsMatrix: ${pairs} pairs of ${streams[0].length} signals`, () => lcsMatrix(streams))

async function expectedUnder(rearranged, seed) {
  const random = seededRandom(seed)
  const sum = new Float64Array(names.length ** 2)
  for (let round = 0; round < SHUFFLES; round++) {
    const { data } = await lcsMatrix(streams.map((stream) => rearranged(stream, random)))
    data.forEach((value, at) => (sum[at] += value / SHUFFLES))
  }
  return sum
}
const byShuffling = await step(`the same for ${SHUFFLES} shuffles`, () => expectedUnder(shuffled, 1))
const byRotation = await step(`and for ${SHUFFLES} rotations`, () => expectedUnder(rotated, 2))
const at = (data, i, j) => data[i * names.length + j]

heading(`Strategies by their signals since ${dates[first]}: longest common subsequence / length`)
console.log(dim('  above the diagonal: measured; below: expected when every stream is shuffled\n'))
for (const line of heatMap(names, (i, j) => at(i < j ? similarity.data : byShuffling, i, j))) console.log(`  ${line}`)

const agreement = names.flatMap((a, i) =>
  names.slice(i + 1).map((b, k) => {
    const j = i + 1 + k
    return { a, b, measured: at(similarity.data, i, j), shuffled: at(byShuffling, i, j), rotated: at(byRotation, i, j) }
  }),
)
agreement.sort((x, y) => y.measured - y.rotated - (x.measured - x.rotated))
console.log(
  '\n  Random streams of few symbols share much of their length already, and streams that keep one signal for\n' +
    '  weeks share more or less by their runs alone. So read the distance from chance, not the number itself:\n',
)
console.log(dim('  most above chance                      measured  shuffled  rotated'))
for (const pair of agreement.slice(0, 6))
  console.log(
    `  ${`${pair.a} ~ ${pair.b}`.padEnd(38)} ${[pair.measured, pair.shuffled, pair.rotated].map((v) => v.toFixed(3).padStart(8)).join('  ')}`,
  )

// ------------------------------------------------------------------------------------------ page
await step('write the page', () => {
  mkdirSync(dirname(page), { recursive: true })
  writeFileSync(
    page,
    renderPage({
      bars, query: { start: queryStart, length: LENGTH }, horizon: HORIZON, count, outcomes, matches, alignment, summary,
      strategies: { names, first, days: streams[0].length, measured: similarity.data, expected: byShuffling, agreement: agreement.slice(0, 10) },
      steps, kernel: version(),
    }),
  )
})

heading('Time')
for (const { name, ms } of steps) console.log(`  ${name.padEnd(46)} ${ms.toFixed(1).padStart(8)} ms`)
console.log(dim(`  kernel ${version().kernel}, ${version().threads} threads`))
console.log(`\nThe same as a page: ${page}`)
