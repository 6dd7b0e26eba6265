/**
 * Against the Python libraries of the field, in their own virtual environment:
 *
 *   npm run bench:python                  makes benches/python/.venv (git-ignored) on first use
 *   npm run bench:python -- --quick       fewer rounds
 *   npm run bench:python -- --record      benches/record/<cpu>/<date>-python.json and .md
 *
 * This process times ours, a Python process (peers.py) times the others; they take turns round by round.
 * PYTHON names the interpreter that makes the environment (3.11 to 3.13; default python3).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PatternLibrary, dtwNearest, dtwSync, lcsSync } from '@neural-trader/midstreamer'
import { assertAgree } from '../js/agreement.mjs'
import { randomWalk, randomWalks, seededRandom, symbols } from '../js/random.mjs'
import { machine, rowLines, writeRecord } from '../js/record.mjs'
import { interleave, settingsFor } from '../js/rounds.mjs'
import { PythonPeers, virtualEnvironment } from './environment.mjs'

const { values: flags } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, record: { type: 'boolean', default: false }, only: { type: 'string' } },
})
if (flags.record && (flags.quick || flags.only)) throw new Error('--record keeps the whole table: leave out --quick and --only')

const inputsFolder = mkdtempSync(join(tmpdir(), 'bench-'))
let files = 0
function store(values) {
  const file = join(inputsFolder, `${files++}.bin`)
  writeFileSync(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return file
}

/** A contender that Python times; `asOurs` brings its value to ours. */
function peer(python, contender, inputs, { goal, asOurs = (value) => value } = {}) {
  const request = (repetitions) => python.ask({ contender, inputs, repetitions })
  return { name: contender, goal, sample: request, result: async () => asOurs((await request(1)).value) }
}

const ours = (name, run) => ({ name, run, result: async () => run() })
const squareOf = (root) => root * root

function pairRows(python, length) {
  const random = seededRandom(11)
  const [a, b] = [randomWalk(length, random), randomWalk(length, random)]
  const inputs = { a: store(a), b: store(b) }
  const goals = length === 1000 ? { aeon: 20, dtaidistance: 25 } : {}
  return [
    {
      name: `DTW of a pair, ${length} x ${length}, (x - y)^2`,
      contenders: [
        ours('ours: dtwSync', () => dtwSync(a, b, { metric: 'squared' })),
        peer(python, 'aeon', inputs, { goal: goals.aeon }),
        peer(python, 'dtaidistance', inputs, { goal: goals.dtaidistance, asOurs: squareOf }),
        peer(python, 'dtaidistance, pruning', inputs, { asOurs: squareOf }),
        peer(python, 'tslearn', inputs, { asOurs: squareOf }),
        peer(python, 'tsdistances', inputs),
      ],
    },
    {
      name: `DTW of a pair, ${length} x ${length}, |x - y|`,
      contenders: [
        ours('ours: dtwSync', () => dtwSync(a, b)),
        peer(python, 'dtaidistance, absolute', inputs),
      ],
    },
    {
      name: `DTW of a pair, ${length} x ${length}, (x - y)^2, band of 10 %`,
      contenders: [
        ours('ours: dtwSync', () => dtwSync(a, b, { metric: 'squared', window: length / 10 })),
        peer(python, 'aeon, band', inputs),
        peer(python, 'dtaidistance, band', inputs, { asOurs: squareOf }),
        peer(python, 'tsdistances, band', inputs),
      ],
    },
  ]
}

function subsequenceRows(python, length, alphabet) {
  const random = seededRandom(12)
  const [a, b] = [symbols(length, alphabet, random), symbols(length, alphabet, random)]
  const [textA, textB] = [a, b].map((codes) => String.fromCharCode(...codes.map((code) => 0x4e00 + code)))
  const inputs = { a: store(a), b: store(b) }
  const title = `LCS of ${length} x ${length} symbols, alphabet of ${alphabet}`
  return [
    {
      name: `${title}, numbers`,
      contenders: [ours('ours: lcsSync (Int32Array)', () => lcsSync(a, b)), peer(python, 'rapidfuzz, list', inputs, { goal: 1 })],
    },
    {
      name: `${title}, text`,
      contenders: [ours('ours: lcsSync (string)', () => lcsSync(textA, textB)), peer(python, 'rapidfuzz, str', inputs, { goal: 1 })],
    },
  ]
}

/** Every series to mean 0 and population standard deviation 1. */
function standardised(data, length) {
  const out = data.slice()
  for (let start = 0; start < out.length; start += length) {
    const row = out.subarray(start, start + length)
    const mean = row.reduce((sum, x) => sum + x, 0) / length
    const deviation = Math.sqrt(row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / length)
    row.forEach((x, i) => { row[i] = (x - mean) / deviation })
  }
  return out
}

/** The nearest of 10,000 z-normalised walks for each of three queries, as the sum of their distances. */
function nearestRows(python) {
  const [length, size, band] = [128, 10000, 12] // floor(10 %)
  const random = seededRandom(13)
  const data = standardised(randomWalks(size, length, random), length)
  const queries = standardised(randomWalks(3, length, random), length)
  const inputs = { a: store(queries), b: store(data) }
  const ids = Array.from({ length: size }, (_, i) => String(i))
  const query = (i) => queries.subarray(i * length, (i + 1) * length)
  const rowFor = (title, window, suffix, goal) => {
    const options = window === undefined ? { metric: 'squared' } : { metric: 'squared', window }
    const library = new PatternLibrary({ length, ...options })
    library.add({ ids, data })
    const bySearch = () => {
      let total = 0
      for (let i = 0; i < 3; i++) total += library.searchSync(query(i), { k: 1 })[0].distance
      return total
    }
    const byBatch = async () => {
      let total = 0
      for (let i = 0; i < 3; i++) total += (await dtwNearest(query(i), { data, length }, options))[0].distance
      return total
    }
    return {
      name: `Nearest of ${size} x ${length}, three queries, (x - y)^2, ${title}`,
      contenders: [
        ours('ours: searchSync, one thread', bySearch),
        ours('ours: dtwNearest, all threads', byBatch),
        peer(python, `dtaidistance, max_dist${suffix}`, inputs, { goal }),
        peer(python, `dtaidistance, SubsequenceSearch${suffix}`, inputs),
        peer(python, `aeon, all distances${suffix}`, inputs),
      ],
    }
  }
  return [rowFor('no band', undefined, ''), rowFor('band of 10 %', band, ', band', 80)]
}

const python = new PythonPeers(virtualEnvironment())
try {
  const { versions, python: pythonVersion } = await python.ask({})
  const facts = { ...machine(), python: pythonVersion, peers: versions }
  console.log(`${facts.cpu}, Node.js ${facts.node}, Python ${facts.python}, kernel ${facts.kernel}, load ${facts.loadAverage[0]}`)
  const all = [
    ...pairRows(python, 1000),
    ...(flags.quick ? [] : pairRows(python, 10000)),
    ...nearestRows(python),
    ...[1000, 10000].flatMap((length) => [4, 100, 5000].flatMap((alphabet) => subsequenceRows(python, length, alphabet))),
  ]
  const rows = []
  for (const { name, contenders } of all) {
    if (flags.only && !name.includes(flags.only)) continue
    const expected = await contenders[0].result()
    for (const contender of contenders) assertAgree(name, contender.name, await contender.result(), expected)
    const row = { name, results: await interleave(contenders, settingsFor(flags.quick)) }
    rows.push(row)
    for (const line of rowLines(row)) console.log(line)
  }
  facts.loadAverageAfter = loadavg().map((load) => Number(load.toFixed(2)))
  if (flags.record) {
    const file = writeRecord({ title: 'Comparison with Python peers', suffix: '-python', facts, rows })
    console.log(`\nRecorded in ${file}.md and .json`)
  }
} finally {
  python.close()
  rmSync(inputsFolder, { recursive: true, force: true })
}
