/**
 * The findings as one HTML file that needs nothing else: styles inside, plots as inline SVG, no script,
 * no font, no address. Light and dark follow the reader's system.
 */
import { standardise } from './market.mjs'
import { quantile } from './statistics.mjs'

const STYLE = `
:root { color-scheme: light dark; --paper:#fbfaf8; --card:#fff; --ink:#1d2129; --soft:#667085; --line:#e4e2dd;
  --query:#2563eb; --match:#d97706; --up:#15803d; --down:#b91c1c; --heat:#2563eb; }
@media (prefers-color-scheme: dark) { :root { --paper:#111418; --card:#191d23; --ink:#e7e9ec; --soft:#98a2b3; --line:#2b313a;
  --query:#6ea8fe; --match:#f0a94b; --up:#4ade80; --down:#f87171; --heat:#3b82f6; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif; }
main { max-width:1120px; margin:0 auto; padding:40px 24px 64px; }
h1 { font-size:30px; line-height:1.2; margin:0 0 8px; letter-spacing:-.02em; }
h2 { font-size:20px; margin:44px 0 6px; letter-spacing:-.01em; }
p { margin:4px 0 14px; max-width:76ch; } .soft { color:var(--soft); }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:18px 20px; }
.figures { display:grid; grid-template-columns:repeat(auto-fit,minmax(200px,1fr)); gap:14px; margin:20px 0 8px; }
.figure b { display:block; font-size:26px; line-height:1.25; font-weight:650; font-variant-numeric:tabular-nums; }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(196px,1fr)); gap:12px; }
.grid .card { padding:12px 14px; } .grid .top { display:flex; justify-content:space-between; font-size:13px; }
.scroll { overflow-x:auto; } .legend { font-size:13px; color:var(--soft); } .legend span { margin-right:18px; white-space:nowrap; }
.legend i { display:inline-block; width:18px; height:3px; border-radius:2px; margin:0 6px 3px 0; }
svg { display:block; width:100%; height:auto; } svg text { fill:var(--soft); font:12px system-ui,sans-serif; font-variant-numeric:tabular-nums; }
table { border-collapse:collapse; width:100%; font-size:14px; font-variant-numeric:tabular-nums; }
th { text-align:left; font-weight:600; color:var(--soft); } th, td { padding:6px 14px 6px 0; border-bottom:1px solid var(--line); white-space:nowrap; }
tr:last-child td { border-bottom:0; } .n { text-align:right; } .up { color:var(--up); } .down { color:var(--down); }
.two { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr)); gap:14px; }
footer { margin-top:44px; color:var(--soft); font-size:13px; }
`

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
const percent = (fraction, digits = 1) => `${fraction >= 0 ? '+' : '\u2212'}${Math.abs(100 * fraction).toFixed(digits)}\u00a0%`
const tone = (fraction) => (fraction >= 0 ? 'up' : 'down')

/** A linear map from [from0, from1] to [to0, to1]. */
const scale = (from0, from1, to0, to1) => (value) => to0 + ((value - from0) / (from1 - from0 || 1)) * (to1 - to0)

const extent = (...lists) => {
  const all = lists.flatMap((list) => [...list])
  return [Math.min(...all), Math.max(...all)]
}

const polyline = (points, colour, width = 1.8, extra = '') =>
  `<polyline points="${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ')}" fill="none" stroke="var(--${colour})" ` +
  `stroke-width="${width}" stroke-linejoin="round" stroke-linecap="round" ${extra}/>`

const svg = (width, height, label, body) =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}">${body}</svg>`

const legend = (entries) =>
  `<div class="legend">${entries.map(([colour, text]) => `<span><i style="background:var(--${colour})"></i>${text}</span>`).join('')}</div>`

/** Query and match one above the other with the pairs of the warping path between them. */
function alignmentFigure({ bars, query, matches, alignment }) {
  const [width, height, left, right] = [1060, 380, 14, 1046]
  const upper = standardise(bars.close, query.start, query.start + query.length)
  const lower = standardise(bars.close, matches[0].start, matches[0].start + query.length)
  const x = scale(0, query.length - 1, left, right)
  const [lowU, highU] = extent(upper)
  const [lowL, highL] = extent(lower)
  const yU = scale(lowU, highU, 165, 26)
  const yL = scale(lowL, highL, 354, 215)
  let joints = ''
  for (let k = 0; k < alignment.path.length; k += 2) {
    const [i, j] = [alignment.path[k], alignment.path[k + 1]]
    joints += `<line x1="${x(i).toFixed(1)}" y1="${yU(upper[i]).toFixed(1)}" x2="${x(j).toFixed(1)}" y2="${yL(lower[j]).toFixed(1)}"/>`
  }
  const date = (start, day, y) =>
    `<text x="${x(day)}" y="${y}" text-anchor="${day === 0 ? 'start' : 'end'}">${bars.dates[start + day]}</text>`
  return svg(
    width,
    height,
    'The query above, its best match below, joined by the warping path',
    `<g stroke="var(--soft)" stroke-opacity=".42" stroke-width="1">${joints}</g>` +
      polyline([...upper].map((v, i) => [x(i), yU(v)]), 'query', 2.6) +
      polyline([...lower].map((v, i) => [x(i), yL(v)]), 'match', 2.6) +
      date(query.start, 0, 14) + date(query.start, query.length - 1, 14) +
      date(matches[0].start, 0, 376) + date(matches[0].start, query.length - 1, 376),
  )
}

/** One match: its window over the query's, both standardised, and the days that followed. */
function matchCard({ bars, query, horizon }, match, rank) {
  const [width, height] = [240, 120]
  const all = standardise(bars.close, match.start, match.start + query.length, match.start + query.length + horizon)
  const asked = standardise(bars.close, query.start, query.start + query.length)
  const x = scale(0, query.length + horizon - 1, 4, width - 4)
  const y = scale(...extent(all, asked), height - 6, 6)
  const points = [...all].map((value, i) => [x(i), y(value)])
  const edge = x(query.length - 1).toFixed(1)
  const body =
    `<rect x="${edge}" y="0" width="${(width - edge).toFixed(1)}" height="${height}" fill="var(--soft)" fill-opacity=".09"/>` +
    polyline([...asked].map((value, i) => [x(i), y(value)]), 'query', 1.4, 'stroke-opacity=".6"') +
    polyline(points.slice(0, query.length), 'match', 2) +
    polyline(points.slice(query.length - 1), tone(match.outcome), 2)
  const end = bars.dates[match.start + query.length - 1]
  return (
    `<div class="card"><div class="top"><b>${rank}. ${bars.dates[match.start]}</b><b class="${tone(match.outcome)}">${percent(match.outcome)}</b></div>` +
    `<div class="top soft"><span>to ${end}</span><span>d ${match.distance.toFixed(2)}</span></div>` +
    `${svg(width, height, `Match ${rank}: ${bars.dates[match.start]} to ${end}`, body)}</div>`
  )
}

/** What followed the ten matches, over the band of what follows any day. */
function followedFigure({ bars, query, horizon, count, matches }) {
  const [width, height, left, right, bottom] = [1060, 380, 58, 1030, 344]
  const days = Array.from({ length: horizon + 1 }, (_, day) => day)
  const move = (start, day) => bars.close[start + query.length - 1 + day] / bars.close[start + query.length - 1] - 1
  const all = days.map((day) => Float64Array.from({ length: count }, (_, start) => move(start, day)))
  const band = { low: all.map((v) => quantile(v, 0.1)), mid: all.map((v) => quantile(v, 0.5)), high: all.map((v) => quantile(v, 0.9)) }
  const paths = matches.map((match) => days.map((day) => move(match.start, day)))
  const middle = days.map((day) => quantile(paths.map((path) => path[day]), 0.5))
  const [least, most] = extent(...paths, band.low, band.high)
  const x = scale(0, horizon, left, right)
  const y = scale(least, most, bottom, 12)
  const stride = most - least > 0.3 ? 0.1 : 0.05
  let grid = ''
  for (let tick = Math.ceil(least / stride); tick * stride <= most; tick++) {
    const at = y(tick * stride).toFixed(1)
    grid += `<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" stroke="var(--line)"/><text x="${left - 8}" y="${Number(at) + 4}" text-anchor="end">${tick === 0 ? '0\u00a0%' : percent(tick * stride, 0)}</text>`
  }
  for (const day of [0, 5, 10, 15, 20].filter((d) => d <= horizon))
    grid += `<text x="${x(day)}" y="${bottom + 22}" text-anchor="middle">${day === 0 ? 'end of window' : `day ${day}`}</text>`
  const area = [...days.map((day) => [x(day), y(band.high[day])]), ...[...days].reverse().map((day) => [x(day), y(band.low[day])])]
  return svg(
    width,
    height,
    'Price moves after the ten matches against the base rate',
    grid +
      `<polygon points="${area.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ')}" fill="var(--query)" fill-opacity=".13"/>` +
      paths.map((path) => polyline(path.map((v, day) => [x(day), y(v)]), 'match', 1.2, 'stroke-opacity=".5"')).join('') +
      polyline(days.map((day) => [x(day), y(band.mid[day])]), 'query', 2.4, 'stroke-dasharray="6 5"') +
      polyline(middle.map((v, day) => [x(day), y(v)]), 'match', 3),
  )
}

/** Measured similarity above the diagonal, what shuffled streams reach below it. */
function heatFigure({ names, measured, expected }) {
  const [cell, tall, left, top] = [62, 34, 128, 26]
  const size = names.length
  let body = ''
  names.forEach((name, i) => {
    body += `<text x="${left - 10}" y="${top + i * tall + 21}" text-anchor="end">${escape(name)} ${i + 1}</text>`
    body += `<text x="${left + (i + 0.5) * cell}" y="16" text-anchor="middle">${i + 1}</text>`
    names.forEach((other, j) => {
      if (i === j) return
      const value = (i < j ? measured : expected)[i * size + j]
      const [px, py] = [left + j * cell, top + i * tall]
      const what = i < j ? 'measured' : 'expected when shuffled'
      body +=
        `<g><title>${escape(name)} ~ ${escape(other)}, ${what}: ${value.toFixed(4)}</title>` +
        `<rect x="${px + 1}" y="${py + 1}" width="${cell - 2}" height="${tall - 2}" rx="4" fill="var(--heat)" fill-opacity="${(0.04 + 0.86 * value ** 2.4).toFixed(3)}"/>` +
        `<text x="${px + cell / 2}" y="${py + 21}" text-anchor="middle" style="fill:${value > 0.86 ? '#fff' : 'var(--ink)'}">${value.toFixed(2)}</text></g>`
    })
  })
  return svg(left + size * cell, top + size * tall, 'Similarity of the strategies', body)
}

const figure = (value, text, classes = '') => `<div class="card figure"><b class="${classes}">${value}</b><span class="soft">${text}</span></div>`

const table = (head, rows) =>
  `<div class="scroll"><table><thead><tr>${head.map((text, i) => `<th${i ? ' class="n"' : ''}>${text}</th>`).join('')}</tr></thead><tbody>` +
  `${rows.map((row) => `<tr>${row.map((text, i) => `<td${i ? ' class="n"' : ''}>${text}</td>`).join('')}</tr>`).join('')}</tbody></table></div>`

/** @returns {string} the whole document */
export function renderPage(data) {
  const { bars, query, horizon, count, matches, summary, strategies, steps, kernel } = data
  const { mean: matchMean, median: matchMedian, up } = summary.matches
  const newest = bars.dates[query.start + query.length - 1]
  const compared = steps.find(({ name }) => name.startsWith('dtwBatch'))
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Similar days: S&amp;P 500 to ${newest}</title><style>${STYLE}</style></head><body><main>
<h1>When did the market last look like this?</h1>
<p class="soft">S&amp;P 500, daily closes. The ${query.length} days to ${newest} against all ${count} windows since ${bars.dates[0]} that had ended,
together with the ${horizon} days after them, before the query begins. Shapes are standardised and compared by dynamic time warping with a band of six days.</p>
<div class="figures">
${figure(percent(matchMean), `mean of the ${horizon} days after the ten matches; any window: ${percent(summary.base.mean)}`, tone(matchMean))}
${figure(percent(matchMedian), `median; any window: ${percent(summary.base.median)}`, tone(matchMedian))}
${figure(`${(100 * up).toFixed(0)}\u00a0%`, `went up; any window: ${(100 * summary.base.up).toFixed(0)}\u00a0%`)}
${figure(`${(100 * summary.chance).toFixed(0)}\u00a0%`, 'of ten random windows are as far from the base rate: the smaller, the less it looks like luck')}
</div>
<h2>The best match, day by day</h2>
<p class="soft">Each thin line is one step of the warping path: the days that the alignment holds to be the same moment.</p>
<div class="card">${alignmentFigure(data)}${legend([['query', 'query'], ['match', `best match, distance ${data.alignment.distance.toFixed(2)}, mean lag ${data.alignment.lag.toFixed(2)} days`]])}</div>
<h2>The ten most similar windows</h2>
<p class="soft">Neither the windows nor the days that followed them overlap. The shaded part is what came next.</p>
<div class="grid">${matches.map((match, i) => matchCard(data, match, i + 1)).join('')}</div>
<h2>What followed</h2>
<p class="soft">Ten outcomes are few, and overlapping windows make the base rate less certain than its ${count} entries suggest. Read the band, not the line.</p>
<div class="card">${followedFigure(data)}${legend([['match', 'after the ten matches, thick: median'], ['query', 'after any window: median and 10 to 90 % band']])}</div>
<h2>Do your strategies say the same thing?</h2>
<p class="soft">Signals of thirteen textbook strategies on ${strategies.days} days since ${bars.dates[strategies.first]}. Above the diagonal: longest common subsequence divided by length.
Below it: what the same streams reach when shuffled, because random streams of a few symbols already share much of their length.</p>
<div class="card scroll">${heatFigure(strategies)}</div>
<h2>Furthest above chance</h2>
<p class="soft">Rotating a stream keeps its runs, which shuffling tears apart: the stricter baseline, and the one this list is ordered by.</p>
<div class="two"><div class="card">${table(
    ['pair', 'measured', 'shuffled', 'rotated'],
    strategies.agreement.map((pair) => [`${escape(pair.a)} ~ ${escape(pair.b)}`, ...[pair.measured, pair.shuffled, pair.rotated].map((v) => v.toFixed(3))]),
  )}</div><div class="card">${table(
    ['step', 'ms'],
    steps.map(({ name, ms }) => [escape(name), ms.toFixed(1)]),
  )}</div></div>
<footer>Kernel ${escape(kernel.kernel)}, ${kernel.threads} threads; ${count} comparisons of ${query.length} x ${query.length} in ${compared.ms.toFixed(1)} ms.
Data: Yahoo, by way of the npm package vega-datasets. Not advice.</footer>
</main></body></html>
`
}
