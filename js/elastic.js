'use strict'
// The elastic distances beyond DTW. Each takes its own parameters and no others.

const native = require('./native.js')
const { invalid, show } = require('./errors.js')
const { readOptions, checksOf, record, radius, finite, nonNegative, abortSignal, callback } = require('./options.js')
const { toSeries, toCandidates } = require('./series.js')
const { run, throwIfAborted } = require('./task.js')

const COMMON = { window: radius, signal: abortSignal }

/** Beyond, 1 / gamma or the sum of the logarithms along a path is no number. */
function smoothing(name, value) {
  if (typeof value === 'number' && value >= 1e-150 && value <= 1e150) return value
  throw invalid(`${name} must be a number from 1e-150 to 1e150, got ${show(value)}`)
}

/** `first` and `second` name the parameters in the order in which they cross; a default of undefined is none. */
function measure(kind, first, second) {
  const checks = { ...COMMON }
  const defaults = { window: -1 }
  for (const parameter of [first, second]) {
    if (parameter === undefined) continue
    checks[parameter.name] = parameter.check
    defaults[parameter.name] = parameter.default
  }
  return {
    kind,
    first: first?.name,
    second: second?.name,
    pair: checksOf(checks),
    batch: checksOf({ ...checks, onProgress: callback }),
    defaults: Object.freeze(defaults),
  }
}

const MEASURES = record({
  ddtw: measure(native.ElasticKind.Ddtw),
  wdtw: measure(native.ElasticKind.Wdtw, { name: 'g', check: nonNegative, default: 0.05 }),
  adtw: measure(native.ElasticKind.Adtw, { name: 'penalty', check: nonNegative, default: 1 }),
  erp: measure(native.ElasticKind.Erp, { name: 'gap', check: finite, default: 0 }),
  edr: measure(native.ElasticKind.Edr, { name: 'epsilon', check: nonNegative, default: undefined }),
  msm: measure(native.ElasticKind.Msm, { name: 'cost', check: nonNegative, default: 1 }),
  twe: measure(native.ElasticKind.Twe,
    { name: 'nu', check: nonNegative, default: 0.001 }, { name: 'lambda', check: nonNegative, default: 1 }),
  'soft-dtw': measure(native.ElasticKind.SoftDtw, { name: 'gamma', check: smoothing, default: 1 }),
})

function lookUp(name) {
  const found = typeof name === 'string' ? MEASURES[name] : undefined
  if (found !== undefined) return found
  throw invalid(`measure must be ${Object.keys(MEASURES).map((x) => `'${x}'`).join(' or ')}, got ${show(name)}`)
}

/** A parameter as it crosses: 0 where the measure has none. */
function parameter(o, name, measureName) {
  if (name === undefined) return 0
  if (o[name] === undefined) throw invalid(`elastic measure '${measureName}' needs options.${name}, got undefined`)
  return o[name]
}

async function elastic(name, a, b, options) {
  const m = lookUp(name)
  const o = readOptions(options, m.pair, m.defaults, `elastic measure '${name}'`)
  const first = parameter(o, m.first, name)
  const second = parameter(o, m.second, name)
  throwIfAborted(o.signal)
  const x = toSeries('a', a)
  const y = toSeries('b', b)
  return await run(o, 1, (job) => native.elastic(m.kind, x, y, o.window, first, second, job))
}

async function elasticBatch(name, query, candidates, options) {
  const m = lookUp(name)
  const o = readOptions(options, m.batch, m.defaults, `elastic measure '${name}'`)
  const first = parameter(o, m.first, name)
  const second = parameter(o, m.second, name)
  throwIfAborted(o.signal)
  const q = toSeries('query', query)
  const c = toCandidates(candidates, 1)
  return await run(o, c.count, (job) => native.elasticBatch(
    m.kind, q, c.values, c.ends, c.steps, o.window, first, second, job))
}

module.exports = { elastic, elasticBatch }
