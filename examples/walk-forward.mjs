/**
 * Live matching on recorded bars: twenty years of the S&P 500 are fed to a StreamMatcher one close at a time, as they
 * would have come, and every evening the windows most like the last month vote on the next day.
 *
 *   node examples/walk-forward.mjs
 *
 * No look-ahead: a window enters the library when the day that followed it has closed, and every match is checked for
 * that. How good the votes are is set against outcomes that are dealt out at random: the same matches and the same way to vote,
 * only that what followed a window has nothing to do with it. (Shuffling takes the days to be exchangeable; votes lean
 * towards the direction that is more frequent, and so does chance.)
 */
import { PatternLibrary, StreamMatcher } from '@neural-trader/midstreamer'
import { loadBars } from './similar-days/market.mjs'
import { mean, median, quantile, seededRandom } from './similar-days/statistics.mjs'
import { bold, dim, percent } from './similar-days/terminal.mjs'

const LENGTH = 20 // days of a window
const NEAREST = 15 // an odd number of votes
const LEAST = 250 // windows in the library before the first vote
const SHUFFLES = 2000

const { dates, close } = loadBars()
const at = dates.map((date) => Date.parse(date))
/** Return of the day after `day`. */
const outcomeOf = (day) => close[day + 1] / close[day] - 1

// ------------------------------------------------------------------------------------- one bar at a time
const library = new PatternLibrary({ length: LENGTH, window: 2, normalize: 'zscore' })
const matcher = new StreamMatcher(library, { k: NEAREST })
const votes = [] // { day, matched: the last days of the windows found }
const times = []
for (let day = 0; day < close.length - 1; day++) {
  // The outcome of the window that ended yesterday is known now.
  const ended = day - 1
  if (ended >= LENGTH - 1) {
    library.add({
      id: dates[ended],
      values: close.subarray(ended - LENGTH + 1, ended + 1),
      meta: { day: ended, endsAt: at[ended], outcome: outcomeOf(ended), outcomeAt: at[day] },
    })
  }
  const started = performance.now()
  const matches = matcher.push(close[day], at[day])
  times.push(performance.now() - started)
  if (library.size < LEAST) continue
  for (const { id, meta } of matches) {
    if (!(meta.endsAt < at[day] && meta.outcomeAt <= at[day])) throw new Error(`${id} was not known on ${dates[day]}`)
  }
  votes.push({ day, matched: matches.map(({ meta }) => meta.day) })
}

// ------------------------------------------------------------------------------------- were they right?
const days = votes.map(({ day }) => day)
const first = LENGTH - 1 // the first window's outcome
const outcomes = Float64Array.from({ length: close.length - 1 - first }, (_, i) => outcomeOf(first + i))

/** Whether most of the windows found were followed by a rise. */
const votedUp = (matched, outcomes) => 2 * matched.filter((window) => outcomes[window - first] > 0).length > matched.length
/** A day that ends unchanged makes no vote right. */
const isRight = (up, followed) => (up ? followed > 0 : followed < 0)

/** How good the votes are, were `outcomes` what followed the windows. */
function judge(outcomes) {
  let hits = 0
  const [up, down] = [{ days: 0, sum: 0 }, { days: 0, sum: 0 }]
  for (const { day, matched } of votes) {
    const followed = outcomes[day - first]
    const voted = votedUp(matched, outcomes)
    if (isRight(voted, followed)) hits++
    const side = voted ? up : down
    side.days++
    side.sum += followed
  }
  return { hitRate: hits / votes.length, edge: average(up) - average(down), up, down }
}
const average = ({ days, sum }) => (days === 0 ? 0 : sum / days)

const measured = judge(outcomes)
const random = seededRandom(2020)
const dealt = Float64Array.from(outcomes)
const chance = Array.from({ length: SHUFFLES }, () => {
  // Fisher-Yates in place: every order is as likely.
  for (let i = dealt.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[dealt[i], dealt[j]] = [dealt[j], dealt[i]]
  }
  return judge(dealt)
})

/** One line: measured, the mean and the middle 95 % of chance, and how often chance does as well. */
function compare(name, field, format) {
  const drawn = chance.map((round) => round[field])
  // The order that was observed is one of those that chance could have given.
  const asGood = (1 + drawn.filter((value) => value >= measured[field]).length) / (1 + SHUFFLES)
  const interval = `${format(quantile(drawn, 0.025))} to ${format(quantile(drawn, 0.975))}`
  console.log(`  ${name.padEnd(34)} ${format(measured[field]).padStart(9)}  ${format(mean(drawn)).padStart(9)}  ${interval.padStart(20)}  ${asGood.toFixed(3).padStart(7)}`)
}
const rate = (fraction) => `${(100 * fraction).toFixed(2)} %`
const small = (fraction) => percent(fraction, 3)
const rose = (list) => list.filter((day) => outcomeOf(day) > 0).length / list.length

console.log(bold(`\nS&P 500, ${dates[days[0]]} to ${dates[days.at(-1)]}: ${votes.length} votes of the ${NEAREST} nearest of the ${LENGTH}-day windows before\n`))
console.log(dim(`  ${''.padEnd(34)}  measured     chance      95 % of chance        p`))
compare('votes that were right', 'hitRate', rate)
compare('a day voted up less one voted down', 'edge', small)
console.log(dim(`  chance: ${SHUFFLES} shuffles of the outcomes (seeded); p: share of them that do as well or better`))

console.log(bold('\nWhat followed\n'))
console.log(dim('                 days    mean return of the next day'))
const line = (name, side) => console.log(`  ${name.padEnd(12)} ${String(side.days).padStart(6)}    ${small(average(side))}`)
line('voted up', measured.up)
line('voted down', measured.down)
line('every day', { days: days.length, sum: days.reduce((sum, day) => sum + outcomeOf(day), 0) })
console.log(`\n  Always voting up is right on ${rate(rose(days))} of the days: buying and holding.`)

console.log(bold('\nBy time\n'))
console.log(dim('               votes right   always up'))
const right = new Set(votes.filter(({ day, matched }) => isRight(votedUp(matched, outcomes), outcomeOf(day))).map(({ day }) => day))
for (let year = 2000; year <= 2020; year += 4) {
  const some = days.filter((day) => Math.floor(+dates[day].slice(0, 4) / 4) === year / 4)
  const hits = some.filter((day) => right.has(day)).length / some.length
  const [from, to] = [some[0], some.at(-1)].map((day) => dates[day].slice(0, 4))
  console.log(`  ${(from === to ? from : `${from}-${to}`).padEnd(9)}    ${rate(hits).padStart(10)}  ${rate(rose(some)).padStart(10)}`)
}
const searching = times.slice(-1000)
console.log(
  dim(`\n  one push with ${library.size - 1000} to ${library.size} windows in the library: median ${median(searching).toFixed(3)} ms, 99 % below ${quantile(searching, 0.99).toFixed(3)} ms`),
)
