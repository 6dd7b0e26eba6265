/**
 * The rows of the comparison. In each row the first contender is ours and everybody returns the same
 * numbers; `goal` is the ratio to ours that the project aims at, `limitMs` the time.
 */
import { dtw, dtwAlign, dtwBatch, dtwSync, lcs, lcsMatrix, lcsSync } from '@neural-trader/midstreamer'
import { peerVersions } from './peers.mjs'
import { randomWalk, randomWalks, seededRandom, signals, symbols } from './random.mjs'
import { searchWorkloads } from './search-workloads.mjs'

/**
 * `measure` is `interleave` unless the row says otherwise.
 * @typedef {{ name: string, contenders: import('./rounds.mjs').Contender[], limitMs?: number, quick?: boolean, measure?: typeof import('./rounds.mjs').interleave }} Row
 */

const MIDSTREAMER = `midstreamer ${peerVersions.midstreamer}`
const NEURAL_TRADER = `neural-trader ${peerVersions['neural-trader']}`
const DTW = `npm dtw ${peerVersions.dtw}`
const DYNAMIC_TIME_WARPING = `npm dynamic-time-warping ${peerVersions['dynamic-time-warping']}`

/** Contenders of a platform for which a peer has no binary are left out. */
const present = (contenders) => contenders.filter(Boolean)

function pair(length, seed) {
  const random = seededRandom(seed)
  return [randomWalk(length, random), randomWalk(length, random)]
}

function absolutePair({ midstreamer, neuralTrader, Dtw, DynamicTimeWarping }, { dtwFullMatrix, dtwRollingRow }) {
  const [a, b] = pair(1000, 1)
  const manhattan = new Dtw({ distanceMetric: 'manhattan' })
  const [listA, listB] = [[...a], [...b]] // npm dtw refuses typed arrays
  return {
    name: 'DTW of a pair, 1000 x 1000, |x - y|',
    quick: true,
    contenders: present([
      { name: 'ours: dtwSync', run: () => dtwSync(a, b) },
      { name: 'ours: await dtw', run: () => dtw(a, b) },
      { name: 'ours: await dtwAlign (with path)', run: () => dtwAlign(a, b), value: ({ distance }) => distance },
      { name: 'JavaScript, full matrix', run: () => dtwFullMatrix(a, b), goal: 60 },
      { name: 'JavaScript, rolling row', run: () => dtwRollingRow(a, b) },
      { name: MIDSTREAMER, run: () => midstreamer.dtw(a, b), goal: 160 },
      neuralTrader && { name: `${NEURAL_TRADER} dtwDistanceRust`, run: () => neuralTrader.dtwDistanceRust(a, b).distance, goal: 60 },
      neuralTrader && { name: `${NEURAL_TRADER} ...Optimized`, run: () => neuralTrader.dtwDistanceRustOptimized(a, b).distance, goal: 35 },
      { name: DTW, run: () => manhattan.compute(listA, listB) },
      { name: DYNAMIC_TIME_WARPING, run: () => new DynamicTimeWarping(a, b, (x, y) => Math.abs(x - y)).getDistance() },
    ]),
  }
}

function squaredPair({ Dtw }, { dtwRollingRow }) {
  const [a, b] = pair(1000, 1)
  const squared = new Dtw()
  const [listA, listB] = [[...a], [...b]]
  return {
    name: 'DTW of a pair, 1000 x 1000, (x - y)^2',
    contenders: [
      { name: 'ours: dtwSync', run: () => dtwSync(a, b, { metric: 'squared' }) },
      { name: 'JavaScript, rolling row', run: () => dtwRollingRow(a, b, { metric: 'squared' }) },
      { name: DTW, run: () => squared.compute(listA, listB) },
    ],
  }
}

/** midstreamer takes a window and ignores it, so it has no place here. */
function bandedPair(length, window, { Dtw }, { dtwRollingRow }) {
  const [a, b] = pair(length, 2)
  const manhattan = new Dtw({ distanceMetric: 'manhattan' })
  const [listA, listB] = [[...a], [...b]]
  return {
    name: `DTW of a pair, ${length} x ${length}, band of ${window}`,
    contenders: [
      { name: 'ours: dtwSync', run: () => dtwSync(a, b, { window }) },
      { name: 'JavaScript, rolling row', run: () => dtwRollingRow(a, b, { window }) },
      { name: DTW, run: () => manhattan.compute(listA, listB, window) },
    ],
  }
}

function shortPair(length, { midstreamer, neuralTrader }, { dtwFullMatrix, dtwRollingRow }) {
  const [a, b] = pair(length, 3)
  return {
    name: length === 1 ? 'One call: DTW of 1 x 1' : `DTW of a pair, ${length} x ${length}, |x - y|`,
    quick: length === 1 || length === 100,
    contenders: present([
      { name: 'ours: dtwSync', run: () => dtwSync(a, b) },
      { name: 'ours: await dtw', run: () => dtw(a, b) },
      { name: 'JavaScript, full matrix', run: () => dtwFullMatrix(a, b) },
      { name: 'JavaScript, rolling row', run: () => dtwRollingRow(a, b) },
      { name: MIDSTREAMER, run: () => midstreamer.dtw(a, b) },
      neuralTrader && { name: `${NEURAL_TRADER} dtwDistanceRust`, run: () => neuralTrader.dtwDistanceRust(a, b).distance },
      neuralTrader && { name: `${NEURAL_TRADER} ...Optimized`, run: () => neuralTrader.dtwDistanceRustOptimized(a, b).distance },
    ]),
  }
}

function batch({ midstreamer, neuralTrader }, { dtwFullMatrix, dtwRollingRow }) {
  const [count, length] = [5000, 100]
  const random = seededRandom(4)
  const query = randomWalk(length, random)
  const data = randomWalks(count, length, random)
  const candidates = { data, length }
  const rows = Array.from({ length: count }, (_, row) => data.subarray(row * length, (row + 1) * length))
  return {
    name: `DTW of one query of ${length} bars against ${count} windows`,
    quick: true,
    limitMs: 6.5,
    contenders: present([
      { name: 'ours: await dtwBatch', run: () => dtwBatch(query, candidates) },
      { name: 'JavaScript, full matrix', run: () => rows.map((row) => dtwFullMatrix(query, row)), goal: 90 },
      { name: 'JavaScript, rolling row', run: () => rows.map((row) => dtwRollingRow(query, row)) },
      { name: MIDSTREAMER, run: () => rows.map((row) => midstreamer.dtw(query, row)) },
      neuralTrader && { name: `${NEURAL_TRADER} dtwBatch`, run: () => neuralTrader.dtwBatch(query, data, length) },
      neuralTrader && { name: `${NEURAL_TRADER} dtwBatchParallel`, run: () => neuralTrader.dtwBatchParallel(query, data, length), goal: 25 },
      neuralTrader && { name: `${NEURAL_TRADER} dtwBatchAdaptive`, run: () => neuralTrader.dtwBatchAdaptive(query, data, length) },
    ]),
  }
}

function strategyMatrix({ midstreamer }, { lcsFullMatrix, lcsMatrixOf, lcsRollingRow }) {
  const [count, length] = [50, 450]
  const random = seededRandom(5)
  const streams = Array.from({ length: count }, () => signals(length, random))
  const codes = new Map([...new Set(streams.flat())].map((signal, code) => [signal, code]))
  const coded = streams.map((stream) => Int32Array.from(stream, (signal) => codes.get(signal)))
  return {
    name: `LCS of ${count} strategies, ${length} signals each, all pairs`,
    quick: true,
    contenders: [
      { name: 'ours: await lcsMatrix (strings)', run: () => lcsMatrix(streams), value: ({ data }) => data },
      { name: 'JavaScript, full matrix (strings)', run: () => lcsMatrixOf(lcsFullMatrix, streams), goal: 600 },
      { name: 'JavaScript, rolling row (strings)', run: () => lcsMatrixOf(lcsRollingRow, streams) },
      { name: `${MIDSTREAMER} (Int32Array)`, run: () => lcsMatrixOf((a, b) => midstreamer.lcs(a, b), coded), slow: true },
    ],
  }
}

/** The full matrix of 10,000 x 10,000 numbers does not fit into the heap of Node.js. */
function commonSubsequence(length, alphabet, { midstreamer }, { lcsFullMatrix, lcsRollingRow }) {
  const random = seededRandom(6)
  const [a, b] = [symbols(length, alphabet, random), symbols(length, alphabet, random)]
  const [textA, textB] = [a, b].map((codes) => String.fromCharCode(...codes.map((code) => 0x4e00 + code)))
  return {
    name: `LCS of ${length} x ${length} symbols, alphabet of ${alphabet}`,
    quick: length === 1000,
    contenders: present([
      { name: 'ours: lcsSync (Int32Array)', run: () => lcsSync(a, b) },
      { name: 'ours: await lcs (Int32Array)', run: () => lcs(a, b) },
      { name: 'ours: lcsSync (string)', run: () => lcsSync(textA, textB) },
      length <= 1000 && { name: 'JavaScript, full matrix', run: () => lcsFullMatrix(a, b) },
      { name: 'JavaScript, rolling row', run: () => lcsRollingRow(a, b) },
      { name: MIDSTREAMER, run: () => midstreamer.lcs(a, b), goal: 800 },
    ]),
  }
}

/**
 * A fresh instance of the baseline for every row: the engine specialises a function by what it has seen,
 * and one that has run on strings and on numbers is slower on both than a trader's own would be.
 */
let instances = 0
const freshBaseline = () => import(`./baseline.mjs?row=${instances++}`)

/** @returns {Promise<Row[]>} */
export async function workloads(peers, quick) {
  const rows = [
    absolutePair(peers, await freshBaseline()),
    squaredPair(peers, await freshBaseline()),
    bandedPair(1000, 100, peers, await freshBaseline()),
    bandedPair(128, 13, peers, await freshBaseline()),
    batch(peers, await freshBaseline()),
    strategyMatrix(peers, await freshBaseline()),
    ...(await searchWorkloads()),
  ]
  for (const length of [1000, 10000]) {
    for (const alphabet of [4, 100, 5000]) rows.push(commonSubsequence(length, alphabet, peers, await freshBaseline()))
  }
  for (const length of [1, 20, 50, 100, 200]) rows.push(shortPair(length, peers, await freshBaseline()))
  if (!quick) return rows
  return rows.filter((row) => row.quick).map((row) => ({ ...row, contenders: row.contenders.filter(({ slow }) => !slow) }))
}
