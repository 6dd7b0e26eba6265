'use strict'
// StreamMatcher: the last `length` samples against a library, sample by sample.

const { failure, invalid, show } = require('./errors.js')
const { readOptions, checksOf, count, bound } = require('./options.js')
const { allocate, toSeries, toValues } = require('./series.js')
const { inside } = require('./library.js')

const OPTIONS = checksOf({ k: count, maxDistance: bound })
const DEFAULTS = Object.freeze({ k: 10, maxDistance: Infinity })

const NOTHING = new Float64Array(0)

/** The most windows, and the most matches, of one call of the addon: all of its results are in memory at once. */
const CHUNK_WINDOWS = 4096
const CHUNK_MATCHES = 1 << 18

function refuseNonFinite(name, values) {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw failure('NON_FINITE', `${name}[${i}] is ${values[i]}`)
  }
}

/** An instant, NaN for none. */
function instant(at) {
  if (at === undefined) return NaN
  if (typeof at !== 'number') throw invalid(`at must be a number, in epoch milliseconds, got ${show(at)}`)
  if (!Number.isFinite(at)) throw failure('NON_FINITE', `at is ${at}`)
  return at
}

class StreamMatcher {
  #library
  #k
  #maxDistance
  #length
  #channels
  /** The last `length` samples twice, one run after the other, so that they are one run from wherever they begin. */
  #ring
  /** Where in the first run the next sample goes. */
  #next = 0
  /** Samples since the beginning, at most `length`. */
  #filled = 0
  /** Pairs (ordinal, distance) of what was near to the last window: likely to be near to the next. */
  #hints = NOTHING

  constructor(library, options) {
    if (!inside.isLibrary(library)) throw invalid(`library must be a PatternLibrary, got ${show(library)}`)
    const { k, maxDistance } = readOptions(options, OPTIONS, DEFAULTS, 'StreamMatcher')
    const { length, channels } = inside.shape(library)
    this.#library = library
    this.#k = k
    this.#maxDistance = maxDistance
    this.#length = length
    this.#channels = channels
    this.#ring = allocate('library', Float64Array, 2 * length * channels)
  }

  push(value, at) {
    const asOf = instant(at)
    if (typeof value === 'number' && this.#channels === 1) {
      if (!Number.isFinite(value)) throw failure('NON_FINITE', `value is ${value}`)
      this.#ring[this.#next] = this.#ring[this.#next + this.#length] = value
    } else {
      const sample = typeof value === 'number' ? [value] : toSeries('value', value)
      if (sample.length !== this.#channels) {
        throw failure('LENGTH_MISMATCH', `value holds ${sample.length} values, a time step of the library has ${this.#channels}`)
      }
      refuseNonFinite('value', sample)
      this.#ring.set(sample, this.#next * this.#channels)
      this.#ring.set(sample, (this.#next + this.#length) * this.#channels)
    }
    const next = (this.#next + 1) % this.#length
    const filled = Math.min(this.#filled + 1, this.#length)
    let matches = []
    if (filled === this.#length) {
      const window = this.#before(next, this.#length)
      ;({ matches, hints: this.#hints } = inside.push(this.#library, window, this.#k, this.#maxDistance, asOf, this.#hints))
    }
    // Only now: after a search that failed, what was written stands where the next sample goes, and is in no window.
    this.#next = next
    this.#filled = filled
    return matches
  }

  pushMany(values, at) {
    const [length, channels] = [this.#length, this.#channels]
    const added = toValues('values', values)
    if (added.length % channels !== 0) {
      throw failure('LENGTH_MISMATCH', `values holds ${added.length} values, which is not a multiple of channels ${channels}`)
    }
    const count = added.length / channels
    const instants = at === undefined ? undefined : toValues('at', at)
    if (instants !== undefined && instants.length !== count) {
      throw failure('LENGTH_MISMATCH', `at holds ${instants.length} instants for ${count} samples`)
    }
    if (count === 0) return []
    // A copy first: what is checked must be what is pushed.
    const before = Math.min(this.#filled, length - 1)
    const all = allocate('values', Float64Array, (before + count) * channels)
    all.set(this.#before(this.#next, before))
    all.set(added, before * channels)
    refuseNonFinite('values', all.subarray(before * channels))
    if (instants !== undefined) refuseNonFinite('at', instants)

    const windows = Math.max(0, before + count - length + 1)
    const answers = Array.from({ length: count - windows }, () => [])
    const hints = this.#search(all, windows, instants?.subarray(count - windows), (matches) => answers.push(matches))
    this.#keep(all, count)
    this.#hints = hints
    return answers
  }

  reset() {
    this.#next = 0
    this.#filled = 0
    this.#hints = NOTHING
  }

  /** The `steps` samples before place `next`. */
  #before(next, steps) {
    const end = next + this.#length
    return this.#ring.subarray((end - steps) * this.#channels, end * this.#channels)
  }

  /** Searches with each of the windows of `all`, chunk by chunk; returns the hints for the one after them. */
  #search(all, windows, instants, put) {
    const channels = this.#channels
    const most = Math.max(1, Math.min(this.#k, this.#library.size))
    const chunk = Math.max(1, Math.min(CHUNK_WINDOWS, Math.floor(CHUNK_MATCHES / most)))
    let hints = this.#hints
    for (let start = 0; start < windows; start += chunk) {
      const end = Math.min(start + chunk, windows)
      const values = all.subarray(start * channels, (end + this.#length - 1) * channels)
      const asOf = instants === undefined ? NOTHING : instants.subarray(start, end)
      hints = inside.pushMany(this.#library, values, end - start, this.#k, this.#maxDistance, asOf, hints, put)
    }
    return hints
  }

  /** The last samples of `all`, of which the last `count` are new, into the ring. */
  #keep(all, count) {
    const [length, channels] = [this.#length, this.#channels]
    const steps = Math.min(length, all.length / channels)
    const tail = all.subarray(all.length - steps * channels)
    this.#ring.set(tail)
    this.#ring.set(tail, length * channels)
    this.#next = steps % length
    this.#filled = Math.min(length, this.#filled + count)
  }
}

module.exports = { StreamMatcher }
