'use strict'
// A coordinator with a learner judges what it learns of, and tells all agents what follows ('adapt'): thresholds with the
// evidence that moved them, and the verdicts on very similar matches. An agent that joins is told where everything is.

const { fromNative } = require('./errors.js')
const { encode } = require('./payload.js')
const { ADAPT } = require('./coordinator-inside.js')

/** The command of these messages. */
const COMMAND = 'midstreamer.learning'

/** Verdicts on matches above it are pushed one by one. */
const SIMILARITY = 0.85

/** Families or verdicts of one message: far below the smallest limit of messages in use. */
const MOST = 64

/** Moves of a family's thresholds that travel: the newest. */
const MOVES = 8

class Judge {
  #coordinator
  #learner
  #adaptationOf
  #thresholdsOf
  #heads
  #warn

  /** What is known by now is not news. */
  constructor(coordinator, learner, { adaptationOf, thresholdsOf, warn }) {
    this.#coordinator = coordinator
    this.#learner = learner
    this.#adaptationOf = adaptationOf
    this.#thresholdsOf = thresholdsOf
    this.#warn = warn
    this.#heads = learner.heads()
  }

  /** Judges what has become known since the last time, and pushes it. */
  judge() {
    const until = this.#learner.heads()
    const judged = this.#learner.judged(this.#heads, until)
    this.#heads = until
    if (judged.length === 0) return
    this.#coordinator[ADAPT]((native) => native.judged(Float64Array.from(judged, ({ verdict }) => verdict.quality)))
    const results = judged.filter(({ numbers: [similarity] }) => similarity > SIMILARITY).map(resultOf)
    const moved = judged.filter(({ verdict }) => verdict.adaptations.length > 0)
    const families = new Set([...moved.map(({ family }) => family), ...results.map(({ patternType }) => patternType)])
    this.#push(undefined, [...families], results)
  }

  /** Everything that an agent which has just come has missed. */
  catchUp(agentId) {
    this.#push(agentId, this.#learner.families(), [])
  }

  #push(to, families, results) {
    for (let at = 0; at < Math.max(families.length, results.length); at += MOST) {
      const payload = { families: families.slice(at, at + MOST).map((name) => this.#familyOf(name)), results: results.slice(at, at + MOST) }
      try {
        this.#coordinator[ADAPT]((native) => native.adapt(to, COMMAND, encode(payload, 'payload')))
      } catch (error) {
        const { code, message } = fromNative(error)
        // Agents have the experiences all the same; what is not pushed is told when they join again.
        if (code !== 'CLOSED') this.#warn(`adaptations were not pushed: ${message}`)
        return
      }
    }
  }

  #familyOf(patternType) {
    return {
      patternType, thresholds: this.#thresholdsOf(patternType),
      adaptations: this.#learner.adaptations(patternType).slice(-MOVES).map(this.#adaptationOf),
    }
  }
}

function resultOf({ id, family, numbers: [similarity, predicted, actual], verdict }) {
  const { quality, directionCorrect, magnitudeError, netReturn, learned } = verdict
  return { experienceId: id, patternType: family, similarity, predicted, actual, quality, directionCorrect, magnitudeError, netReturn, learned }
}

module.exports = { Judge }
