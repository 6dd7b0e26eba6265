// Commands that need no swarm: search in CSV files, bench, doctor; and what they are made of.

import assert from 'node:assert/strict'
import { chmodSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Coordinator, subsequenceSearch } from '@neural-trader/midstreamer'
import { cli, folder, json, write } from './support/cli.mjs'

const require = createRequire(import.meta.url)
const { readRows } = require('../js/cli/csv.js')
const { parse, histograms, quantile, since, total } = require('../js/cli/exposition.js')
const { view } = require('../js/cli/status-view.js')
const { latenciesOf } = require('../js/cli/coordinator-view.js')
const { age, bytes, count, millis, paint, printable, table, widthOf } = require('../js/cli/terminal.js')
const { progress } = require('../js/cli/progress.js')

const SP500 = fileURLToPath(new URL('../node_modules/vega-datasets/data/sp500-2000.csv', import.meta.url))

test('search finds what the function finds, in a file of real prices', async (t) => {
  const cwd = folder(t)
  const [header, ...rows] = readFileSync(SP500, 'utf8').trim().split(/\r?\n/).map((line) => line.split(','))
  const at = header.indexOf('close')
  const closes = Float64Array.from(rows, (row) => Number(row[at]))
  const options = ['--query', '20', '--k', '3', '--window', '2', '--metric', 'squared']
  const found = await json(['search', SP500, ...options], { cwd })
  const wanted = await subsequenceSearch(closes.subarray(-20), closes.subarray(0, -20), { k: 3, window: 2, metric: 'squared', normalize: 'zscore' })
  assert.deepEqual(found.matches.map(({ firstRow, distance }) => [firstRow - 1, distance]), wanted.map(({ start, distance }) => [start, distance]))
  assert.deepEqual([found.rows, found.query.lastRow, found.query.length], [closes.length, closes.length, 20])
  assert.deepEqual(found.matches.map(({ from, line }) => [from, line]), wanted.map(({ start }) => [rows[start][0], start + 2]))
  const { code, stdout } = await cli(['search', SP500, ...options], { cwd })
  assert.equal(code, 0)
  for (const { from, to } of found.matches) assert.ok(stdout.includes(`${from}  ${to}`), stdout)
})

test('search looks on both sides of a query in the middle, and never into it', async (t) => {
  const cwd = folder(t)
  const wave = Array.from({ length: 60 }, (_, i) => Math.sin(i / 3) + i / 100)
  const csv = write(cwd, 'wave.csv', `v\n${wave.join('\n')}\n`)
  const { matches, query } = await json(['search', csv, '--column', 'V', '--query', '21-30', '--k', '9', '--normalize', 'none'], { cwd })
  assert.deepEqual([query.firstRow, query.lastRow, query.from], [21, 30, undefined])
  assert.ok(matches.some(({ lastRow }) => lastRow <= 20) && matches.some(({ firstRow }) => firstRow >= 31))
  assert.ok(matches.every(({ firstRow, lastRow }) => lastRow <= 20 || firstRow >= 31))
  assert.deepEqual(matches.map(({ distance }) => distance), matches.map(({ distance }) => distance).sort((a, b) => a - b))
  for (const [rows, expected] of [['61', /the file has 60 rows/], ['0', /there is no row in it/], ['5-4', /no row in it/], ['0-4', /has 60 rows/], ['50-61', /has 60 rows/], ['1-40', /nowhere else/], ['x', /must be a number of rows/]]) {
    const { code, stderr } = await cli(['search', csv, '--column', 'v', '--query', rows], { cwd })
    assert.match(stderr, expected, rows)
    assert.equal(code, 2, rows)
  }
})

test('CSV as people have it', async (t) => {
  const rowsOf = (text, separator = ',') => {
    const rows = []
    readRows(text, 'a.csv', separator, (fields, line) => rows.push([line, ...fields]))
    return rows
  }
  assert.deepEqual(rowsOf('\ufeffa,b\r\n"x, ""y""\n",2\r\n\r\n3,\r\n'), [[1, 'a', 'b'], [2, 'x, "y"\n', '2'], [5, '3', '']])
  assert.deepEqual(rowsOf('a;b\n1;2', ';'), [[1, 'a', 'b'], [2, '1', '2']])
  assert.deepEqual(rowsOf(''), [])
  assert.deepEqual(rowsOf('a,'), [[1, 'a', '']])
  assert.throws(() => rowsOf('a\n"b'), /a\.csv:2: a quoted field that does not end/)
  assert.throws(() => rowsOf('"a"b,c'), /a\.csv:1: "b" after a quoted field/)

  const cwd = folder(t)
  const good = Array.from({ length: 9 }, (_, i) => `2020-01-0${i + 1};"1${i},5"`)
  const quoted = write(cwd, 'quoted.csv', `\ufeffDate;"Close, adjusted";x\r\n${good.map((row, i) => `${row.replace(/"1(\d),5"/, '"1$1.5"')};${i}`).join('\r\n')}\r\n`)
  const { column, matches } = await json(['search', quoted, '--column', 'close, ADJUSTED', '--query', '3', '--k', '1'], { cwd })
  assert.deepEqual([column, matches[0].from.slice(0, 8)], ['Close, adjusted', '2020-01-'])
  const fromStdin = await cli(['search', '-', '--query', '1', '--json'], { cwd, input: 'close\n1\n2\n' })
  assert.equal(fromStdin.code, 0, fromStdin.stderr)
  const cases = [
    ['close\n1\n\n3\n,\n', /bad\.csv:5: 2 fields, and the header has 1/], ['a,close\n1,2\n1,\n', /bad\.csv:3: no value in the column "close"/],
    ['close\n1\nNaN\n', /bad\.csv:3: "NaN" in the column "close" is no finite number/], ['close\n1\n0x10\n', /"0x10".*no finite number/], ['close\n1e999\n', /"1e999"/],
    ['close\n1,5\n', /2 fields/], ['', /the file is empty/], ['close\n', /a header and no row/],
  ]
  for (const [text, expected] of cases) {
    const { code, stderr } = await cli(['search', write(cwd, 'bad.csv', text), '--query', '1'], { cwd })
    assert.match(stderr, expected, text)
    assert.equal(code, 1, text)
  }
  const missing = await cli(['search', quoted], { cwd })
  assert.equal(missing.code, 2)
  assert.match(missing.stderr, /no column "close"; there are "Date", "Close, adjusted", "x"/)
})

test('bench compares results and gives ratios', async (t) => {
  const { machine, rows } = await json(['bench', '--rounds', '3'], { cwd: folder(t) })
  assert.equal(machine.node, process.versions.node)
  assert.ok(rows.length >= 4)
  for (const { oursMs, plainMs, ratio } of rows) assert.ok(oursMs > 0 && plainMs > 0 && ratio > 0)
})

test('doctor: what is well, what is not, and what to do', async (t) => {
  const cwd = folder(t)
  const well = await json(['doctor'], { cwd })
  assert.ok(well.ok && well.checks.every(({ status }) => status === 'ok' || status === 'warning'))
  assert.match(well.checks.find(({ name }) => name === 'QUIC on this machine').detail, /a task went over UDP/)
  const its = await Coordinator.start({ http: '127.0.0.1:0' })
  t.after(() => its.close())
  await json(['ca', 'init'], { cwd })
  await json(['ca', 'issue', 'w1'], { cwd })
  const args = ['doctor', '--address', its.address, '--url', `http://${its.httpAddress}`, '--identity', 'w1']
  const all = await json(args, { cwd, env: { MIDSTREAMER_DATADIR: 'a slip' } })
  const of = (report, name) => report.checks.find((check) => check.name.startsWith(name))
  assert.match(of(all, 'coordinator').detail, /refuses a stranger/)
  assert.match(of(all, 'identity').detail, /agent\/w1: ends in 89 d/)
  assert.match(of(all, 'authority').detail, /ends in/)
  assert.match(of(all, 'clock').detail, /coordinator's/)
  assert.match(of(all, 'configuration').detail, /MIDSTREAMER_DATADIR is not known/)
  assert.equal(its.stats().agents, 0)

  if (process.platform !== 'win32') chmodSync(join(cwd, 'w1', 'private-key.pem'), 0o644)
  const bad = await cli(['doctor', '--json', '--url', 'http://127.0.0.1:9', '--identity', 'w1', '--authority', 'none'], { cwd })
  assert.equal(bad.code, 3)
  const report = JSON.parse(bad.stdout)
  assert.deepEqual([of(report, 'monitoring').status, of(report, 'authority').status], ['failed', 'failed'])
  if (process.platform !== 'win32') assert.match(of(report, 'identity').detail, /others can read .*private-key\.pem/)
  for (const { status, advice } of report.checks) assert.equal(status === 'ok', advice === undefined)
  const text = await cli(['doctor', '--identity', 'none.json'], { cwd })
  assert.equal(text.code, 3)
  assert.match(text.stdout, /^failed {3}identity .*none\.json: there is no identity/m)
})

const METRICS = `# TYPE a histogram
a_bucket{kind="x\\"y",le="1"} 2
a_bucket{kind="x\\"y",le="10"} 4
a_bucket{kind="x\\"y",le="+Inf"} 5
a_sum{kind="x\\"y"} 60
a_count{kind="x\\"y"} 5
b_total{reason="p"} 3
b_total{reason="q"} 4
`

test('metrics are read as Prometheus does', () => {
  const samples = parse(METRICS)
  assert.deepEqual([total(samples, 'b_total'), total(samples, 'none')], [7, 0])
  const histogram = histograms(samples, 'a').get('x"y')
  assert.deepEqual([histogram.count, histogram.sum, histogram.bounds], [5, 60, [1, 10, Infinity]])
  assert.equal(quantile(histogram, 0.2), 0.5)
  assert.equal(quantile(histogram, 0.6), 1 + 9 / 2)
  assert.equal(quantile(histogram, 0.99), 10)
  assert.ok(Number.isNaN(quantile({ bounds: [], counts: [], count: 0 }, 0.5)))
  const later = { ...histogram, counts: [2, 8, 9], count: 9, sum: 90 }
  assert.deepEqual(since(later, histogram), { bounds: histogram.bounds, counts: [0, 4, 4], count: 4, sum: 30 })
  assert.equal(since(histogram, later), histogram)
})

/** A reading with so many agents, as the control socket gives it. */
function reading(agents, done = 5) {
  const bucket = (name, le, value) => `${name}_bucket{kind="backtest.crossover",le="${le}"} ${value}\n`
  const metrics = ['midstreamer_task_queue_duration_ms', 'midstreamer_task_run_duration_ms']
    .map((name) => `${bucket(name, 1, 0)}${bucket(name, 10, done)}${bucket(name, '+Inf', done)}${name}_sum{kind="backtest.crossover"} 20\n${name}_count{kind="backtest.crossover"} ${done}\n`)
  const agent = (_, i) => ({
    id: `agent-${i}`, type: 'evil\x1b[2J\u202etype', load: i % 2, running: i, completed: 10 * i, failed: i % 3, rttMs: 0.25, memoryBytes: 2 ** 26,
    lastSeenAt: 1000, connectedAt: 0, remoteAddress: '10.0.0.1:5000',
  })
  const stats = { agents, queued: 3, running: 0, completed: done, failed: 1, retried: 2, deadLettered: 1, bytesIn: 1e6, bytesOut: 2e6, uptimeMs: 3_700_000 }
  return { at: 10_000 * done, id: 'desk-1', address: '10.0.0.1:4433', ready: true, stats, agents: Array.from({ length: agents }, agent), metrics: metrics.join('') }
}

test('the view fits into every terminal', () => {
  for (const colours of [true, false]) {
    for (const width of [20, 39, 60, 80, 200]) {
      for (const height of [12, 24, 60]) {
        for (const agents of [0, 1, 40]) {
          const lines = view(reading(agents), undefined, { width, height, paint: paint(colours) })
          for (const line of lines) assert.ok(widthOf(line) <= width, `${widthOf(line)} columns of ${width}: ${line}`)
          const text = lines.join('\n')
          assert.equal(text.replace(/\x1b\[\d+m/g, '').includes('\x1b'), false)
          assert.equal(/\u202e/.test(text), false)
          assert.equal(text.includes('\x1b'), colours)
          assert.match(text, /desk-1/)
        }
      }
    }
  }
  const small = view(reading(40), undefined, { width: 80, height: 24, paint: paint(false) })
  assert.ok(small.length <= 24, `${small.length} lines`)
  assert.match(small.at(-1), /^and \d+ more agents$/)
  const told = view({ ...reading(7), agents: undefined, ready: false, reason: 'draining' }, undefined, { width: 80, paint: paint(false) })
  assert.match(told[0], /not ready: draining/)
  assert.match(told.at(-1), /7 agents, which this address does not tell one by one/)
})

test('latencies are those since the last look, where something was done', () => {
  const [before, now] = [reading(1, 5), reading(1, 15)]
  assert.deepEqual(latenciesOf(before).map(({ kind, count, recent, perSecond }) => [kind, count, recent, perSecond]), [['backtest.crossover', 5, false, 0]])
  assert.deepEqual(latenciesOf(now, before).map(({ count, recent, perSecond }) => [count, recent, perSecond]), [[15, true, 0.1]])
  assert.equal(latenciesOf({ ...before, at: 99_999 }, before)[0].recent, false)
})

test('numbers for people', () => {
  assert.deepEqual([0.5, 5.55, 55, 5555, 555_555].map(millis), ['0.50 ms', '5.5 ms', '55 ms', '5.6 s', '9 min 15 s'])
  assert.deepEqual([0, 61_000, 90_061_000].map(age), ['0 s', '1 min 1 s', '1 d 1 h'])
  assert.deepEqual([0, 1023, 1536, 2 ** 30].map(bytes), ['0 B', '1023 B', '1.5 KiB', '1.0 GiB'])
  assert.equal(count(1234567), '1,234,567')
  assert.equal(printable('a\nb\x1b[31m\u202ec'), 'a?b?[31m?c')
  const columns = [{ title: 'name', most: 6 }, { title: 'n', right: true, priority: 2 }, { title: 'long', priority: 1 }]
  assert.deepEqual(table(columns, [['abcdefgh', '1', 'x']]), ['name    n  long', 'abcd..  1  x'])
  assert.deepEqual(table(columns, [['abcdefgh', '1', 'x']], { width: 13 }), ['name    long', 'abcd..  x'])
  assert.deepEqual(table(columns, [['abcdefgh', '1', 'x']], { width: 5 }), ['name', 'abc..'])
})

test('a bar where somebody looks, and nothing else', () => {
  const written = []
  let now = 0
  const stream = { isTTY: true, columns: 60, write: (text) => written.push(text) }
  const bar = progress('searching', { stream, now: () => now })
  bar.update(1, 10)
  assert.deepEqual(written, [])
  now = 2000
  bar.update(5, 10)
  assert.equal(written.length, 1)
  assert.match(written[0], /searching \[#{12}\.{12}\] {2}50 % {2}2 s left/)
  bar.end()
  assert.equal(written.at(-1), '\r\x1b[K')
  const silent = progress('searching', { stream: { ...stream, isTTY: false }, now: () => now })
  silent.update(5, 10)
  silent.end()
  assert.equal(written.length, 2)
})
