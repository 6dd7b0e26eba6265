/**
 * What the WebAssembly module costs beside the addon, and what is left of its lead over JavaScript and over the npm package midstreamer,
 * which is WebAssembly too. On Node.js, in one process, contenders interleaved round by round.
 *
 *   npm run build:wasm && npm run bench:wasm            all rows
 *   npm run bench:wasm -- --quick                       fewer rounds: does everything run and agree?
 *   npm run bench:wasm -- --record                      benches/record/<cpu>/<date>-wasm.json and .md
 */
import { parseArgs } from 'node:util'
import * as addon from '@neural-trader/midstreamer'
import * as module from '@neural-trader/midstreamer/wasm'
import { checkRow } from './js/agreement.mjs'
import { dtwFullMatrix, dtwRollingRow, lcsFullMatrix } from './js/baseline.mjs'
import { loadPeers, peerVersions } from './js/peers.mjs'
import { randomWalk, randomWalks, seededRandom, symbols } from './js/random.mjs'
import { machine, rowLines, writeRecord } from './js/record.mjs'
import { interleave, settingsFor } from './js/rounds.mjs'

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false }, record: { type: 'boolean', default: false } } })
const MIDSTREAMER = `midstreamer ${peerVersions.midstreamer}`

function pair(length, { midstreamer }) {
  const random = seededRandom(1)
  const [a, b] = [randomWalk(length, random), randomWalk(length, random)]
  return {
    name: `DTW of a pair, ${length} x ${length}, |x - y|`,
    contenders: [
      { name: 'WebAssembly: dtwSync', run: () => module.dtwSync(a, b) },
      { name: 'WebAssembly: await dtw', run: () => module.dtw(a, b) },
      { name: 'addon: dtwSync', run: () => addon.dtwSync(a, b) },
      { name: 'addon: await dtw', run: () => addon.dtw(a, b) },
      { name: 'JavaScript, full matrix', run: () => dtwFullMatrix(a, b) },
      { name: 'JavaScript, rolling row', run: () => dtwRollingRow(a, b) },
      { name: MIDSTREAMER, run: () => midstreamer.dtw(a, b) },
    ],
  }
}

function batch({ midstreamer }) {
  const [count, length] = [5000, 100]
  const random = seededRandom(4)
  const query = randomWalk(length, random)
  const data = randomWalks(count, length, random)
  const rows = Array.from({ length: count }, (_, row) => data.subarray(row * length, (row + 1) * length))
  return {
    name: `DTW of one query of ${length} bars against ${count} windows`,
    contenders: [
      { name: 'WebAssembly: await dtwBatch, all workers', run: () => module.dtwBatch(query, { data, length }) },
      { name: 'addon: await dtwBatch, all threads', run: () => addon.dtwBatch(query, { data, length }) },
      { name: 'JavaScript, full matrix', run: () => rows.map((row) => dtwFullMatrix(query, row)) },
      { name: MIDSTREAMER, run: () => rows.map((row) => midstreamer.dtw(query, row)) },
    ],
  }
}

function commonSubsequence({ midstreamer }) {
  const random = seededRandom(6)
  const [a, b] = [symbols(1000, 100, random), symbols(1000, 100, random)]
  return {
    name: 'LCS of 1000 x 1000 symbols, alphabet of 100',
    contenders: [
      { name: 'WebAssembly: lcsSync', run: () => module.lcsSync(a, b) },
      { name: 'addon: lcsSync', run: () => addon.lcsSync(a, b) },
      { name: 'JavaScript, full matrix', run: () => lcsFullMatrix(a, b) },
      { name: MIDSTREAMER, run: () => midstreamer.lcs(a, b) },
    ],
  }
}

function nearest() {
  const [size, length] = [10_000, 128]
  const random = seededRandom(21)
  const data = randomWalks(size, length, random)
  const query = randomWalk(length, random)
  const found = ({ PatternLibrary }) => {
    const library = new PatternLibrary({ length, window: 13, metric: 'squared', normalize: 'zscore' })
    library.add({ ids: Array.from({ length: size }, (_, i) => String(i)), data })
    return { run: () => library.searchSync(query, { k: 1 }), value: (matches) => matches.flatMap(({ id, distance }) => [Number(id), distance]) }
  }
  return {
    name: `Nearest of ${size} x ${length}, band of 13, z-scores`,
    contenders: [{ name: 'WebAssembly: searchSync', ...found(module) }, { name: 'addon: searchSync', ...found(addon) }],
  }
}

const facts = { ...machine(), wasm: module.version(), peers: { midstreamer: peerVersions.midstreamer } }
console.log(`${facts.cpu}, ${facts.cores} cores, Node.js ${facts.node}, addon ${facts.kernel}, module ${facts.wasm.kernel}, load ${facts.loadAverage[0]}`)
const peers = loadPeers(console.log)
console.log('Medians, how many times the time of the module (first line of each block) that is, and the same for the fastest rounds.')
const rows = []
for (const { name, contenders } of [pair(1000, peers), pair(100, peers), batch(peers), commonSubsequence(peers), nearest()]) {
  await checkRow({ name, contenders })
  const row = { name, results: await interleave(contenders, settingsFor(flags.quick)) }
  rows.push(row)
  for (const line of rowLines(row)) console.log(line)
}
if (flags.record) console.log(`Recorded in ${writeRecord({ title: 'WebAssembly beside the addon', suffix: '-wasm', facts, rows })}.md and .json`)
