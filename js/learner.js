'use strict'
// PatternLearner: a library's matches, judged by their outcomes. Evidence, thresholds and the file are the addon's; here
// are arguments, the search, and the words of errors.

const path = require('node:path')
const native = require('./native.js')
const { failure, fromNative, invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf, oneOf, count, finite } = require('./options.js')
const { inside } = require('./library.js')
const { checkLength } = require('./patterns.js')
const { toSeries } = require('./series.js')
const { toJson } = require('./json.js')
const { exportPatterns, importPatterns } = require('./reasoning-bank.js')
const { writeReport } = require('./learner-report.js')
const { Exchange } = require('./learner-exchange.js')

/** As the addon has it. */
const MAX_FAMILY_BYTES = 256
const MAX_RETURN = 1e6

/** What a match without a family is filed under. */
const NO_FAMILY = 'unclassified'

function positive(name, value) {
  if (Number.isFinite(value) && value > 0) return value
  throw invalid(`${name} must be a positive number, got ${show(value)}`)
}

function share(name, value) {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value
  throw invalid(`${name} must be a number from 0 to 1, got ${show(value)}`)
}

function directory(name, value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalid(`${name} must be the path of a directory, got ${show(value)}`)
  return path.resolve(value)
}

const OPEN = checksOf({
  library(name, value) {
    if (!inside.isLibrary(value)) throw invalid(`${name} must be a PatternLibrary, got ${show(value)}`)
    return value
  },
  dataDir: directory,
  costBps(name, value) {
    if (Number.isFinite(value) && value >= 0 && value < 10_000) return value
    throw invalid(`${name} must be a number from 0 to below 10000, in hundredths of a percent, got ${show(value)}`)
  },
  periodsPerYear: positive,
  halfLife: positive,
  halfLifeMs: positive,
  similarityThreshold: share,
  confidenceThreshold: share,
  minSamples: count,
  neighbors: count,
  policy: oneOf('evidence', 'utility'),
  alpha(name, value) {
    if (typeof value === 'number' && value >= 0.001 && value < 1) return value
    throw invalid(`${name} must be a number from 0.001 to below 1, got ${show(value)}`)
  },
})
const DEFAULTS = Object.freeze({
  library: undefined, dataDir: undefined, costBps: 0, periodsPerYear: NaN, halfLife: 800, halfLifeMs: NaN, similarityThreshold: 0,
  confidenceThreshold: 0, minSamples: 20, neighbors: 10, policy: 0, alpha: 0.05,
})
const TRAJECTORY = checksOf({ asOf: finite })
const TRAJECTORY_DEFAULTS = Object.freeze({ asOf: undefined })
const DISTILL = checksOf({ minSamples: count, minLowerBound: finite })
const DISTILL_DEFAULTS = Object.freeze({ minSamples: 20, minLowerBound: 0 })

function family(name, value) {
  if (typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= MAX_FAMILY_BYTES) return value
  throw invalid(`${name} must be a string of 1 to ${MAX_FAMILY_BYTES} bytes, got ${show(value)}`)
}

function returned(name, value) {
  if (typeof value === 'number' && Math.abs(value) <= MAX_RETURN) return value
  throw invalid(`${name} must be a return as a fraction (0.01 is 1 %), got ${show(value)}`)
}

function record(name, value) {
  if (value !== null && typeof value === 'object' && isArray(value) === false) return value
  throw invalid(`${name} must be an object, got ${show(value)}`)
}

/** What `context` says, read once: the fields that mean something, and all of it as JSON. */
function readContext(name, value) {
  record(name, value)
  const context = toJson(() => name, { ...value })
  for (const field of ['symbol', 'timeframe']) {
    if (typeof context[field] !== 'string') throw invalid(`${name}.${field} must be a string, got ${show(context[field])}`)
  }
  for (const field of ['volume', 'sentiment']) {
    if (context[field] !== undefined) finite(`${name}.${field}`, context[field])
  }
  if (context.trend !== undefined && typeof context.trend !== 'string') throw invalid(`${name}.trend must be a string, got ${show(context.trend)}`)
  const { volatility } = context
  if (volatility !== undefined && !(Number.isFinite(volatility) && volatility >= 0 && volatility <= MAX_RETURN)) {
    throw invalid(`${name}.volatility must be a standard deviation of returns as a fraction, got ${show(volatility)}`)
  }
  // A market that stands still says nothing of the scale of its errors.
  return { context, volatility: volatility > 0 ? volatility : NaN }
}

/** A copy of the values of a match, all finite. */
function shapeOf(name, value) {
  const own = toSeries(name, value).slice()
  const at = own.findIndex((x) => !Number.isFinite(x))
  if (at >= 0) throw failure('NON_FINITE', `${name}[${at}] is ${own[at]}`)
  return own
}

/** The instant of a match, and the end of its horizon or NaN. */
function instants(atName, at, endName, end) {
  finite(atName, at)
  if (end === undefined) return { at, horizonEndsAt: NaN }
  finite(endName, end)
  if (end <= at) throw invalid(`${endName} must be after ${atName} (${at}), got ${end}`)
  return { at, horizonEndsAt: end }
}

function adaptationOf({ family: patternType, parameter, reason, numbers: [from, to, n, winRate, lower, upper] }) {
  return { patternType, parameter, from, to, reason, evidence: { n, winRate, lower, upper } }
}

/** Only `open` has it. */
const OPENED = Symbol('opened')

class PatternLearner {
  #native
  #options
  #library
  #shape
  #closing
  #exchanges = new Set()

  constructor(token, opened, options) {
    if (token !== OPENED) throw invalid('a PatternLearner is made by PatternLearner.open()')
    this.#native = opened
    this.#options = options
    this.#library = options.library
    this.#shape = inside.shape(options.library)
  }

  static async open(options) {
    const o = readOptions(options, OPEN, DEFAULTS, 'PatternLearner.open')
    if (o.library === undefined) throw invalid('library is required: the PatternLibrary whose matches are judged')
    const numbers = Float64Array.of(o.costBps / 1e4, o.policy, o.alpha, o.halfLife, o.halfLifeMs, o.minSamples,
      o.similarityThreshold, o.confidenceThreshold, o.periodsPerYear)
    try {
      return new PatternLearner(OPENED, await native.openLearner(o.dataDir, numbers), o)
    } catch (error) {
      throw fromNative(error)
    }
  }

  #throwIfClosed() {
    if (this.#closing !== undefined) throw failure('CLOSED', 'the learner is closed')
  }

  /** The call, with our errors. */
  async #ask(call) {
    this.#throwIfClosed()
    try {
      return await call(this.#native)
    } catch (error) {
      throw fromNative(error)
    }
  }

  async match(values, context) {
    this.#throwIfClosed()
    const own = shapeOf('values', values)
    checkLength('values', own.length, this.#shape.length * this.#shape.channels)
    record('context', context)
    const { patternType, at: when, horizonEndsAt: end, ...rest } = context
    const { at, horizonEndsAt } = instants('context.at', when, 'context.horizonEndsAt', end)
    const { context: market, volatility } = readContext('context', rest)
    const named = patternType === undefined ? undefined : family('context.patternType', patternType)
    const matches = await this.#nearest(own, at)
    const { predicted, similarity, confidence } = predict(matches)
    const type = named ?? familyOf(matches[0]) ?? NO_FAMILY
    const numbers = Float64Array.of(similarity, confidence, predicted, at, horizonEndsAt, volatility, 0)
    const { id, signal, reason } = await this.#ask((learner) => learner.assess(type, numbers, JSON.stringify(market), own))
    for (const exchange of this.#exchanges) exchange.news()
    return {
      experienceId: id, patternType: type, signal: signal === undefined || signal === null ? null : signalOf(signal),
      reason: matches.length === 0 ? 'no pattern of the library has an outcome that was known by then' : reason,
      predicted, similarity, confidence, matches,
    }
  }

  /** The nearest patterns whose outcome was known at `at`. */
  async #nearest(query, at) {
    const wanted = this.#options.neighbors
    for (let k = wanted; ; k *= 4) {
      const found = await this.#library.search(query, { k, asOf: at })
      // What JSON makes of NaN, and what is not a number, is no outcome.
      const known = found.filter(({ meta }) => Number.isFinite(meta.outcome) && Math.abs(meta.outcome) <= MAX_RETURN && Number.isFinite(meta.outcomeAt) && meta.outcomeAt <= at)
      if (known.length >= wanted || found.length < k) return known.slice(0, wanted)
    }
  }

  async record(experience) {
    this.#throwIfClosed()
    record('experience', experience)
    const { patternType, values, similarity, confidence, predicted, context, at: when, horizonEndsAt: end, taken = false } = experience
    family('experience.patternType', patternType)
    const own = shapeOf('experience.values', values)
    checkLength('experience.values', own.length, this.#shape.length * this.#shape.channels)
    share('experience.similarity', similarity)
    share('experience.confidence', confidence)
    returned('experience.predicted', predicted)
    const { at, horizonEndsAt } = instants('experience.at', when, 'experience.horizonEndsAt', end)
    if (typeof taken !== 'boolean') throw invalid(`experience.taken must be a boolean, got ${show(taken)}`)
    const { context: market, volatility } = readContext('experience.context', context)
    const numbers = Float64Array.of(similarity, confidence, predicted, at, horizonEndsAt, volatility, taken ? 1 : 0)
    const id = await this.#ask((learner) => learner.record(patternType, numbers, JSON.stringify(market), own))
    for (const exchange of this.#exchanges) exchange.news()
    return id
  }

  async resolve(experienceId, actualReturn, at) {
    if (typeof experienceId !== 'string') throw invalid(`experienceId must be a string: what record() or match() gave, got ${show(experienceId)}`)
    returned('actualReturn', actualReturn)
    if (at !== undefined) finite('at', at)
    const verdict = await this.#ask((learner) => learner.resolve(experienceId, actualReturn, at ?? NaN, Date.now()))
    for (const exchange of this.#exchanges) exchange.news()
    const { quality, directionCorrect, magnitudeError, netReturn, learned, adaptations } = verdict
    return { experienceId, quality, directionCorrect, magnitudeError, netReturn, learned, adaptations: adaptations.map(adaptationOf) }
  }

  thresholds(patternType) {
    family('patternType', patternType)
    this.#throwIfClosed()
    return this.#thresholds(patternType)
  }

  #thresholds(patternType) {
    const { similarityThreshold, confidenceThreshold } = this.#options
    const [similarity, confidence, samples] = this.#native.thresholds(patternType) ?? [similarityThreshold, confidenceThreshold, 0]
    return { similarity, confidence, samples }
  }

  async trajectory(patternType, options) {
    family('patternType', patternType)
    const { asOf } = readOptions(options, TRAJECTORY, TRAJECTORY_DEFAULTS, 'trajectory')
    // Without an instant whatever is known, also of instants that are to come; what is expired is so by the clock.
    const figures = await this.#ask((learner) => learner.trajectory(patternType, asOf ?? Number.MAX_VALUE))
    const expired = await this.#ask((learner) => learner.trajectory(patternType, asOf ?? Date.now()))
    const [samples, , winRate, lower, upper, meanReturn, sharpe, sortino, maxDrawdown, calmar, profitFactor, valueAtRisk,
      expectedShortfall, best, worst, coverage, target] = figures
    return {
      patternType, samples, expired: expired[1], winRate, winRateInterval: [lower, upper], meanReturn, sharpe, sortino, maxDrawdown, calmar,
      profitFactor, valueAtRisk, expectedShortfall, best, worst, calibration: { coverage, target },
    }
  }

  async #distill(options) {
    const { minSamples, minLowerBound } = readOptions(options, DISTILL, DISTILL_DEFAULTS, 'distill')
    const { length, channels, window, metric, normalize } = this.#shape
    const found = await this.#ask((learner) => learner.distill(minSamples, minLowerBound, length, channels, window, metric, normalize))
    return found.map(({ family: patternType, medoid, values, numbers: [samples, winRate, meanReturn, lowerBound, meanOutcome, knownAt], context }) => (
      { id: medoid, patternType, values, samples, winRate, meanReturn, lowerBound, meanOutcome, knownAt, context: context === '' ? null : JSON.parse(context) }
    ))
  }

  async distill(options) {
    return (await this.#distill(options)).map(({ context, ...pattern }) => pattern)
  }

  async exportTo(db) {
    const patterns = await this.#distill(undefined)
    return exportPatterns(db, patterns, (patternType) => (this.#native.thresholds(patternType) ?? null) !== null)
  }

  async importFrom(db) {
    this.#throwIfClosed()
    return importPatterns(db, this.#library, this.#shape.length * this.#shape.channels)
  }

  async report(file) {
    if (typeof file !== 'string' || file === '' || file.includes('\0')) throw invalid(`path must be a path, got ${show(file)}`)
    const target = path.resolve(file)
    const history = await this.#ask((learner) => learner.history())
    const families = []
    for (const one of history) {
      families.push({
        patternType: one.family, outcomes: one.outcomes, ids: one.ids, trajectory: await this.trajectory(one.family),
        thresholds: this.thresholds(one.family), adaptations: one.adaptations.map((moved) => ({ ...adaptationOf(moved), at: moved.numbers[6] })),
      })
    }
    const { policy, alpha, costBps } = this.#options
    const settings = { policy: policy === 1 ? 'utility' : 'evidence', alpha, costBps }
    await writeReport(target, families, settings, (id) => this.#native.values(id), this.#library, this.#shape)
  }

  async attach(agent) {
    this.#throwIfClosed()
    const exchange = await Exchange.start(agent, this.#native, this.#options, {
      adaptationOf, thresholdsOf: (patternType) => this.#thresholds(patternType),
    })
    this.#exchanges.add(exchange)
    exchange.ended.then(() => this.#exchanges.delete(exchange))
  }

  async close() {
    await (this.#closing ??= this.#close())
  }

  async #close() {
    for (const exchange of this.#exchanges) exchange.stop()
    try {
      await this.#native.close()
    } catch (error) {
      throw fromNative(error)
    }
  }
}
// Node 18 lacks the symbol in its first versions; there and later it is what this says.
Object.defineProperty(PatternLearner.prototype, Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'), {
  value: async function () { await this.close() }, configurable: true, writable: true,
})

function familyOf(match) {
  const type = match?.meta.patternType
  return typeof type === 'string' && type !== '' && Buffer.byteLength(type) <= MAX_FAMILY_BYTES ? type : undefined
}

/** The mean outcome weighted by similarity, and the share of that weight which agrees with its sign. */
function predict(matches) {
  let weight = 0, sum = 0
  for (const { similarity, meta } of matches) {
    weight += similarity
    sum += similarity * meta.outcome
  }
  if (weight === 0) return { predicted: 0, similarity: 0, confidence: 0 }
  const predicted = sum / weight
  let agree = 0
  for (const { similarity, meta } of matches) if (predicted !== 0 && Math.sign(meta.outcome) === Math.sign(predicted)) agree += similarity
  return { predicted, similarity: matches[0].similarity, confidence: Math.min(1, agree / weight) }
}

function signalOf([direction, expectedReturn, lower, upper, confidence]) {
  return { direction: direction > 0 ? 'long' : 'short', expectedReturn, interval: [lower, upper], confidence }
}

module.exports = { PatternLearner }
