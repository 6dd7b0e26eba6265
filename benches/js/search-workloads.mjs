/** The rows about pattern search; see workloads.mjs. Squared cost and z-scores throughout. */
import { PatternLibrary, StreamMatcher, dtwNearest, subsequenceSearch } from '@neural-trader/midstreamer'
import { observe, timed } from './latency.mjs'
import { randomWalk, randomWalks, seededRandom } from './random.mjs'

const LENGTH = 128
const WINDOW = 13 // 10 %
const SIZE = 10_000
const QUERIES = 4
const OPTIONS = { metric: 'squared', normalize: 'zscore' }

function libraryOf(data, window) {
  const library = new PatternLibrary({ length: LENGTH, ...OPTIONS, window })
  library.add({ ids: Array.from({ length: data.length / LENGTH }, (_, i) => String(i)), data })
  return library
}

/** What both report, as numbers. */
const matched = (matches) => matches.flatMap(({ id, distance }) => [Number(id), distance])
const ranked = (rows) => rows.flatMap(({ row, index = row, distance }) => [index, distance])

/** What the rows have in common: walks of prices, and a library of them for each band. */
function workbench({ standardisedRows }) {
  const random = seededRandom(21)
  const data = randomWalks(SIZE, LENGTH, random)
  const queries = Array.from({ length: QUERIES }, () => randomWalk(LENGTH, random))
  return {
    data,
    /** The trader's own preparation, outside of the time as ours is. */
    normal: standardisedRows(data, LENGTH),
    queries,
    unbanded: libraryOf(data, undefined),
    banded: libraryOf(data, WINDOW),
  }
}

function nearest({ data, normal, queries, unbanded, banded }, window, k, { nearestRows, standardised }) {
  const library = window === undefined ? unbanded : banded
  const candidates = { data, length: LENGTH }
  const contender = (name, search, flatten, rest) => ({
    name,
    // Awaiting what is no promise takes nothing that could be seen beside a search.
    async run() {
      const found = []
      for (const query of queries) found.push(await search(query))
      return found
    },
    units: queries.length,
    value: (found) => found.flatMap(flatten),
    ...rest,
  })
  return {
    name: `${k} nearest of ${SIZE} x ${LENGTH}, ${window === undefined ? 'no band' : `band of ${window}`}, z-scores`,
    quick: window !== undefined,
    ...(k === 1 ? { limitMs: window === undefined ? 1.3 : 1.5 } : {}),
    contenders: [
      contender('ours: searchSync', (query) => library.searchSync(query, { k }), matched),
      // Of the ten the nearest is compared: it is what the others of this row find.
      k === 1 && contender('ours: searchSync, 10 nearest', (query) => library.searchSync(query), (found) => matched(found.slice(0, 1)), { atMost: 1.5 }),
      contender('ours: await search', (query) => library.search(query, { k }), matched),
      contender('ours: await dtwNearest, prepares anew', (query) => dtwNearest(query, candidates, { ...OPTIONS, window, k }), ranked),
      contender('JavaScript, early abandoning', (query) => nearestRows(standardised(query), normal, { window, k }), ranked),
    ].filter(Boolean),
  }
}

/** A walk without end; the same for everybody. */
function bars() {
  const random = seededRandom(23)
  let price = 100
  return () => (price *= 1 + (random() - 0.5) * 0.02)
}

/** Full windows are what is measured, so each stream has its first ones before. */
function ourStream(library, options) {
  const matcher = new StreamMatcher(library, options)
  const next = bars()
  for (let i = 1; i < LENGTH; i++) matcher.push(next())
  return { push: (bar) => matcher.push(bar), next }
}

function plainStream(normal, { nearestRows, standardised }) {
  const next = bars()
  const recent = new Float64Array(LENGTH)
  for (let i = 1; i < LENGTH; i++) recent[i] = next()
  const push = (bar) => {
    recent.copyWithin(0, 1)
    recent[LENGTH - 1] = bar
    return nearestRows(standardised(recent), normal, { window: WINDOW, k: 1 })
  }
  return { push, next }
}

/** Bars against the first `size` of the patterns. */
function stream({ data, normal, banded }, size, limits, baseline) {
  const library = size === SIZE ? banded : libraryOf(data.subarray(0, size * LENGTH), WINDOW)
  const contender = (name, { push, next }, flatten, observations, rest) => ({
    name,
    run: () => Array.from({ length: 20 }, () => flatten(push(next()).slice(0, 1))).flat(),
    observe() {
      const bar = next()
      return timed(() => push(bar))
    },
    observations,
    ...rest,
  })
  return {
    name: `A bar against ${size} patterns of ${LENGTH}, band of ${WINDOW}, z-scores`,
    quick: size === 1000,
    measure: observe,
    contenders: [
      contender('ours: StreamMatcher.push, 10 nearest', ourStream(library), matched, 400, limits),
      contender('ours: StreamMatcher.push, 1 nearest', ourStream(library, { k: 1 }), matched, 400),
      contender('JavaScript, early abandoning, 1 nearest', plainStream(normal.subarray(0, size * LENGTH), baseline), ranked, 50_000 / size),
    ],
  }
}

/** What a call takes beyond the search itself, as the library measures that one. */
const beyondTheSearch = (library, query, k) => timed(() => library.searchSync(query, { k })) - library.lastSearch.elapsedMs

/** A large search leaves the caches to its own data: that is in the row of the large library, and not in the other. */
function overhead({ data, queries, banded }, size) {
  const library = size === SIZE ? banded : libraryOf(data.subarray(0, size * LENGTH), WINDOW)
  const contender = (k, limitMs) => {
    let turn = 0
    return {
      name: `ours: ${k} nearest`,
      run: () => queries.map((query) => library.searchSync(query, { k })[0].distance),
      observe: () => beyondTheSearch(library, queries[turn++ % queries.length], k),
      observations: 200,
      limitMs,
    }
  }
  return {
    name: `searchSync less lastSearch.elapsedMs, ${size} x ${LENGTH}`,
    quick: true,
    measure(contenders, settings) {
      // A hot loop's code is compiled: that takes thousands of calls, of which none should take long.
      const few = libraryOf(data.subarray(0, 4 * LENGTH), WINDOW)
      for (let i = 0; i < 20_000; i++) beyondTheSearch(few, queries[i % queries.length], 10)
      return observe(contenders, settings)
    },
    contenders: [contender(1, 0.003), contender(10, 0.01)],
  }
}

/** Prices in ticks: steps that do not grow with the price, so that the walk is the same from end to end. */
function tickWalk(length, random) {
  const out = new Float64Array(length)
  let price = 10_000
  for (let i = 0; i < length; i++) out[i] = price += random() + random() + random() - 1.5
  return out
}

function subsequence({ bestPlace }) {
  const [length, window] = [1_000_000, 6] // 5 %
  const random = seededRandom(25)
  const [series, query] = [tickWalk(length, random), tickWalk(LENGTH, random)]
  const value = ({ start, distance }) => [start, distance]
  return {
    name: `Best place of ${LENGTH} in ${length}, band of ${window}, z-scores`,
    contenders: [
      { name: 'ours: await subsequenceSearch, all threads', run: () => subsequenceSearch(query, series, { ...OPTIONS, window }), value: ([best]) => value(best) },
      { name: 'JavaScript, in the way of the UCR suite', run: () => bestPlace(query, series, window), value },
    ],
  }
}

let instances = 0
/** A fresh one for every row, as in workloads.mjs. */
const freshBaseline = () => import(`./search-baseline.mjs?row=${instances++}`)

/** @returns {Promise<import('./workloads.mjs').Row[]>} */
export async function searchWorkloads() {
  const bench = workbench(await freshBaseline())
  return [
    nearest(bench, undefined, 1, await freshBaseline()),
    nearest(bench, undefined, 10, await freshBaseline()),
    nearest(bench, WINDOW, 1, await freshBaseline()),
    nearest(bench, WINDOW, 10, await freshBaseline()),
    stream(bench, SIZE, { limitMs: 1.5 }, await freshBaseline()),
    stream(bench, 1000, { limitMs: 0.25, limitP99Ms: 0.5 }, await freshBaseline()),
    overhead(bench, 100),
    overhead(bench, SIZE),
    subsequence(await freshBaseline()),
  ]
}
