/**
 * PatternLearner from JavaScript: what a match costs with its record, and how many records a second are durable. Beside the
 * fsyncs that this disk does in the same run, since a durable record waits for one.
 *
 *   npm run bench:learn                     everything
 *   npm run bench:learn -- --quick          short rounds: does everything run?
 *   npm run bench:learn -- --data FOLDER    where durable learners and fsyncs are written; default: the folder of temporary files
 *   npm run bench:learn -- --record         benches/record/<cpu>/<date>-learn.json and .md
 *
 * What the policies earn where the truth is known, and the cost of one outcome in the core: cargo bench --bench learn.
 */
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PatternLearner, PatternLibrary } from '@neural-trader/midstreamer'
import { factTable, machine, time, writeFiles } from '../js/record.mjs'

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false }, record: { type: 'boolean', default: false }, data: { type: 'string', default: tmpdir() } } })
if (flags.record && flags.quick) throw new Error('--record keeps the whole table: leave out --quick')

const [PATTERNS, LENGTH] = [10_000, 128]
const DAY = 86_400_000
const folder = mkdtempSync(join(flags.data, 'bench-learn-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

/** Numbers that are the same in every run: mulberry32. */
function generator(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const random = generator(1)
function walk() {
  let price = 0
  return Float64Array.from({ length: LENGTH }, () => (price += random() - 0.5))
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))]

const library = new PatternLibrary({ length: LENGTH, normalize: 'zscore', window: 13 })
library.add(Array.from({ length: PATTERNS }, (_, i) => (
  { id: `p${i}`, values: walk(), meta: { endsAt: i, outcome: random() - 0.5, outcomeAt: i + 1, patternType: `family ${i % 5}` } })))

/** One match after the other, each with its outcome a step later: match() alone, and resolve() alone. */
async function steady(dataDir, count) {
  const learner = await PatternLearner.open({ library, ...(dataDir === undefined ? {} : { dataDir }) })
  const [match, resolve] = [[], []]
  for (let n = 0; n < count; n++) {
    const at = DAY + n * 10
    const values = walk()
    let begun = performance.now()
    const { experienceId } = await learner.match(values, { symbol: 'BENCH', timeframe: '1d', at, horizonEndsAt: at + 5 })
    match.push(performance.now() - begun)
    begun = performance.now()
    await learner.resolve(experienceId, 0.01 * (random() - 0.5), at + 5)
    resolve.push(performance.now() - begun)
  }
  await learner.close()
  return { match, resolve }
}

/** Many records at a time, as from many symbols at the close of a bar: durable ones a second. */
async function concurrent(dataDir, count, atOnce) {
  const learner = await PatternLearner.open({ library, dataDir })
  const values = walk()
  let next = 0
  const worker = async () => {
    while (next < count) {
      const n = next++
      await learner.record({ patternType: `family ${n % 5}`, values, similarity: 0.9, confidence: 0.6, predicted: 0.01, context: { symbol: 'BENCH', timeframe: '1d' }, at: n })
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: atOnce }, worker))
  const ms = performance.now() - begun
  await learner.close()
  return count / (ms / 1000)
}

/** Milliseconds of one fsync of this disk, after a page was written. */
function fsyncs(count) {
  const file = openSync(join(folder, 'fsync'), 'w')
  const page = Buffer.alloc(4096, 7)
  const taken = []
  for (let n = 0; n < count; n++) {
    writeSync(file, page, 0, page.length, n * page.length)
    const begun = performance.now()
    fsyncSync(file)
    taken.push(performance.now() - begun)
  }
  closeSync(file)
  return taken
}

const met = (yes) => (yes ? 'yes' : 'no')
const facts = machine()
const rounds = flags.quick ? 1 : 5
const figures = { match: [], resolve: [], durableMatch: [], perSecond: [], fsync: [] }
for (let round = 0; round < rounds; round++) {
  const memory = await steady(undefined, flags.quick ? 50 : 400)
  figures.match.push(...memory.match)
  figures.resolve.push(...memory.resolve)
  figures.fsync.push(...fsyncs(flags.quick ? 20 : 100))
  figures.durableMatch.push(...(await steady(join(folder, `steady-${round}`), flags.quick ? 20 : 100)).match)
  figures.perSecond.push(await concurrent(join(folder, `many-${round}`), flags.quick ? 2000 : 20_000, 256))
}
facts.loadAverageAfter = loadavg().map((load) => Number(load.toFixed(2)))
const [match, resolve, perSecond, fsync] = [median(figures.match), median(figures.resolve), median(figures.perSecond), median(figures.fsync)]
const title = 'PatternLearner'
const lines = [
  `# ${title}`, '', ...factTable(facts), '',
  '| what | median | p99 | beside it in this run | goal | met |', '| --- | ---: | ---: | ---: | --- | --- |',
  `| match + record, ${PATTERNS} x ${LENGTH}, band of 13, in memory | ${time(match)} | ${time(quantile(figures.match, 0.99))} | | below 5 ms | ${met(match < 5)} |`,
  `| resolve + verdict + adapt from JavaScript, in memory | ${time(resolve)} | ${time(quantile(figures.resolve, 0.99))} | | below 0.1 ms | ${met(resolve < 0.1)} |`,
  `| match + record, durable | ${time(median(figures.durableMatch))} | ${time(quantile(figures.durableMatch, 0.99))} | an fsync: ${time(fsync)} | | |`,
  `| durable records a second, 256 at a time | ${Math.round(perSecond).toLocaleString('en-US')}/s | | fsyncs: ${Math.round(1000 / fsync).toLocaleString('en-US')}/s | above 5,000/s | ${met(perSecond > 5000)} |`,
]
console.log(lines.join('\n'))
if (flags.record) {
  const file = writeFiles(facts, '-learn', { title, facts, figures: { match, resolve, perSecond, fsync } }, lines.join('\n'))
  console.log(`\nRecorded in ${file}.md and .json`)
}
