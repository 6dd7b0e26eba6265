/**
 * A learner on twenty years of the S&P 500, walking forward: every fifth evening it looks for windows like the last month,
 * predicts the next five days, and is told a week later what became of it. It trades only where the evidence allows it to.
 *
 *   node examples/learn-walk-forward.mjs
 *
 * It knows nothing that was not known on the day: windows count from the day on which their outcome had happened, and so do its
 * own experiences. Costs are five hundredths of a percent a round trip. Both policies are run; the result is stated with its
 * uncertainty, whatever it is, beside buying and holding over the same days.
 */
import assert from 'node:assert/strict'
import { PatternLearner, PatternLibrary } from '@neural-trader/midstreamer'
import { loadBars } from './similar-days/market.mjs'
import { bold, dim, percent } from './similar-days/terminal.mjs'

const LENGTH = 20 // days of a window
const HORIZON = 5 // days that are predicted
const COST_BPS = 5
const FIRST = 500 // days of history before the first match
const FAMILY = 'month'

const { dates, close } = loadBars()
const instants = dates.map((date) => Date.parse(date))
const outcomeOf = (day) => close[day + HORIZON] / close[day] - 1

const library = new PatternLibrary({ length: LENGTH, window: 2, normalize: 'zscore' })
for (let day = LENGTH - 1; day + HORIZON < close.length; day++) {
  const meta = { endsAt: instants[day], outcome: outcomeOf(day), outcomeAt: instants[day + HORIZON], patternType: FAMILY }
  library.add({ id: dates[day], values: close.subarray(day - LENGTH + 1, day + 1), meta })
}

/** Volatility of returns over the horizon, from the sixty days before. */
function volatilityAt(day) {
  let sum = 0
  for (let at = day - 59; at <= day; at++) sum += Math.log(close[at] / close[at - 1]) ** 2
  return Math.sqrt((sum / 60) * HORIZON)
}

async function walk(policy) {
  const learner = await PatternLearner.open({ library, policy, costBps: COST_BPS, periodsPerYear: 252 / HORIZON })
  const traded = []
  const reasons = new Map()
  let matches = 0
  for (let day = FIRST; day + HORIZON < close.length; day += HORIZON) {
    const known = instants[day]
    const context = { symbol: 'SPX', timeframe: '1d', volatility: volatilityAt(day), at: known, horizonEndsAt: instants[day + HORIZON] }
    const assessment = await learner.match(close.subarray(day - LENGTH + 1, day + 1), { ...context, patternType: FAMILY })
    for (const { meta } of assessment.matches) assert.ok(meta.endsAt <= known && meta.outcomeAt <= known, `${dates[day]} was shown what came later`)
    matches += 1
    const { netReturn } = await learner.resolve(assessment.experienceId, outcomeOf(day), instants[day + HORIZON])
    if (assessment.signal !== null) {
      traded.push(netReturn)
      continue
    }
    const reason = assessment.reason.replace(/-?\d[\d.,%]*/g, 'N')
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  const trajectory = await learner.trajectory(FAMILY)
  const distilled = await learner.distill()
  await learner.close()
  return { policy, matches, traded, trajectory, distilled, reasons }
}

/** Mean and its standard error. */
function estimate(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { mean, error: Math.sqrt(variance / values.length) }
}

const held = []
for (let day = FIRST; day + HORIZON < close.length; day += HORIZON) held.push(outcomeOf(day))
const hold = estimate(held)
console.log(bold(`\nS&P 500, ${dates[FIRST]} to ${dates.at(-1)}: ${held.length} weeks of five days\n`))
console.log(`holding earned ${percent(hold.mean, 2)} +- ${percent(hold.error, 2)} a week (mean and standard error)`)

for (const policy of ['evidence', 'utility']) {
  const { matches, traded, trajectory, distilled, reasons } = await walk(policy)
  console.log(bold(`\npolicy '${policy}'`))
  console.log(`${traded.length} signals in ${matches} matches`)
  if (traded.length > 1) {
    const { mean, error } = estimate(traded)
    const verdict = mean - 2 * error > 0 ? 'more than nothing, by two standard errors' : 'not distinguishable from nothing'
    console.log(`what was signalled earned ${percent(mean, 2)} +- ${percent(error, 2)} a week after costs: ${verdict}`)
  }
  console.log(`all matches, traded or not: ${percent(trajectory.winRate)} right after costs (${trajectory.winRateInterval.map((rate) => percent(rate)).join(' to ')}), mean ${percent(trajectory.meanReturn, 2)} a week`)
  console.log(`its 90 % intervals held ${percent(trajectory.calibration.coverage)} of the outcomes; patterns with proof: ${distilled.length}`)
  for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 3)) console.log(dim(`  ${count} x no signal: ${reason}`))
}
console.log(dim('\nNo advice. One index and one shape of question; the weeks do not overlap, but markets change.'))
