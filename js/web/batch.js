'use strict'
// A batch is a call for each worker: every pair is computed by itself, so the parts together have the bits of the whole.

/** Where the arguments of a batch have the candidates: their values, ends and steps, and the channels (undefined: 1). */
const BATCHES = {
  dtwBatch: { values: 1, ends: 2, steps: 3, channels: 8 },
  elasticBatch: { values: 2, ends: 3, steps: 4 },
}

/** A part below this many values is not worth the messages. */
const LEAST_VALUES = 10_000

/** Where each candidate ends in the values, or undefined when one of them is going to be refused: then by its place in the whole. */
function endsOf(values, ends, steps, channels) {
  const row = steps * channels
  if (steps > 0 && values.length % row !== 0) return undefined
  const all = steps > 0 ? Float64Array.from({ length: values.length / row }, (_, i) => (i + 1) * row) : ends
  let start = 0
  for (const end of all) {
    if (end <= start || (end - start) % channels !== 0) return undefined
    start = end
  }
  return start === values.length && values.every(Number.isFinite) ? all : undefined
}

/** The arguments of at most `width` parts, or none when there is nothing to divide. */
function partsOf(name, args, width) {
  const at = BATCHES[name]
  const values = args[at.values]
  const most = Math.min(width, Math.floor(values.length / LEAST_VALUES))
  if (most < 2) return []
  const ends = endsOf(values, args[at.ends], args[at.steps], args[at.channels] ?? 1)
  if (ends === undefined || ends.length < 2) return []
  const parts = Math.min(most, ends.length)
  return Array.from({ length: parts }, (_, part) => {
    const [first, last] = [part, part + 1].map((border) => Math.floor((border * ends.length) / parts))
    const begin = first === 0 ? 0 : ends[first - 1]
    const own = args.slice()
    own[at.values] = values.subarray(begin, ends[last - 1])
    if (!(args[at.steps] > 0)) own[at.ends] = ends.slice(first, last).map((end) => end - begin)
    return own
  })
}

/** What is asked of a call, or of all its parts; `cancel()` makes it leave, also before it has begun, `done` says how far it is. */
class Job {
  cancelled = false
  leave = undefined
  /** What the worker has told. */
  told = 0
  #parts = []

  get done() {
    return this.#parts.reduce((sum, part) => sum + part.done, this.told)
  }

  cancel() {
    this.cancelled = true
    this.leave?.()
    for (const part of this.#parts) part.cancel()
  }

  divided(count) {
    this.#parts = Array.from({ length: count }, () => new Job())
    if (this.cancelled) this.cancel()
    return this.#parts
  }
}

/** Makes `call(args, job)` of all parts at once, and one result of theirs. */
async function inParts(name, args, width, job, call) {
  const parts = partsOf(name, args, width)
  if (parts.length === 0) return await call(args, job)
  const whole = job ?? new Job()
  const jobs = whole.divided(parts.length)
  let results
  try {
    results = await Promise.all(parts.map((own, i) => call(own, jobs[i])))
  } catch (error) {
    // Nobody wants the others any more.
    whole.cancel()
    throw error
  }
  const joined = new Float64Array(results.reduce((sum, { length }) => sum + length, 0))
  let end = 0
  for (const result of results) {
    joined.set(result, end)
    end += result.length
  }
  return joined
}

module.exports = { BATCHES, Job, inParts }
