'use strict'
// PatternLibrary. The values live in native memory, where a pattern is known by its ordinal; ids and meta live here.

const native = require('./native.js')
const { failure, fromNative, invalid, show } = require('./errors.js')
const { readOptions } = require('./options.js')
const { fileOptions, filePath, inTurn } = require('./library-file.js')
const { allocate, kindOf, toSeries, unshared } = require('./series.js')
const { toJson } = require('./json.js')
const {
  METRICS, NORMALIZATIONS, SHAPE, SHAPE_DEFAULTS, SEARCH, SEARCH_SYNC, SEARCH_DEFAULTS, readPatterns, checkIds, checkLength, endOf,
} = require('./patterns.js')
const { run, throwIfAborted } = require('./task.js')

const NO_HINTS = new Float64Array(0)

/** More patterns near the window before add nothing to the bound that they give the next search. */
const MAX_HINTS = 64

/** What follows the matches in a packed result: candidates, pruned, abandoned, computed, elapsed milliseconds. */
const STATS = 5

function text(name, value) {
  if (typeof value === 'string') return value
  throw invalid(`${name} must be a string, got ${show(value)}`)
}

/** Patterns of a file between two looks at the clock. */
const SLICE = 256

/** How long the event loop is held by one run of slices, in milliseconds. */
const SLICE_MS = 3

/** When the event loop has been round once; a browser has no setImmediate. */
const nextTurn = () => new Promise((resolve) => (globalThis.setImmediate ?? setTimeout)(resolve))

/** Calls `slice(start, end)` for all of `size` patterns and lets others have their turns in between. */
async function inSlices(size, slice) {
  let turn = performance.now()
  for (let start = 0; start < size; start += SLICE) {
    slice(start, Math.min(start + SLICE, size))
    if (performance.now() - turn < SLICE_MS) continue
    await nextTurn()
    turn = performance.now()
  }
}

function corrupt(what) {
  return failure('CORRUPT', `not an intact pattern library: ${what}`)
}

/** The meta of an entry as a file has it. */
function formatMeta({ id, meta }) {
  if (meta === undefined) return null
  try {
    return JSON.stringify(meta)
  } catch (error) {
    // Longer than any string can be; nothing else can go wrong with a value that JSON can hold.
    throw failure('TOO_LARGE', `the meta of the pattern ${show(id)} cannot be saved: ${error.message}`)
  }
}

/** Ids and meta, slice by slice, for what is going to write them. */
async function describe(entries, writer) {
  await inSlices(entries.length, (start, end) => {
    const slice = entries.slice(start, end)
    writer.append(slice.map(({ id }) => id), slice.map(formatMeta))
  })
}

function parseMeta(json, index) {
  if (json === null) return undefined
  try {
    return toJson(() => 'meta', JSON.parse(json))
  } catch (error) {
    throw corrupt(`the meta of pattern ${index}: ${error.message}`)
  }
}

/** What the stream matcher may do with a library; set by the class, for its fields are its own. */
let inside

class PatternLibrary {
  #native
  #shape
  #row
  /** Entries { id, ordinal, meta }, in the order of adding. */
  #byId = new Map()
  #byOrdinal = new Map()
  /** Searches on other threads, which may find what has been removed since: each keeps such entries. */
  #searches = new Set()
  /** Where a synchronous search writes; grows with k. */
  #out = new Float64Array(2 * SEARCH_DEFAULTS.k + STATS)
  #last = null

  static {
    inside = {
      isLibrary: (value) => typeof value === 'object' && value !== null && #native in value,
      shape: (library) => library.#shape,
      push: (library, ...rest) => library.#push(...rest),
      pushMany: (library, ...rest) => library.#pushMany(...rest),
    }
  }

  constructor(options) {
    const shape = readOptions(options, SHAPE, SHAPE_DEFAULTS, 'PatternLibrary')
    if (shape.length === undefined) throw invalid('length is required: the time steps of every pattern, an integer >= 1')
    this.#shape = shape
    this.#row = shape.length * shape.channels
    this.#native = new native.NativeLibrary(shape.length, shape.channels, shape.window, shape.metric, shape.normalize)
  }

  get size() {
    return this.#byId.size
  }

  get lastSearch() {
    if (this.#last === null) return null
    return { ...this.#last }
  }

  add(patterns) {
    const { form, ids, metas, values, nameOf } = readPatterns(patterns, this.#row)
    // After everything was read: a getter of what was passed could have added the same id.
    checkIds(ids, nameOf, (id) => this.#byId.has(id))
    const endsAt = allocate('patterns', Float64Array, ids.length)
    for (let i = 0; i < ids.length; i++) endsAt[i] = endOf(metas[i])
    let first
    try {
      first = this.#native.add(form, values, endsAt)
    } catch (error) {
      throw fromNative(error)
    }
    for (let i = 0; i < ids.length; i++) {
      const entry = { id: ids[i], ordinal: first + i, meta: metas[i] }
      this.#byId.set(entry.id, entry)
      this.#byOrdinal.set(entry.ordinal, entry)
    }
  }

  remove(id) {
    const entry = this.#byId.get(text('id', id))
    if (entry === undefined) return false
    try {
      this.#native.remove(entry.ordinal)
    } catch (error) {
      throw fromNative(error)
    }
    this.#byId.delete(id)
    this.#byOrdinal.delete(entry.ordinal)
    for (const search of this.#searches) search.set(entry.ordinal, entry)
    return true
  }

  get(id) {
    const entry = this.#byId.get(text('id', id))
    if (entry === undefined) return undefined
    const { ordinal, meta } = entry
    const values = allocate('values', Float64Array, this.#row)
    try {
      this.#native.values(ordinal, values)
    } catch (error) {
      throw fromNative(error)
    }
    return meta === undefined ? { id, values } : { id, values, meta }
  }

  async search(query, options) {
    const o = readOptions(options, SEARCH, SEARCH_DEFAULTS, 'PatternLibrary.search')
    throwIfAborted(o.signal)
    const values = toSeries('query', query)
    checkLength('query', values.length, this.#row)
    const removed = new Map()
    this.#searches.add(removed)
    try {
      const packed = await run(o, this.size, (job) => this.#native.search(values, Math.min(o.k, this.size), o.maxDistance, o.asOf, job))
      const found = (packed.length - STATS) / 2
      this.#explain(packed, 2 * found)
      return this.#matches(packed, 0, found, removed)
    } finally {
      this.#searches.delete(removed)
    }
  }

  searchSync(query, options) {
    const o = readOptions(options, SEARCH_SYNC, SEARCH_DEFAULTS, 'PatternLibrary.searchSync')
    const values = toSeries('query', query)
    checkLength('query', values.length, this.#row)
    const found = this.#find(values, o.k, o.maxDistance, o.asOf, NO_HINTS)
    return this.#matches(this.#out, 0, found, undefined)
  }

  /** Searches on this thread; the pairs (ordinal, distance) of as many patterns as it returns stand in #out, which may be another array then. */
  #find(values, k, maxDistance, asOf, hints) {
    const most = Math.min(k, this.size)
    if (this.#out.length < 2 * most + STATS) this.#out = allocate('k', Float64Array, 2 * most + STATS)
    let found
    try {
      found = this.#native.searchSync(values, most, maxDistance, asOf, hints, this.#out)
    } catch (error) {
      throw fromNative(error)
    }
    this.#explain(this.#out, 2 * found)
    return found
  }

  /** One window of a stream: its matches, and the hints for the next. */
  #push(values, k, maxDistance, asOf, hints) {
    const found = this.#find(values, k, maxDistance, asOf, hints)
    return { matches: this.#matches(this.#out, 0, found, undefined), hints: this.#out.slice(0, 2 * Math.min(found, MAX_HINTS)) }
  }

  /**
   * `count` windows of `values`, one beginning at each sample, `asOf` an instant for each or none; `put` gets the
   * matches of each, in order. Returns the hints for the next.
   */
  #pushMany(values, count, k, maxDistance, asOf, hints, put) {
    const most = Math.min(k, this.size)
    const packed = allocate('k', Float64Array, count * (1 + 2 * most) + STATS)
    let end
    try {
      end = this.#native.searchWindowsSync(values, most, maxDistance, asOf, hints, packed)
    } catch (error) {
      throw fromNative(error)
    }
    let found = 0
    for (let at = 0; at < end; at += 2 * found) {
      found = packed[at++]
      put(this.#matches(packed, at, found, undefined))
    }
    this.#explain(packed, end)
    const last = end - 2 * found
    return packed.slice(last, last + 2 * Math.min(found, MAX_HINTS))
  }

  /** Keeps the stats that stand in a packed result from value `at` on. */
  #explain(packed, at) {
    this.#last = {
      candidates: packed[at], prunedByBound: packed[at + 1], abandoned: packed[at + 2], computed: packed[at + 3], elapsedMs: packed[at + 4],
    }
  }

  /** The pairs (ordinal, distance) of a packed result, from value `start` on. */
  #matches(packed, start, found, removed) {
    const { length } = this.#shape
    const matches = new Array(found)
    for (let i = 0; i < found; i++) {
      const ordinal = packed[start + 2 * i]
      const distance = packed[start + 2 * i + 1]
      const { id, meta } = this.#byOrdinal.get(ordinal) ?? removed.get(ordinal)
      const similarity = 1 / (1 + distance / length)
      matches[i] = meta === undefined ? { id, distance, similarity } : { id, distance, similarity, meta }
    }
    return matches
  }

  async save(path, options) {
    const { keyring, context } = fileOptions(options, 'PatternLibrary.save')
    const target = filePath('path', path)
    // Everything that is saved is held from here on: entries and meta never change.
    const entries = Array.from(this.#byId.values())
    try {
      const writer = this.#native.writer()
      await inTurn(target, async () => {
        await describe(entries, writer)
        await writer.write(target, keyring, context)
      })
    } catch (error) {
      throw fromNative(error)
    }
  }

  async toBytes() {
    const entries = Array.from(this.#byId.values())
    try {
      const writer = this.#native.writer()
      await describe(entries, writer)
      return await writer.bytes()
    } catch (error) {
      throw fromNative(error)
    }
  }

  static async load(path, options) {
    const { keyring, context } = fileOptions(options, 'PatternLibrary.load')
    const source = filePath('path', path)
    return await PatternLibrary.#read(() => native.readLibrary(source, keyring, context))
  }

  static async fromBytes(bytes) {
    if (kindOf(bytes) !== 'Uint8Array') throw invalid(`bytes must be a Uint8Array, got ${show(bytes)}`)
    return await PatternLibrary.#read(() => native.decodeLibrary(unshared('bytes', bytes, Uint8Array)))
  }

  static async #read(open) {
    try {
      const reader = await open()
      const [length, channels, window, metric, normalize, size] = reader.shape()
      const library = new PatternLibrary({
        length, channels, window: window < 0 ? undefined : window, metric: METRICS[metric], normalize: NORMALIZATIONS[normalize],
      })
      const endsAt = new Float64Array(size)
      await inSlices(size, (start, end) => {
        const { ids, meta } = reader.texts(start, end - start)
        for (let i = 0; i < ids.length; i++) {
          if (library.#byId.has(ids[i])) throw corrupt(`the id ${show(ids[i])} occurs twice`)
          const entry = { id: ids[i], ordinal: start + i, meta: parseMeta(meta[i] ?? null, start + i) }
          endsAt[entry.ordinal] = endOf(entry.meta)
          library.#byId.set(entry.id, entry)
          library.#byOrdinal.set(entry.ordinal, entry)
        }
      })
      library.#native = await reader.library(endsAt)
      return library
    } catch (error) {
      throw fromNative(error)
    }
  }
}

module.exports = { PatternLibrary, inside }
