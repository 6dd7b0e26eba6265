'use strict'
// Prometheus text, as far as a coordinator writes it, and quantiles out of its histograms.

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g

const unescaped = (text) => text.replace(/\\(.)/g, (_, letter) => (letter === 'n' ? '\n' : letter))

/** `[{ name, labels, value }]`; what is no sample is passed over. */
function parse(text) {
  const samples = []
  for (const line of text.split('\n')) {
    const parts = LINE.exec(line)
    if (parts === null) continue
    const labels = Object.create(null)
    for (const [, name, value] of (parts[2] ?? '').matchAll(LABEL)) labels[name] = unescaped(value)
    const number = parts[3] === '+Inf' ? Infinity : Number(parts[3])
    samples.push({ name: parts[1], labels, value: number })
  }
  return samples
}

/** The sum of all samples of a name; 0 without: a counter that nothing was added to is not written. */
function total(samples, name) {
  return samples.reduce((sum, sample) => (sample.name === name ? sum + sample.value : sum), 0)
}

/** Histograms of a name by the label `kind`: `{ kind: { bounds, counts, count, sum } }`, counts cumulative as they are written. */
function histograms(samples, name) {
  const found = new Map()
  const of = (kind) => {
    if (!found.has(kind)) found.set(kind, { bounds: [], counts: [], count: 0, sum: 0 })
    return found.get(kind)
  }
  for (const { name: sample, labels, value } of samples) {
    if (sample === `${name}_bucket`) {
      const histogram = of(labels.kind ?? '')
      histogram.bounds.push(labels.le === '+Inf' ? Infinity : Number(labels.le))
      histogram.counts.push(value)
    } else if (sample === `${name}_count`) of(labels.kind ?? '').count = value
    else if (sample === `${name}_sum`) of(labels.kind ?? '').sum = value
  }
  return found
}

/** What came after `before`; a coordinator that was started anew begins from nothing. */
function since(histogram, before) {
  if (before === undefined || before.count > histogram.count || before.counts.length !== histogram.counts.length) return histogram
  return {
    bounds: histogram.bounds,
    counts: histogram.counts.map((count, i) => count - before.counts[i]),
    count: histogram.count - before.count,
    sum: histogram.sum - before.sum,
  }
}

/** As Prometheus' histogram_quantile: linear within the bucket, the largest finite bound beyond. NaN without observations. */
function quantile({ bounds, counts, count }, q) {
  if (count === 0) return NaN
  const rank = q * count
  const at = counts.findIndex((cumulative) => cumulative >= rank)
  if (at < 0 || bounds[at] === Infinity) return bounds[bounds.length - 2] ?? NaN
  const [low, below] = at === 0 ? [0, 0] : [bounds[at - 1], counts[at - 1]]
  const inside = counts[at] - below
  return inside === 0 ? bounds[at] : low + (bounds[at] - low) * ((rank - below) / inside)
}

module.exports = { parse, total, histograms, since, quantile }
