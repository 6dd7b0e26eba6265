/**
 * Whether 1-NN classification with this package makes the errors that the UCR archive publishes:
 *
 *   npm run check:ucr      makes benches/python/.venv (git-ignored) on first use, as `npm run bench:python` does
 *
 * The data sets come with the aeon wheel and are used as they are shipped. Published are the rates of misclassified
 * test series, to four digits, for Euclidean distance, DTW with the window that was learned on the training set (in per
 * cent of the length) and DTW without one (Dau and others, "The UCR time series archive", 2018, its DataSummary.csv).
 * All distances are compared as sums of squares, which have the same order as their roots; Euclidean distance is DTW
 * with a window of 0. PatternLibrary and dtwNearest have to find the same series at the same distance.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PatternLibrary, dtwNearest } from '@neural-trader/midstreamer'
import { virtualEnvironment } from './environment.mjs'

/** Per data set: rates for Euclidean distance, DTW with the learned window (and that window in per cent), DTW. */
const PUBLISHED = {
  GunPoint: { euclidean: 0.0867, learned: 0.0867, percent: 0, full: 0.0933 },
  ItalyPowerDemand: { euclidean: 0.0447, learned: 0.0447, percent: 0, full: 0.0496 },
  ArrowHead: { euclidean: 0.2, learned: 0.2, percent: 0, full: 0.2971 },
  OSULeaf: { euclidean: 0.4793, learned: 0.3884, percent: 7, full: 0.4091 },
  ACSF1: { euclidean: 0.46, learned: 0.38, percent: 4, full: 0.36 },
}

const folder = fileURLToPath(new URL('ucr-data', import.meta.url))

function load(name) {
  const description = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))
  const split = (part) => {
    const { buffer, byteOffset, byteLength } = readFileSync(join(folder, `${name}_${part}.f64`))
    const { count, length, classes } = description[part]
    const data = new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength))
    if (data.length !== count * length || classes.length !== count) throw new Error(`${name}_${part}: not ${count} series of ${length}`)
    return { data, count, length, classes, series: (i) => data.subarray(i * length, (i + 1) * length) }
  }
  return { train: split('TRAIN'), test: split('TEST') }
}

/** The share of test series whose nearest training series is of another class; of several nearest, the first decides. */
async function errorRate({ train, test }, window) {
  const options = window === undefined ? { metric: 'squared' } : { metric: 'squared', window }
  const library = new PatternLibrary({ length: train.length, ...options })
  library.add({ ids: train.classes.map((_, i) => String(i)), data: train.data, meta: train.classes })
  let errors = 0
  for (let i = 0; i < test.count; i++) {
    const [match] = library.searchSync(test.series(i), { k: 1 })
    const [nearest] = await dtwNearest(test.series(i), { data: train.data, length: train.length }, options)
    if (match.id !== String(nearest.index) || match.distance !== nearest.distance) {
      throw new Error(`test series ${i}: the library finds ${match.id} at ${match.distance}, dtwNearest ${nearest.index} at ${nearest.distance}`)
    }
    if (match.meta !== test.classes[i]) errors++
  }
  return errors / test.count
}

const names = Object.keys(PUBLISHED)
if (!names.every((name) => existsSync(join(folder, `${name}.json`)))) {
  execFileSync(virtualEnvironment(), [fileURLToPath(new URL('ucr_export.py', import.meta.url)), folder, ...names], { stdio: 'inherit' })
}

const started = performance.now()
let disagreements = 0
const table = []
for (const name of names) {
  const { percent, ...rates } = PUBLISHED[name]
  const data = load(name)
  const windows = { euclidean: 0, learned: Math.ceil((data.train.length * percent) / 100), full: undefined }
  for (const [measure, published] of Object.entries(rates)) {
    const ours = await errorRate(data, windows[measure])
    const agrees = Math.abs(ours - published) <= 0.00005 + 1e-12
    if (!agrees) disagreements++
    table.push({ 'data set': name, 'train, test': `${data.train.count}, ${data.test.count}`, length: data.train.length, measure, window: windows[measure] ?? '-', published, ours: Number(ours.toFixed(4)), agrees })
  }
}
console.table(table)
console.log(`${((performance.now() - started) / 1000).toFixed(1)} s`)
if (disagreements > 0) {
  console.error(`${disagreements} of ${table.length} error rates are not the published ones`)
  process.exitCode = 1
}
