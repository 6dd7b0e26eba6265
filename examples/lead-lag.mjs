/**
 * Who leads, and by how much? First on series whose lags are known, so that the answer can be checked; then on the daily,
 * weekly and monthly view of the S&P 500.
 *
 *   node examples/lead-lag.mjs
 */
import { alignTimeframes, correlationMatrix, lagMatrix } from '@neural-trader/midstreamer'
import { loadBars } from './similar-days/market.mjs'
import { mean, seededRandom } from './similar-days/statistics.mjs'
import { bold, dim } from './similar-days/terminal.mjs'

const OPTIONS = { normalize: 'zscore', window: 15 }
const heading = (text) => console.log(`\n${bold(text)}\n`)
const signed = (value, digits = 1) => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(digits)}`

// ------------------------------------------------------------------------------------ lags that are known
/** Strategies that hold the same position, each some bars after the market; the last one follows a market of its own. */
const LATE = { market: 0, momentum: 2, breakout: 5, average: 9, unrelated: null }
const BARS = 500
const NOISE = 0.3 // of the standard deviation of one bar of the market

const random = seededRandom(2020)
/** Nearly normal: the sum of twelve uniform numbers has variance 1. */
const normal = () => Array.from({ length: 12 }, random).reduce((sum, x) => sum + x, -6)
function path(bars) {
  let level = 100
  return Float64Array.from({ length: bars }, () => (level += normal()))
}
const start = 20
const market = path(BARS + start)
const names = Object.keys(LATE)
const series = names.map((name) => {
  const source = LATE[name] === null ? path(BARS + start) : market
  return Float64Array.from({ length: BARS }, (_, bar) => source[bar + start - (LATE[name] ?? 0)] + NOISE * normal())
})

const lags = await lagMatrix(series, OPTIONS)
const table = ({ size, data }, format) => {
  console.log(dim(`  ${''.padEnd(12)}${names.map((name) => name.padStart(11)).join('')}`))
  names.forEach((name, i) => {
    const row = Array.from(data.subarray(i * size, (i + 1) * size), (value, j) => (i === j ? '.' : format(value)).padStart(11))
    console.log(`  ${name.padEnd(12)}${row.join('')}`)
  })
}
heading(`Bars by which the column follows the row (lagMatrix, ${BARS} bars, generated)`)
table(lags, signed)
const related = names.filter((name) => LATE[name] !== null)
const errors = related.flatMap((a, i) =>
  related.slice(i + 1).map((b, k) => Math.abs(lags.data[i * lags.size + i + 1 + k] - (LATE[b] - LATE[a]))),
)
console.log(
  `\n  Made with lags of ${related.map((name) => `${LATE[name]} (${name})`).join(', ')} bars: the ${errors.length} pairs are found within ` +
    `${mean(errors).toFixed(1)} bars\n  on average, ${Math.max(...errors).toFixed(1)} at most. The lag of an unrelated pair is a number too, and means nothing.`,
)

const sideBySide = await correlationMatrix(series.map(differences), { method: 'pearson' })
const warped = await correlationMatrix(series, OPTIONS)
const together = {
  size: names.length,
  data: Float64Array.from(warped.data, (value, at) => (Math.floor(at / names.length) < at % names.length ? value : sideBySide.data[at])),
}
heading('Correlation of the levels along the warping path (above) and of the changes bar by bar (below)')
table(together, (value) => value.toFixed(2))
console.log(
  '\n  Bar by bar a lag of two bars hides that two series are the same. Along the warping path it shows, but a\n' +
    '  path is chosen to make the levels agree: read it against what the unrelated series reaches.',
)

function differences(values) {
  return values.slice(1).map((value, i) => value - values[i])
}

// --------------------------------------------------------------------------------- one market, three clocks
const { dates, close } = loadBars()
const first = dates.findIndex((date) => date >= '2018-01-01')
const days = Array.from({ length: close.length - first }, (_, i) => first + i)
const DAY_MS = 86_400_000
/** The week a day belongs to, by its Monday: 1970-01-01 was a Thursday. */
const weekOf = (date) => Math.floor((Date.parse(date) / DAY_MS + 3) / 7)
const monthOf = (date) => date.slice(0, 7)
/** Days that are the last of their week or month; whether the newest is, nobody knows yet. */
const closing = (periodOf) => days.slice(0, -1).filter((day) => periodOf(dates[day]) !== periodOf(dates[day + 1]))
const [weekly, monthly] = [closing(weekOf), closing(monthOf)]
const at = (ends) => Float64Array.from(ends, (day) => close[day])

const clocks = ['daily', 'weekly', 'monthly']
const ends = [days, weekly, monthly]
const alignments = await alignTimeframes(ends.map(at), { normalize: 'zscore' })
heading(`S&P 500 since ${dates[first]}: ${clocks.map((clock, i) => `${ends[i].length} ${clock}`).join(', ')} bars (alignTimeframes)`)
console.log(dim('                       distance a pair   similarity   closes of a pair are apart'))
alignments.forEach(({ distance, similarity, path }, i) => {
  const pairs = path.length / 2
  const apart = mean(Array.from({ length: pairs }, (_, k) => Math.abs(ends[i][path[2 * k]] - ends[i + 1][path[2 * k + 1]])))
  console.log(
    `  ${`${clocks[i]} - ${clocks[i + 1]}`.padEnd(20)} ${(distance / pairs).toFixed(4).padStart(15)}   ${similarity.toFixed(3).padStart(10)}` +
      `   ${apart.toFixed(1).padStart(6)} days on average`,
  )
})

/** What a trader on a slower clock knows each day: the last close of a finished week or month. */
const known = (closings) => {
  let next = 0
  return Array.from(days, (day) => {
    while (next + 1 < closings.length && closings[next + 1] <= day) next++
    return closings[next]
  })
}
const bothKnown = days.indexOf(monthly[0])
const latest = ends.map((closings) => known(closings).slice(bothKnown))
const delays = await alignTimeframes(latest.map(at), { normalize: 'zscore', window: 25 })
heading('The same on one clock: the last finished bar, day by day')
console.log(dim('                       lag along the path   by the calendar'))
delays.forEach(({ lag }, i) => {
  const calendar = mean(latest[i].map((day, k) => day - latest[i + 1][k]))
  console.log(`  ${`${clocks[i + 1]} after ${clocks[i]}`.padEnd(22)} ${lag.toFixed(1).padStart(12)} days ${calendar.toFixed(1).padStart(12)} days`)
})
