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

function verdict(row, contender, index) {
  if (index === 0 && row.limitMs !== undefined) {
    return `below ${row.limitMs} ms: ${contender.ms < row.limitMs ? 'yes' : 'no'}`
  }
  if (contender.goal === undefined) return ''
  return `${contender.goal} x: ${contender.ratio >= contender.goal ? 'yes' : 'no'}`
}

/** One block of lines a row, for a terminal. */
export function rowLines(row) {
  return [
    '',
    row.name,
    ...row.results.map((contender, i) => {
      const [ratio, best] = i === 0 ? ['', ''] : [factor(contender.ratio), factor(contender.bestRatio)]
      return `  ${contender.name.padEnd(42)} ${time(contender.ms).padStart(10)} ${ratio.padStart(10)} ${best.padStart(10)}  ${verdict(row, contender, i)}`.trimEnd()
    }),
  ]
}

function inWords(value) {
  if (Array.isArray(value)) return value.join(', ')
  if (typeof value !== 'object') return String(value)
  return Object.entries(value).map(([name, version]) => `${name} ${version}`).join(', ')
}

function markdown(title, facts, rows, notes) {
  const factLines = Object.entries(facts).map(([name, value]) => `| ${name} | ${inWords(value)} |`)
  const blocks = rows.flatMap((row) => [
    '',
    `## ${row.name}`,
    '',
    '| contender | median | times ours | fastest round | times ours | goal |',
    '| --- | ---: | ---: | ---: | ---: | --- |',
    ...row.results.map(
      (contender, i) =>
        `| ${contender.name} | ${time(contender.ms)} | ${i === 0 ? '1' : factor(contender.ratio)} | ` +
        `${time(contender.bestMs)} | ${i === 0 ? '1' : factor(contender.bestRatio)} | ${verdict(row, contender, i)} |`,
    ),
  ])
  return [
    `# ${title}`,
    '',
    'Interleaved rounds in one run; the first ratio is the median of the ratios within a round, the second compares the fastest rounds, which a busy machine disturbs least. Times of different runs do not compare, ratios do.',
    '',
    '| fact | value |',
    '| --- | --- |',
    ...factLines,
    ...blocks,
    ...notes.flatMap((note) => ['', note]),
    '',
  ].join('\n')
}

/**
 * Writes benches/record/<cpu>/<date>[-suffix].json and .md.
 * @returns {string} where, without the ending
 */
export function writeRecord({ title, suffix = '', facts, rows, notes = [], extra = {} }) {
  const slug = facts.cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const folder = fileURLToPath(new URL(`../record/${slug}/`, import.meta.url))
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${facts.date}${suffix}`)
  writeFileSync(`${file}.json`, `${JSON.stringify({ title, facts, rows, ...extra }, null, 2)}\n`)
  writeFileSync(`${file}.md`, markdown(title, facts, rows, notes))
  return file
}
