/**
 * Which of these strategies are the same bet? The signals of 41 strategies over nineteen years are compared pair by
 * pair by two agents, processes of their own: by what they say (longest common subsequence) and by what they earned
 * (dynamic time warping of their equity curves). Each matrix has the bits of the local function.
 *
 *   node examples/strategy-correlation.mjs
 *
 * Strategies that are invested most of the time agree most of the time, whatever they know. So each pair is set against the
 * same two moved along in time, each by another random number of days: they keep their habits and lose what they have to
 * do with one another.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Coordinator, dtwMatrix, lcsMatrix } from '@neural-trader/midstreamer'
import { loadBars } from './similar-days/market.mjs'
import { rotated, seededRandom } from './similar-days/statistics.mjs'
import { strategySignals } from './similar-days/strategies.mjs'
import { bold, dim } from './similar-days/terminal.mjs'
import { startAgents } from './swarm/agents.mjs'
import { writeIdentity } from './swarm/identity-files.mjs'
import { positions } from './swarm/crossover.mjs'

const AVERAGES = [5, 10, 20, 30, 50, 75, 100, 200]
const SHIFTS = 5
const SAME_BET = 0.9 // of the way from chance to the very same signals
const MATRIX = { normalize: 'zscore', window: 10 } // an equity curve may be ten days late
const heading = (text) => console.log(`\n${bold(text)}\n`)

// ------------------------------------------------------------------------------------------ the strategies
const bars = loadBars()
const { names, streams, first } = strategySignals(bars)
const side = { STRONG_BUY: 1, BUY: 1, HOLD: 0, SELL: 0, STRONG_SELL: 0 }
/** In the market or not, day by day. */
const signals = streams.map((stream) => Uint8Array.from(stream, (signal) => side[signal]))
for (const fast of AVERAGES) {
  for (const slow of AVERAGES) {
    if (fast >= slow) continue
    names.push(`MA ${fast}/${slow}`)
    signals.push(positions(bars.close, fast, slow).subarray(first))
  }
}
const random = seededRandom(7)
const moved = Array.from({ length: SHIFTS }, () => signals.map((signal) => Uint8Array.from(rotated(signal, random))))
/** What 1 became by holding the index on the days after a 1. */
const equity = signals.map((signal) => {
  const curve = new Float64Array(signal.length).fill(1)
  for (let day = 1; day < signal.length; day++) {
    const change = bars.close[first + day] / bars.close[first + day - 1]
    curve[day] = curve[day - 1] * (signal[day - 1] === 1 ? change : 1)
  }
  return curve
})
const size = names.length

// ---------------------------------------------------------------------------------------------- the agents
const directory = mkdtempSync(join(tmpdir(), 'midstreamer-'))
let coordinator, stopAgents
const times = []
async function timed(name, work) {
  const started = performance.now()
  const result = await work()
  times.push([name, performance.now() - started])
  return result
}
/** Signals, the same moved along (once for each shift), and equity curves: a matrix each. */
async function matrices(where, { lcsMatrix, dtwMatrix }) {
  const all = []
  for (const [at, list] of [signals, ...moved].entries())
    all.push(await timed(`lcsMatrix${at === 0 ? '' : `, moved ${at}`}: ${where}`, () => lcsMatrix(list)))
  all.push(await timed(`dtwMatrix: ${where}`, () => dtwMatrix(equity, MATRIX)))
  return all
}

let found
try {
  heading(`${size} strategies, ${bars.dates[first]} to ${bars.dates.at(-1)}`)
  coordinator = await Coordinator.start()
  const identities = []
  for (const id of ['agent-1', 'agent-2']) identities.push(writeIdentity(join(directory, id), await coordinator.developmentIdentity(id)))
  stopAgents = await startAgents(coordinator, identities)
  found = await matrices('two agents', {
    lcsMatrix: (sequences) => coordinator.lcsMatrix(sequences),
    dtwMatrix: (series, options) => coordinator.dtwMatrix(series, options),
  })
} finally {
  await stopAgents?.()
  await coordinator?.close()
  rmSync(directory, { recursive: true, force: true })
}

const bits = ({ data }) => new BigUint64Array(data.buffer, data.byteOffset, data.length)
for (const [at, here] of (await matrices('this process', { lcsMatrix, dtwMatrix })).entries()) {
  const [there, wanted] = [bits(found[at]), bits(here)]
  const differs = wanted.findIndex((value, k) => value !== there[k])
  if (there.length !== wanted.length || differs >= 0) throw new Error(`matrix ${at}: the agents and this process disagree at ${differs}`)
}

// ----------------------------------------------------------------------------------------- the same bets
const [together, ...rest] = found
const [curves, apart] = [rest.pop(), rest]
const pairs = []
for (let i = 0; i < size; i++) {
  for (let j = i + 1; j < size; j++) {
    const at = i * size + j
    const [measured, expected] = [together.data[at], apart.reduce((sum, { data }) => sum + data[at] / SHIFTS, 0)]
    // 0: as by chance; 1: the same signals on every day.
    const agreement = expected < 1 ? (measured - expected) / (1 - expected) : 0
    pairs.push({ i, j, measured, expected, agreement, distance: curves.data[at] })
  }
}
pairs.sort((a, b) => b.agreement - a.agreement)

const row = ({ i, j, measured, expected, agreement, distance }) =>
  console.log(
    `  ${`${names[i]} ~ ${names[j]}`.padEnd(34)} ${[measured, expected, agreement].map((x) => x.toFixed(3).padStart(9)).join(' ')} ${distance.toFixed(0).padStart(11)}`,
  )
console.log(dim(`\n  pair                                in common by chance agreement equity, DTW`))
pairs.slice(0, 8).forEach(row)

/** Strategies that hang together by pairs above the threshold. */
const group = names.map((_, i) => i)
const find = (i) => (group[i] === i ? i : (group[i] = find(group[i])))
for (const { i, j, agreement } of pairs) if (agreement >= SAME_BET) group[find(i)] = find(j)
const groups = new Map()
names.forEach((name, i) => groups.set(find(i), [...(groups.get(find(i)) ?? []), name]))
const same = [...groups.values()].filter((members) => members.length > 1).sort((a, b) => b.length - a.length)
heading(`The same bet: agreement of ${SAME_BET} or more, from one to the next`)
for (const members of same) console.log(`  ${members.join(', ')}`)
console.log(`\n  ${size} strategies, ${groups.size} bets. Past agreement says nothing about the next regime.`)

heading('Time')
for (const [name, ms] of times) console.log(`  ${name.padEnd(40)} ${ms.toFixed(0).padStart(6)} ms`)
console.log('  Agents and this process gave the same bits. On one machine they share its processors: agents pay on several.')
