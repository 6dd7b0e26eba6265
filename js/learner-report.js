'use strict'
// One HTML page about a learner: text and inline SVG, no script, no network. Light and dark by the reader's preference.

const { open, rename, unlink } = require('node:fs/promises')
const path = require('node:path')
const { randomBytes } = require('node:crypto')
const { setImmediate: nextTurn } = require('node:timers/promises')
const { MidstreamerError } = require('./errors.js')
const { dtwAlign } = require('./dtw.js')
const { METRICS, NORMALIZATIONS } = require('./patterns.js')

/** Numbers of one outcome, as the addon packs them. */
const FIELDS = 8
const AT = 0, KNOWN = 1, PREDICTED = 2, ACTUAL = 3, NET = 4, CONFIDENCE = 5, SIMILARITY = 6, TAKEN = 7

/** Points of one curve: more than pixels help nobody. */
const MOST_POINTS = 600

const PERMUTATIONS = 400

/** How long the event loop is held by them, in milliseconds. */
const SLICE_MS = 5

const WIDTH = 720, HEIGHT = 260, LEFT = 64, RIGHT = 12, TOP = 12, BOTTOM = 28

const text = (value) => String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
const percent = (value, digits = 2) => Number.isFinite(value) ? `${(value * 100).toFixed(digits)} %` : Number.isNaN(value) ? 'n/a' : value > 0 ? 'infinite' : '-infinite'
const decimal = (value) => Number.isFinite(value) ? value.toFixed(2) : Number.isNaN(value) ? 'n/a' : value > 0 ? 'infinite' : '-infinite'
/** What is no date of a calendar stays a number. */
const instant = (at) => Math.abs(at) <= 8.64e15 && Math.abs(at) > 1e9 ? new Date(at).toISOString().slice(0, 10) : String(at)

/** The same numbers for the same experiences, so that a page does not change by being written again. */
function dice(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296
  }
}

function ticks(low, high) {
  const span = high - low
  const raw = 10 ** Math.floor(Math.log10(span / 4))
  const step = [1, 2, 5, 10].map((x) => x * raw).find((x) => span / x <= 5)
  const found = []
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick)
  return found
}

/** A plot: axes, and what `draw(x, y)` returns in their coordinates. */
function plot({ x: [x0, x1], y, xLabel, yLabel, label }, draw) {
  let [y0, y1] = y
  if (!(y1 > y0)) [y0, y1] = [y0 - 0.5, y0 + 0.5]
  const sx = (value) => (LEFT + (value - x0) / (x1 - x0 || 1) * (WIDTH - LEFT - RIGHT)).toFixed(1)
  const sy = (value) => (HEIGHT - BOTTOM - (value - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)).toFixed(1)
  const grid = ticks(y0, y1).map((tick) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${sy(tick)}" y2="${sy(tick)}"/>`
    + `<text class="tick" x="${LEFT - 6}" y="${sy(tick)}" dy="0.35em" text-anchor="end">${text(yLabel(tick))}</text>`).join('')
  const ends = `<text class="tick" x="${LEFT}" y="${HEIGHT - 8}">${text(xLabel(x0))}</text>`
    + `<text class="tick" x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${text(xLabel(x1))}</text>`
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${text(label)}">${grid}${ends}${draw(sx, sy)}</svg>`
}

function line(name, points, sx, sy) {
  return `<polyline class="${name}" points="${points.map(([x, y]) => `${sx(x)},${sy(y)}`).join(' ')}"/>`
}

function thinned(values) {
  const step = Math.max(1, Math.ceil(values.length / MOST_POINTS))
  const points = []
  for (let i = 0; i < values.length; i += step) points.push([i, values[i]])
  if (values.length > 0 && (values.length - 1) % step !== 0) points.push([values.length - 1, values[values.length - 1]])
  return points
}

function cumulated(values) {
  let sum = 0
  return [0, ...values.map((value) => { sum += value; return sum })]
}

/**
 * Random choices of as many matches as had a signal: between which ends nine of ten of their sums are, at some points of the
 * way. In slices: of a hundred thousand outcomes it takes seconds, in which the event loop has its turns.
 */
async function permutations(rows) {
  const roll = dice(rows.length * 2654435761 + 1)
  const flags = Uint8Array.from(rows, (row) => row[TAKEN] === 0 ? 0 : 1)
  const net = Float64Array.from(rows, (row) => row[NET])
  const at = thinned(new Float64Array(rows.length + 1)).map(([i]) => i)
  const runs = []
  let turn = performance.now()
  for (let run = 0; run < PERMUTATIONS; run++) {
    for (let i = flags.length - 1; i > 0; i--) {
      const j = Math.floor(roll() * (i + 1))
      const held = flags[i]
      flags[i] = flags[j]
      flags[j] = held
    }
    const sums = new Float64Array(at.length)
    for (let i = 0, k = 1, sum = 0; i < net.length; i++) {
      if (flags[i] !== 0) sum += net[i]
      if (at[k] === i + 1) sums[k++] = sum
    }
    runs.push(sums)
    if (performance.now() - turn < SLICE_MS) continue
    await nextTurn()
    turn = performance.now()
  }
  const band = at.map((i, k) => {
    const sorted = Float64Array.from(runs, (run) => run[k]).sort()
    return [i, sorted[Math.floor(PERMUTATIONS * 0.05)], sorted[Math.ceil(PERMUTATIONS * 0.95) - 1]]
  })
  return { band, ends: runs.map((run) => run[run.length - 1]) }
}

async function equity(rows, costBps) {
  const signals = cumulated(rows.map((row) => row[TAKEN] === 0 ? 0 : row[NET]))
  const hold = cumulated(rows.map((row) => row[ACTUAL] - costBps / 1e4))
  const { band, ends } = await permutations(rows)
  const taken = rows.filter((row) => row[TAKEN] !== 0).length
  const all = [...signals, ...hold, ...band.flatMap(([, low, high]) => [low, high])]
  const svg = plot({
    x: [0, rows.length], y: [Math.min(...bounds(all)), Math.max(...bounds(all))], yLabel: (y) => percent(y, 1),
    xLabel: (x) => x === 0 ? instant(rows[0][AT]) : instant(rows[rows.length - 1][KNOWN]), label: 'Sum of net returns of signals, of every match long, and of random choices',
  }, (sx, sy) => `<polygon class="band" points="${[...band.map(([x, , high]) => [x, high]), ...[...band].reverse().map(([x, low]) => [x, low])].map(([x, y]) => `${sx(x)},${sy(y)}`).join(' ')}"/>`
    + line('hold', thinned(hold), sx, sy) + line('signals', thinned(signals), sx, sy))
  const end = signals[signals.length - 1]
  // One more in both: what happened is one of the permutations.
  const p = (ends.filter((other) => other >= end).length + 1) / (PERMUTATIONS + 1)
  const verdict = taken === 0
    ? 'There was no signal, so there is no equity to judge.'
    : `${taken} of ${rows.length} matches had a signal. Of ${PERMUTATIONS} random choices of as many, ${ends.filter((other) => other >= end).length} earned as much or more (p = ${p.toFixed(3)}, as if outcomes did not overlap).`
  return `<h3>Signals</h3>${svg}<p class="key"><span class="k-signals">signals ${percent(end)}</span> <span class="k-hold">every match, long ${percent(hold[hold.length - 1])}</span> <span class="k-band">random choices, 5 to 95 %</span></p>`
    + `<p>${verdict} Sums of net returns, one stake for each, not compounded.</p>`
}

/** The smallest and the largest, without a call of a million arguments. */
function bounds(values) {
  let low = Infinity, high = -Infinity
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

function calibration(rows, trajectory) {
  const bins = Array.from({ length: 10 }, () => ({ n: 0, right: 0, sum: 0 }))
  for (const row of rows) {
    const bin = bins[Math.min(9, Math.floor(row[CONFIDENCE] * 10))]
    bin.n++
    bin.sum += row[CONFIDENCE]
    if (Math.sign(row[PREDICTED]) === Math.sign(row[ACTUAL])) bin.right++
  }
  const dots = (sx, sy) => bins.filter(({ n }) => n > 0).map(({ n, right, sum }) => {
    const [low, high] = wilson(right, n)
    const x = sx(sum / n)
    return `<line class="whisker" x1="${x}" x2="${x}" y1="${sy(low)}" y2="${sy(high)}"/><circle class="dot" cx="${x}" cy="${sy(right / n)}" r="4"><title>${right} of ${n}</title></circle>`
  }).join('')
  const svg = plot({ x: [0, 1], y: [0, 1], yLabel: (y) => percent(y, 0), xLabel: (x) => `confidence ${percent(x, 0)}`, label: 'Share of right directions by confidence' },
    (sx, sy) => `<line class="ideal" x1="${sx(0)}" y1="${sy(0)}" x2="${sx(1)}" y2="${sy(1)}"/>${dots(sx, sy)}`)
  const { coverage, target } = trajectory.calibration
  return `<h3>Calibration</h3>${svg}<p>Share of right directions against the confidence of the match, with 95 % intervals (Wilson); on the line, confidence is what it says. `
    + `Prediction intervals covered ${percent(coverage, 1)} of outcomes; ${percent(target, 0)} is their target.</p>`
}

function wilson(right, n) {
  const z = 1.96, p = right / n
  const center = (p + z * z / (2 * n)) / (1 + z * z / n)
  const half = z / (1 + z * z / n) * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return [Math.max(0, center - half), Math.min(1, center + half)]
}

function thresholdHistory(rows, adaptations, thresholds) {
  if (adaptations.length === 0) {
    return `<h3>Thresholds</h3><p>Neither has moved: similarity ${thresholds.similarity.toFixed(2)}, confidence ${thresholds.confidence.toFixed(2)}. They move by evidence alone.</p>`
  }
  const x = [rows[0][AT], rows[rows.length - 1][KNOWN]]
  const steps = (parameter, now) => {
    const moves = adaptations.filter((moved) => moved.parameter === parameter)
    const points = [[x[0], moves[0]?.from ?? now]]
    for (const { at, from, to } of moves) points.push([at, from], [at, to])
    return [...points, [x[1], now]]
  }
  const svg = plot({ x, y: [0, 1], yLabel: (y) => y.toFixed(1), xLabel: instant, label: 'Thresholds over time' },
    (sx, sy) => line('signals', steps('similarityThreshold', thresholds.similarity), sx, sy) + line('hold', steps('confidenceThreshold', thresholds.confidence), sx, sy))
  const list = adaptations.slice(-10).reverse().map(({ at, parameter, from, to, reason }) => `<li>${text(instant(at))}: ${text(parameter)} ${from.toFixed(2)} to ${to.toFixed(2)}: ${text(reason)}</li>`)
  return `<h3>Thresholds</h3>${svg}<p class="key"><span class="k-signals">similarity</span> <span class="k-hold">confidence</span></p><ul>${list.join('')}</ul>`
}

function figures({ samples, expired, winRate, winRateInterval: [low, high], ...t }) {
  const cells = [
    ['outcomes', samples], ['expired', expired], ['win rate', `${percent(winRate, 1)} (${percent(low, 1)} to ${percent(high, 1)})`], ['mean net return', percent(t.meanReturn, 3)],
    ['Sharpe', decimal(t.sharpe)], ['Sortino', decimal(t.sortino)], ['maximal drawdown', percent(t.maxDrawdown, 1)], ['Calmar', decimal(t.calmar)], ['profit factor', decimal(t.profitFactor)],
    ['value at risk, 5 %', percent(t.valueAtRisk)], ['expected shortfall, 5 %', percent(t.expectedShortfall)], ['best, worst', `${percent(t.best)}, ${percent(t.worst)}`],
  ]
  return `<dl>${cells.map(([name, value]) => `<div><dt>${text(name)}</dt><dd>${text(value)}</dd></div>`).join('')}</dl>`
}

/** A match beside the pattern that it was nearest to, as it was known then. */
async function drawn({ id, row }, valuesOf, library, shape) {
  const title = `<figcaption>${text(instant(row[AT]))}: predicted ${percent(row[PREDICTED])}, happened ${percent(row[ACTUAL])}, net ${percent(row[NET])}</figcaption>`
  const values = valuesOf(id)
  if (values === null || values === undefined || values.length !== shape.length * shape.channels) return `<figure>${title}<p>Its shape is not of this library.</p></figure>`
  const [nearest] = await library.search(values, { k: 1, asOf: row[AT] })
  const pattern = nearest === undefined ? undefined : library.get(nearest.id)?.values
  const one = scaled(values, shape)
  if (pattern === undefined) return `<figure>${title}${plot(frame([one]), (sx, sy) => line('signals', one.map((y, x) => [x, y]), sx, sy))}<p>No pattern was known then.</p></figure>`
  const { path: pairs } = await dtwAlign(values, pattern, {
    channels: shape.channels, metric: METRICS[shape.metric], normalize: NORMALIZATIONS[shape.normalize], ...(shape.window < 0 ? {} : { window: shape.window }),
  })
  const two = scaled(pattern, shape)
  const lift = Math.max(...one) - Math.min(...two) + 0.25 * (Math.max(...one) - Math.min(...one) || 1)
  const raised = two.map((y) => y + lift)
  const every = Math.max(2, 2 * Math.ceil(pairs.length / 2 / 60))
  const svg = plot(frame([one, raised]), (sx, sy) => {
    let links = ''
    for (let i = 0; i < pairs.length; i += every) links += `<line class="link" x1="${sx(pairs[i])}" y1="${sy(one[pairs[i]])}" x2="${sx(pairs[i + 1])}" y2="${sy(raised[pairs[i + 1]])}"/>`
    return links + line('signals', one.map((y, x) => [x, y]), sx, sy) + line('hold', raised.map((y, x) => [x, y]), sx, sy)
  })
  return `<figure>${title}${svg}<p class="key"><span class="k-signals">the match</span> <span class="k-hold">${text(nearest.id)}, similarity ${nearest.similarity.toFixed(3)}</span></p></figure>`
}

function frame(curves) {
  const [low, high] = bounds(curves.flat())
  return { x: [0, curves[0].length - 1], y: [low, high], yLabel: () => '', xLabel: (x) => `sample ${x}`, label: 'A match and the pattern that it is aligned with' }
}

/** The first channel in standard deviations. */
function scaled(values, { channels }) {
  const own = Array.from({ length: values.length / channels }, (_, i) => values[i * channels])
  const mean = own.reduce((a, b) => a + b, 0) / own.length
  const deviation = Math.sqrt(own.reduce((a, b) => a + (b - mean) ** 2, 0) / own.length) || 1
  return own.map((y) => (y - mean) / deviation)
}

async function familySection(family, settings, valuesOf, library, shape) {
  const { patternType, outcomes, ids, trajectory, thresholds, adaptations } = family
  const rows = ids.map((_, i) => outcomes.subarray(i * FIELDS, (i + 1) * FIELDS))
  const heading = `<section><h2>${text(patternType)}</h2>${figures(trajectory)}`
  if (rows.length === 0) return `${heading}<p>No outcome is known yet.</p></section>`
  const order = rows.map((row, i) => ({ row, id: ids[i] })).sort((a, b) => b.row[NET] - a.row[NET])
  const best = [], worst = []
  for (const match of order.slice(0, 2)) best.push(await drawn(match, valuesOf, library, shape))
  for (const match of order.slice(2).slice(-2).reverse()) worst.push(await drawn(match, valuesOf, library, shape))
  return heading + await equity(rows, settings.costBps) + calibration(rows, trajectory) + thresholdHistory(rows, adaptations, thresholds)
    + `<h3>Best matches</h3><div class="pair">${best.join('')}</div>${worst.length === 0 ? '' : `<h3>Worst matches</h3><div class="pair">${worst.join('')}</div>`}</section>`
}

const STYLE = `:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#fff;--rule:#dfe4ea;--a:#0b65c2;--b:#b4570a;--band:#8894a555}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa7b8;--paper:#12171e;--rule:#2b3440;--a:#5aa9ff;--b:#f0a04b;--band:#8894a544}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:800px;margin:2rem auto;padding:0 1rem}
svg{width:100%;height:auto;display:block;overflow:visible}section{border-top:1px solid var(--rule);margin-top:2rem}figure{margin:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:1rem}.grid{stroke:var(--rule)}.tick{fill:var(--soft);font-size:12px}@media(max-width:600px){.tick{font-size:20px}}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}.signals{stroke:var(--a)}.hold{stroke:var(--b)}.band{fill:var(--band)}.link{stroke:var(--soft);stroke-width:.6;opacity:.6}
.ideal{stroke:var(--soft);stroke-dasharray:4 4}.dot{fill:var(--a)}.whisker{stroke:var(--a);opacity:.6}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:.5rem}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-variant-numeric:tabular-nums}
.key{font-size:.85rem}.key span{margin-right:1rem}.k-signals{color:var(--a)}.k-hold{color:var(--b)}.k-band{color:var(--soft)}p,li,figcaption{color:var(--soft)}figcaption{font-size:.85rem}`

async function page(families, settings, valuesOf, library, shape) {
  const sections = []
  for (const family of families) sections.push(await familySection(family, settings, valuesOf, library, shape))
  const policy = settings.policy === 'evidence'
    ? `Policy 'evidence': in a family without an edge, the probability that there is ever a signal is at most ${percent(settings.alpha, 1)}.`
    : "Policy 'utility': signals are not error-controlled."
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>What the matches were worth</title>`
    + `<style>${STYLE}</style></head><body><h1>What the matches were worth</h1><p>${policy} Costs of ${settings.costBps} basis points are taken off every outcome, traded or not.</p>`
    + `${sections.length === 0 ? '<p>Nothing has been recorded yet.</p>' : sections.join('')}</body></html>\n`
}

/** Whole or not at all: beside its place first, then renamed. */
async function writeReport(target, families, settings, valuesOf, library, shape) {
  const html = await page(families, settings, valuesOf, library, shape)
  const beside = path.join(path.dirname(target), `.${path.basename(target)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(beside, 'wx')
    try {
      await file.writeFile(html)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, target)
  } catch (error) {
    // What is left of it is of no use; that there is nothing to remove is no second failure.
    await unlink(beside).catch(() => {})
    throw new MidstreamerError(`the report could not be written to ${target}: ${error.message}`, { code: 'STORE', cause: error })
  }
}

module.exports = { writeReport }
