'use strict'
// search: where a column of a CSV file looked like this before.

const api = require('../api.js')
const { readColumn } = require('../csv.js')
const { usage } = require('../exit.js')
const { option, choice, integer, string } = require('../options.js')
const { progress } = require('../progress.js')
const { printable, table } = require('../terminal.js')

const command = {
  name: 'search',
  summary: 'find where a series looked like this',
  description: `Finds the windows of a column that are most like the query, by exact dynamic time warping; windows that overlap the query, or each other by more than half, are left out. The file needs a header; rows go from the oldest to the newest and are counted from 1 without it.`,
  arguments: [['<csv>', 'the file, - for the standard input']],
  options: [
    option('column', 'name', string, 'column of the values', { fallback: 'close', shown: 'close' }),
    option('dateColumn', 'name', string, 'column of the dates', { shown: 'one called date, time, timestamp, datetime or day' }),
    option('query', 'rows', string, 'the last N rows (60) or a range of rows (1201-1260)', { fallback: '60', shown: '60' }),
    option('k', 'n', integer(1, 100_000), 'how many', { fallback: 5, shown: '5' }),
    option('metric', 'name', choice('absolute', 'squared', 'euclidean'), 'absolute, squared or euclidean', { fallback: 'absolute', shown: 'absolute' }),
    option('normalize', 'how', choice('zscore', 'minmax', 'none'), 'zscore, minmax or none: done to each window alone', { fallback: 'zscore', shown: 'zscore' }),
    option('window', 'rows', integer(0), 'how far the warping may go, in rows', { shown: 'no limit' }),
  ],
  async run({ settings, args: [file], out }) {
    const { column, dateColumn, k, metric, normalize, window } = settings
    const series = readColumn(file, { column, dateColumn })
    const query = rangeOf(settings.query, series.values.length)
    const started = performance.now()
    const matches = await nearest(series.values, query, { k, metric, normalize, window })
    const elapsedMs = performance.now() - started
    const found = matches.map(({ start, distance }) => placeOf(start, start + query.length, series, { distance }))
    const asked = placeOf(query.start, query.start + query.length, series)
    const document = { column: series.column, rows: series.values.length, query: { ...asked, length: query.length }, metric, normalize, window: window ?? null, elapsedMs, matches: found }
    out.result(document, linesOf(document, series, out))
  },
}

/** The rows of the query, from 0: `{ start, length }`. */
function rangeOf(text, rows) {
  const parts = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text)
  if (parts === null) throw usage(`--query must be a number of rows such as 60, or a range such as 1201-1260, got ${JSON.stringify(text)}`)
  const [first, last] = parts[2] === undefined ? [rows - Number(parts[1]) + 1, rows] : [Number(parts[1]), Number(parts[2])]
  if (first > last) throw usage(`--query ${text}: there is no row in it`)
  if (first < 1 || last > rows) throw usage(`--query ${text}: the file has ${rows} rows`)
  return { start: first - 1, length: last - first + 1 }
}

/** The k best windows before and after the query, best first. */
async function nearest(values, { start, length }, options) {
  const query = values.subarray(start, start + length)
  const parts = [{ from: 0, to: start }, { from: start + length, to: values.length }].filter(({ from, to }) => to - from >= length)
  if (parts.length === 0) throw usage(`--query has ${length} rows, and nowhere else in the file are as many in a row`)
  const total = parts.reduce((sum, { from, to }) => sum + to - from - length + 1, 0)
  const bar = progress('searching')
  const found = []
  let before = 0
  try {
    for (const { from, to } of parts) {
      const onProgress = (done) => bar.update(before + done, total)
      const matches = await api.subsequenceSearch(query, values.subarray(from, to), { ...options, onProgress })
      found.push(...matches.map(({ start: at, distance }) => ({ start: from + at, distance })))
      before += to - from - length + 1
    }
  } finally {
    bar.end()
  }
  return found.sort((a, b) => a.distance - b.distance || a.start - b.start).slice(0, options.k)
}

/** Rows as people count them, the line of the first one, and dates where there are any. */
function placeOf(start, end, { lines, dates }, more) {
  const rows = { ...more, firstRow: start + 1, lastRow: end, line: lines[start] }
  return dates === undefined ? rows : { ...rows, from: dates[start], to: dates[end - 1] }
}

function linesOf({ query, matches, elapsedMs, rows, column }, { dates }, out) {
  const said = ({ firstRow, lastRow, from, to }) => (dates === undefined ? `rows ${firstRow}-${lastRow}` : `${printable(from)} to ${printable(to)} (rows ${firstRow}-${lastRow})`)
  const columns = [
    { title: '#', right: true }, { title: 'distance', right: true },
    ...(dates === undefined ? [] : [{ title: 'from' }, { title: 'to', priority: 1 }]),
    { title: 'rows', priority: dates === undefined ? 0 : 2 },
  ]
  const cells = matches.map(({ distance, firstRow, lastRow, from, to }, i) => [
    String(i + 1), distance.toPrecision(6), ...(dates === undefined ? [] : [printable(from), printable(to)]), `${firstRow}-${lastRow}`,
  ])
  return [
    `most like ${said(query)}, of ${rows} rows of ${printable(column)}`,
    '',
    ...table(columns, cells, { width: out.width, paint: out.paint }),
    '',
    out.paint.dim(`${elapsedMs.toFixed(1)} ms. That windows look alike does not say that what follows does.`),
  ]
}

module.exports = { commands: [command] }
