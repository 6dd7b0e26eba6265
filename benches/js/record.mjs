/** The machine a table was measured on, the table as text, and the two files that keep it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, loadavg, platform, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { version } from '@neural-trader/midstreamer'

/** @returns the facts that a reader needs to judge a figure */
export function machine() {
  const { package: ours, kernel, threads } = version()
  return {
    cpu: cpus()[0].model.trim(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
    node: process.version,
    version: ours,
    kernel,
    threads,
    loadAverage: loadavg().map((load) => Number(load.toFixed(2))),
    date: new Date().toISOString().slice(0, 10),
  }
}

export const time = (ms) =>
  ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 0.1 ? `${ms.toPrecision(3)} ms` : `${(ms * 1000).toPrecision(3)} us`

const factor = (ratio) => `${ratio >= 100 ? ratio.toFixed(0) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2)} x`

const limit = (ms) => (ms >= 0.1 ? `${ms} ms` : `${ms * 1000} us`)
const met = (yes) => (yes ? 'yes' : 'no')

/** What was aimed at, and whether this run is there. */
function verdict(row, contender, index) {
  const { ms, p99Ms, ratio, goal, atMost, limitP99Ms } = contender
  const limitMs = contender.limitMs ?? (index === 0 ? row.limitMs : undefined)
  return [
    ...(limitMs === undefined ? [] : [`below ${limit(limitMs)}: ${met(ms < limitMs)}`]),
    ...(limitP99Ms === undefined ? [] : [`p99 below ${limit(limitP99Ms)}: ${met(p99Ms < limitP99Ms)}`]),
    ...(goal === undefined || index === 0 ? [] : [`${goal} x: ${met(ratio >= goal)}`]),
    ...(atMost === undefined ? [] : [`at most ${atMost} x: ${met(ratio <= atMost)}`]),
  ].join(', ')
}

/** The row was measured call by call. */
const hasQuantiles = (row) => row.results[0].p99Ms !== undefined

/** One block of lines a row, for a terminal. */
export function rowLines(row) {
  return [
    '',
    row.name,
    ...row.results.map((contender, i) => {
      const [ratio, best] = i === 0 ? ['', ''] : [factor(contender.ratio), factor(contender.bestRatio)]
      const p99 = hasQuantiles(row) ? ` ${`p99 ${time(contender.p99Ms)}`.padStart(14)}` : ''
      return `  ${contender.name.padEnd(42)} ${time(contender.ms).padStart(10)}${p99} ${ratio.padStart(10)} ${best.padStart(10)}  ${verdict(row, contender, i)}`.trimEnd()
    }),
  ]
}

function inWords(value) {
  if (Array.isArray(value)) return value.join(', ')
  if (typeof value !== 'object') return String(value)
  return Object.entries(value).map(([name, version]) => `${name} ${version}`).join(', ')
}

function table(row) {
  const quantiles = hasQuantiles(row)
  const columns = ['contender', 'median', ...(quantiles ? ['p99'] : []), 'times ours', 'fastest round', ...(quantiles ? ['p99'] : []), 'times ours', 'goal']
  const cells = (contender, i) => [
    contender.name,
    time(contender.ms),
    ...(quantiles ? [time(contender.p99Ms)] : []),
    i === 0 ? '1' : factor(contender.ratio),
    time(contender.bestMs),
    ...(quantiles ? [time(contender.bestP99Ms)] : []),
    i === 0 ? '1' : factor(contender.bestRatio),
    verdict(row, contender, i),
  ]
  const line = (texts) => `| ${texts.join(' | ')} |`
  const rules = columns.map((_, at) => (at === 0 || at === columns.length - 1 ? '---' : '---:'))
  return [line(columns), line(rules), ...row.results.map((contender, i) => line(cells(contender, i)))]
}

/** The machine as lines of markdown. */
export function factTable(facts) {
  return ['| fact | value |', '| --- | --- |', ...Object.entries(facts).map(([name, value]) => `| ${name} | ${inWords(value)} |`)]
}

function markdown(title, facts, rows, notes) {
  const blocks = rows.flatMap((row) => ['', `## ${row.name}`, '', ...table(row)])
  return [
    `# ${title}`,
    '',
    'Interleaved rounds in one run; the first ratio is the median of the ratios within a round, the second compares the fastest rounds, which a busy machine disturbs least. Times of different runs do not compare, ratios do.',
    '',
    ...factTable(facts),
    ...blocks,
    ...notes.flatMap((note) => ['', note]),
    '',
  ].join('\n')
}

/** Writes both files of benches/record/<cpu>/<date>[-suffix]. @returns where, without the ending */
export function writeFiles(facts, suffix, figures, text) {
  const slug = facts.cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const folder = fileURLToPath(new URL(`../record/${slug}/`, import.meta.url))
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${facts.date}${suffix}`)
  writeFileSync(`${file}.json`, `${JSON.stringify(figures, null, 2)}\n`)
  writeFileSync(`${file}.md`, text)
  return file
}

/**
 * Keeps a table of interleaved rounds.
 * @returns {string} where, without the ending
 */
export function writeRecord({ title, suffix = '', facts, rows, notes = [], extra = {} }) {
  return writeFiles(facts, suffix, { title, facts, rows, ...extra }, markdown(title, facts, rows, notes))
}
