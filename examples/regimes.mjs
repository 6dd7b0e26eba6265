/**
 * Market regimes: months of the S&P 500 that went alike are grouped by k-medoids under DTW, and what followed each
 * kind of month is set against chance.
 *
 *   node examples/regimes.mjs
 *
 * A month is 20 trading days, described by two lines: how far the price has come, and how much it has moved on the way,
 * both in units of the volatility of the year before. No look-ahead: the regimes are found in the months up to 2012 and
 * frozen; every later month is put to the nearest of them, by what was known at its last close.
 */
import { barycenter, dtwNearest, medoids } from '@neural-trader/midstreamer'
import { loadBars } from './similar-days/market.mjs'
import { mean, seededRandom, shuffled } from './similar-days/statistics.mjs'
import { blue, bold, dim, percent, sparkline } from './similar-days/terminal.mjs'

const DAYS = 20 // of a month; the next month is what follows it
const YEAR = 252
const REGIMES = 4
const OPTIONS = { channels: 2, window: 3 } // an event may come three days earlier or later
const LAST_YEAR_TO_LEARN_FROM = '2012'
const SHUFFLES = 5000
const LETTERS = 'ABCD'

const { dates, close } = loadBars()
const returns = Float64Array.from(close, (price, day) => (day === 0 ? 0 : Math.log(price / close[day - 1])))
const volatility = (from, to) => Math.sqrt(mean(Array.from(returns.subarray(from, to), (r) => r * r)))

/** The month that ends with the bar `end`, in units of the year before it; both lines start near 0. */
function describe(end) {
  const first = end - DAYS + 1
  const daily = volatility(first - YEAR, first)
  const values = new Float64Array(2 * DAYS)
  let [way, squares] = [0, 0]
  for (let day = 0; day < DAYS; day++) {
    way += returns[first + day]
    squares += returns[first + day] ** 2
    values.set([way, Math.sqrt(squares)].map((x) => x / (daily * Math.sqrt(DAYS))), 2 * day)
  }
  return values
}

const months = []
for (let end = YEAR + DAYS; end < close.length; end += DAYS) {
  const known = end + DAYS < close.length
  months.push({
    end,
    values: describe(end),
    // What came next, only to judge by.
    next: known ? close[end + DAYS] / close[end] - 1 : null,
    nextVolatility: known ? volatility(end + 1, end + DAYS + 1) * Math.sqrt(YEAR) : null,
  })
}
// A month that ends in the last year to learn from may be learnt from: its values use nothing later.
const past = months.filter(({ end }) => dates[end].slice(0, 4) <= LAST_YEAR_TO_LEARN_FROM)
const later = months.slice(past.length)

// ------------------------------------------------------------------------------------- find the regimes
const started = performance.now()
const found = await medoids(past.map((month) => month.values), REGIMES, { ...OPTIONS, seed: 1 })
past.forEach((month, i) => (month.regime = found.assignment[i]))
const typical = Array.from(found.medoids, (index) => past[index])
for (const month of later) {
  const [nearest] = await dtwNearest(month.values, typical.map(({ values }) => values), OPTIONS)
  month.regime = nearest.index
}
const way = (month) => month.values.filter((_, k) => k % 2 === 0)
const middles = await Promise.all(
  typical.map((_, regime) => barycenter(past.filter((month) => month.regime === regime).map(way), { window: OPTIONS.window })),
)
const elapsed = performance.now() - started

const nameOf = ({ values }) => {
  const [way, moved] = values.subarray(2 * DAYS - 2)
  return `${moved > 1.15 ? 'turbulent' : moved < 0.85 ? 'calm' : 'usual'}, ${way > 0.5 ? 'rising' : way < -0.5 ? 'falling' : 'sideways'}`
}
console.log(bold(`\nS&P 500: ${past.length} months of ${DAYS} days to ${dates[past.at(-1).end]}, in ${REGIMES} regimes\n`))
console.log(dim('     months  most typical month         typical path          like'))
typical.forEach((month, regime) => {
  const size = past.filter((other) => other.regime === regime).length
  const window = `${dates[month.end - DAYS + 1]} - ${dates[month.end]}`
  console.log(`  ${LETTERS[regime]} ${String(size).padStart(8)}  ${window}  ${blue(sparkline(middles[regime].center, DAYS))}  ${nameOf(month)}`)
})
console.log(dim(`  typical path: barycenter of the prices of the regime; medoids, assignment and barycenters took ${elapsed.toFixed(0)} ms`))

// ------------------------------------------------------------------------------------ what followed them
/** Months whose next month is known; the last one of the past ends before the first later one begins. */
function table(title, list) {
  const judged = list.filter((month) => month.next !== null)
  const groups = typical.map((_, regime) => judged.filter((month) => month.regime === regime))
  console.log(bold(`\n${title}: the ${DAYS} days after each month\n`))
  console.log(dim('     months  mean return   up     volatility (a year)'))
  const line = (name, group) => {
    if (group.length === 0) return console.log(`  ${name} ${'0'.padStart(8)}`)
    const up = (100 * group.filter((month) => month.next > 0).length) / group.length
    console.log(
      `  ${name} ${String(group.length).padStart(8)}  ${percent(mean(group.map((m) => m.next)), 2).padStart(11)}  ${up.toFixed(0).padStart(3)} %` +
        `  ${(100 * mean(group.map((m) => m.nextVolatility))).toFixed(1).padStart(8)} %`,
    )
  }
  groups.forEach((group, regime) => line(LETTERS[regime], group))
  line('*', judged)
  const [forReturn, forVolatility] = ['next', 'nextVolatility'].map((field) => share(chance(judged, field)))
  console.log(
    `  Shuffled outcomes differ as much between regimes in ${forReturn} of ${SHUFFLES} shuffles for the return,\n` +
      `  in ${forVolatility} for the volatility.`,
  )
}

const share = (fraction) => (fraction < 0.001 ? 'less than 0.1 %' : `${(100 * fraction).toFixed(1)} %`)

/** How often regimes differ as much in the mean of `field` as they do, when the outcomes are dealt out at random. */
function chance(judged, field) {
  const outcomes = judged.map((month) => month[field])
  const regimes = judged.map((month) => month.regime)
  const spread = (values) => {
    const [sum, size] = [new Float64Array(REGIMES), new Float64Array(REGIMES)]
    values.forEach((value, i) => {
      sum[regimes[i]] += value
      size[regimes[i]]++
    })
    return sum.reduce((total, s, regime) => total + (size[regime] === 0 ? 0 : (s * s) / size[regime]), 0)
  }
  const random = seededRandom(13)
  const measured = spread(outcomes)
  let asMuch = 1 // the order that was observed is one of those that chance could give
  for (let round = 0; round < SHUFFLES; round++) if (spread(shuffled(outcomes, random)) >= measured) asMuch++
  return asMuch / (SHUFFLES + 1)
}

table(`To ${LAST_YEAR_TO_LEARN_FROM}, where the regimes were found`, past.slice(0, -1))
table(`Since ${dates[later[0].end].slice(0, 4)}, with those regimes`, later)

// ----------------------------------------------------------------------------------- one into the other
console.log(bold('\nFrom one month to the next, all years: from the row to the column\n'))
console.log(dim(`         ${typical.map((_, regime) => LETTERS[regime].padStart(5)).join('')}    stays   by chance`))
typical.forEach((_, from) => {
  const next = months.slice(1).filter((_, i) => months[i].regime === from)
  const counts = typical.map((_, to) => next.filter((month) => month.regime === to).length)
  const frequent = months.filter((month) => month.regime === from).length / months.length
  console.log(
    `  ${LETTERS[from]}      ${counts.map((count) => String(count).padStart(5)).join('')}` +
      `    ${((100 * counts[from]) / next.length).toFixed(0).padStart(4)} %  ${(100 * frequent).toFixed(0).padStart(8)} %`,
  )
})
const now = months.at(-1)
console.log(`\nThe month to ${dates[now.end]}: ${LETTERS[now.regime]}, ${nameOf(typical[now.regime])}.`)
