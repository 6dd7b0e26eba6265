// PatternLibrary against brute force: dtwBatch over everything that is in the library, sorted.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { dtwBatch, dtwSync, PatternLibrary } from '@neural-trader/midstreamer'
import { rejects, throws } from './support/assertions.mjs'
import { libraryOf, randomShape, shape3 } from './support/library.mjs'
import { generator, integer, pick, series, walk } from './support/random.mjs'

/** What a library must be equal to: patterns in the order of adding, compared with everything. */
class Model {
  constructor(options) {
    this.options = options
    this.patterns = []
  }

  async search(query, { k = 10, maxDistance = Infinity, asOf } = {}) {
    const { length, ...options } = this.options
    const eligible = this.patterns.filter(({ meta }) => asOf === undefined || (Number.isFinite(meta?.endsAt) && meta.endsAt <= asOf))
    const distances = await dtwBatch(query, eligible.map(({ values }) => values), { ...options, maxDistance })
    return eligible
      .map(({ id, meta }, index) => ({ id, meta, index, distance: distances[index] }))
      .filter(({ distance }) => distance <= maxDistance && (distance < Infinity || maxDistance === Infinity))
      .sort((a, b) => a.distance - b.distance || a.index - b.index)
      .slice(0, k)
      .map(({ id, meta, distance }) => {
        const similarity = 1 / (1 + distance / length)
        return meta === undefined ? { id, distance, similarity } : { id, distance, similarity, meta }
      })
  }
}

function randomMeta(random) {
  return pick(random, [undefined, null, { endsAt: integer(random, 0, 9) }, { endsAt: integer(random, 0, 9) }, { endsAt: NaN }, { label: 'x' }])
}

function randomSearch(random, size) {
  const options = {
    k: pick(random, [undefined, 1, 2, 10, size + 5]),
    maxDistance: pick(random, [undefined, undefined, 0, 3, 100]),
    asOf: pick(random, [undefined, undefined, 0, 4, 9, Infinity, -Infinity]),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

test('search and searchSync equal brute force after any changes', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = generator(seed)
    const shape = randomShape(random)
    const row = shape.length * (shape.channels ?? 1)
    const library = new PatternLibrary(shape)
    const model = new Model(shape)
    let next = 0
    const pattern = () => {
      const meta = randomMeta(random)
      const values = pick(random, [
        () => series(random, row), () => new Float64Array(row).fill(integer(random, 0, 2)),
        () => model.patterns.at(-1)?.values ?? series(random, row),
      ])()
      return meta === undefined ? { id: `p${next++}`, values } : { id: `p${next++}`, values, meta }
    }
    for (let round = 0; round < 12; round++) {
      const change = integer(random, 0, 3)
      if (change === 0) {
        const one = pattern()
        library.add(one)
        model.patterns.push(one)
      } else if (change === 1) {
        const many = Array.from({ length: integer(random, 0, 300) }, pattern)
        library.add(many)
        model.patterns.push(...many)
      } else if (change === 2) {
        const many = Array.from({ length: integer(random, 0, 40) }, pattern)
        const data = new Float64Array(many.length * row)
        many.forEach(({ values }, i) => data.set(values, i * row))
        library.add({ ids: many.map(({ id }) => id), data, meta: many.map(({ meta }) => meta) })
        model.patterns.push(...many)
      } else {
        const [from, count] = [integer(random, 0, model.patterns.length), integer(random, 0, 250)]
        for (const { id } of model.patterns.splice(from, count)) assert.equal(library.remove(id), true)
        assert.equal(library.remove('p-1'), false)
      }
      assert.equal(library.size, model.patterns.length)
      const query = series(random, row)
      const options = randomSearch(random, library.size)
      const expected = await model.search(query, options)
      assert.deepEqual(library.searchSync(query, options), expected, `seed ${seed} ${JSON.stringify({ shape, options })}`)
      assert.deepEqual(await library.search(query, options), expected)
      const { candidates, prunedByBound, abandoned, computed, elapsedMs } = library.lastSearch
      assert.equal(candidates, prunedByBound + abandoned + computed)
      assert.ok(elapsedMs >= 0 && elapsedMs < 10_000)
    }
  }
})

test('a search sees the library as it was when it was called', async () => {
  const random = generator(7)
  const library = new PatternLibrary({ length: 64, normalize: 'zscore' })
  const patterns = Array.from({ length: 2000 }, (_, i) => ({ id: `p${i}`, values: walk(random, 64), meta: { i } }))
  library.add(patterns)
  const query = walk(random, 64)
  const before = library.searchSync(query, { k: 2000 })
  assert.equal(before.length, 2000)
  const searches = [library.search(query, { k: 2000 })]
  for (const { id } of patterns.slice(0, 1000)) library.remove(id)
  searches.push(library.search(query, { k: 2000 }))
  for (const { id } of patterns.slice(1000, 1500)) library.remove(id)
  // The same ids again, for other patterns.
  library.add(patterns.slice(0, 1000).map(({ id }) => ({ id, values: query, meta: 'new' })))
  const [nearest] = library.searchSync(query, { k: 1 })
  assert.deepEqual(nearest, { id: 'p0', distance: 0, similarity: 1, meta: 'new' })
  const [all, withoutSome] = await Promise.all(searches)
  assert.deepEqual(all, before)
  assert.deepEqual(withoutSome, before.filter(({ meta }) => meta.i >= 1000))
  assert.equal(library.size, 1500)
})

test('many searches at once, with changes in between, each see their own moment', async () => {
  const random = generator(8)
  const library = new PatternLibrary({ length: 16, window: 3 })
  const model = new Model({ length: 16, window: 3 })
  const searches = []
  for (let round = 0; round < 150; round++) {
    const pattern = { id: `p${round}`, values: walk(random, 16), meta: { round } }
    library.add(pattern)
    model.patterns.push(pattern)
    if (round % 3 === 0) {
      const [{ id }] = model.patterns.splice(integer(random, 0, model.patterns.length - 1), 1)
      library.remove(id)
    }
    const query = walk(random, 16)
    const then = Object.assign(new Model(model.options), { patterns: [...model.patterns] })
    searches.push([library.search(query, { k: 200 }), then.search(query, { k: 200 })])
  }
  for (const [found, expected] of searches) assert.deepEqual(await found, await expected)
})

test('no look-ahead: what ends after asOf changes no answer', () => {
  const random = generator(9)
  const options = { length: 20, normalize: 'zscore', window: 4 }
  const past = Array.from({ length: 300 }, (_, i) => ({ id: `past${i}`, values: walk(random, 20), meta: { endsAt: i } }))
  const queries = Array.from({ length: 20 }, () => walk(random, 20))
  const answers = (future) => {
    const library = new PatternLibrary(options)
    // In between, so that the future shares segments with the past.
    for (let i = 0; i < past.length; i++) library.add(future === undefined ? past[i] : [past[i], future(i)])
    return queries.map((query) => library.searchSync(query, { k: 7, asOf: 299 }))
  }
  const expected = answers(undefined)
  for (const endsAt of [300, 299.5, Infinity, NaN, undefined, '5', null]) {
    assert.deepEqual(answers((i) => ({ id: `f${i}`, values: queries[i % 20], meta: { endsAt } })), expected, String(endsAt))
  }
  assert.deepEqual(answers((i) => ({ id: `f${i}`, values: queries[i % 20] })), expected)
  assert.notDeepEqual(answers((i) => ({ id: `f${i}`, values: queries[i % 20], meta: { endsAt: 299 } })), expected)
})

test('ties, duplicates and constants: in the order of adding, also after removals', () => {
  const library = new PatternLibrary({ length: 4, normalize: 'zscore' })
  const constants = Array.from({ length: 600 }, (_, i) => ({ id: `c${i}`, values: new Float64Array(4).fill(i) }))
  library.add(constants)
  const ids = (k) => library.searchSync([5, 5, 5, 5], { k }).map(({ id }) => id)
  assert.deepEqual(ids(3), ['c0', 'c1', 'c2'])
  for (let i = 0; i < 600; i++) if (i % 7 !== 3) library.remove(`c${i}`)
  assert.deepEqual(ids(4), ['c3', 'c10', 'c17', 'c24'])
  library.add({ id: 'c0', values: [1, 1, 1, 1] })
  assert.equal(ids(1000).length, 87)
  assert.equal(ids(1000).at(-1), 'c0')
})

test('distances are those of dtwSync, similarity is from the length', () => {
  const random = generator(10)
  for (const options of [{ metric: 'euclidean' }, { normalize: 'minmax', window: 1 }, { channels: 2, normalize: 'zscore' }]) {
    const library = new PatternLibrary({ length: 12, ...options })
    const values = walk(random, 12 * (options.channels ?? 1))
    library.add({ id: 'a', values })
    const query = walk(random, values.length)
    const distance = dtwSync(query, values, options)
    assert.deepEqual(library.searchSync(query), [{ id: 'a', distance, similarity: 1 / (1 + distance / 12) }])
    assert.deepEqual(library.searchSync(query, { maxDistance: distance }).length, 1)
  }
})

test('get returns what was added: raw values in an array of their own', () => {
  const library = new PatternLibrary({ length: 3, normalize: 'zscore' })
  const values = Float64Array.of(1, 2, 4)
  library.add({ id: 'a', values, meta: { label: 'x' } })
  values.fill(0)
  library.add({ id: '', values: new Float32Array([1.5, 2.5, 3.5]) })
  library.add({ ids: ['b', 'c'], data: new Float32Array([1, 2, 3, 4, 5, 6]) })
  assert.deepEqual(library.get('a'), { id: 'a', values: Float64Array.of(1, 2, 4), meta: { label: 'x' } })
  assert.deepEqual(library.get(''), { id: '', values: Float64Array.of(1.5, 2.5, 3.5) })
  assert.deepEqual(library.get('c').values, Float64Array.of(4, 5, 6))
  library.get('a').values.fill(0)
  assert.deepEqual(library.get('a').values, Float64Array.of(1, 2, 4))
  assert.equal(library.get('z'), undefined)
  assert.equal(library.remove('a'), true)
  assert.equal(library.remove('a'), false)
  assert.equal(library.get('a'), undefined)
  library.add([])
  library.add({ ids: [], data: new Float64Array(0) })
  assert.equal(library.size, 3)
})

test('lastSearch is null, then of the search that finished last', async () => {
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: { endsAt: 4 } }, { id: 'b', values: [9, 9, 9] })
  assert.equal(library.lastSearch, null)
  assert.deepEqual(new PatternLibrary(shape3).searchSync([1, 2, 3]), [])
  library.searchSync([1, 2, 3])
  const first = library.lastSearch
  assert.deepEqual(Object.keys(first), ['candidates', 'prunedByBound', 'abandoned', 'computed', 'elapsedMs'])
  assert.equal(first.candidates, 2)
  first.candidates = 7
  assert.equal(library.lastSearch.candidates, 2)
  await library.search([1, 2, 3], { asOf: 4 })
  assert.equal(library.lastSearch.candidates, 1)
  const before = library.lastSearch
  await rejects(() => library.search([1, 2, 3], { signal: AbortSignal.abort('why') }), 'ABORTED')
  throws(() => library.searchSync([1, 2, NaN]), 'NON_FINITE')
  assert.deepEqual(library.lastSearch, before)
})

test('a search is aborted before and during the work', async () => {
  const random = generator(11)
  const library = new PatternLibrary({ length: 3000 })
  for (let i = 0; i < 100; i++) library.add({ id: `p${i}`, values: walk(random, 3000) })
  const controller = new AbortController()
  const started = performance.now()
  const search = library.search(walk(random, 3000), { k: 100, signal: controller.signal })
  controller.abort('enough')
  const error = await search.catch((reason) => reason)
  assert.equal(error.code, 'ABORTED')
  assert.equal(error.cause, 'enough')
  assert.ok(performance.now() - started < 5000)
  assert.equal(library.lastSearch, null)
})

test('meta is a frozen copy', () => {
  const meta = { endsAt: 5, deep: { list: [1, undefined, null, 'x'], none: undefined }, ['__proto__x']: 1 }
  const tricky = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}')
  const library = libraryOf(
    { id: 'a', values: [1, 2, 3], meta }, { id: 'b', values: [1, 2, 3], meta: tricky }, { id: 'n', values: [1, 2, 3], meta: null },
    { id: 'f', values: [1, 2, 3], meta: false }, { id: 'u', values: [1, 2, 3], meta: undefined },
  )
  meta.endsAt = 100
  meta.deep.list.push(7)
  const copy = library.get('a').meta
  assert.deepEqual(copy, { endsAt: 5, deep: { list: [1, null, null, 'x'] }, ['__proto__x']: 1 })
  assert.ok(Object.isFrozen(copy) && Object.isFrozen(copy.deep) && Object.isFrozen(copy.deep.list))
  assert.equal(library.searchSync([1, 2, 3], { asOf: 5 }).length, 1)
  assert.equal(library.searchSync([1, 2, 3])[0].meta, copy)
  assert.deepEqual(Object.entries(library.get('b').meta), Object.entries(tricky))
  assert.equal({}.polluted, undefined)
  assert.equal(library.get('n').meta, null)
  assert.equal(library.get('f').meta, false)
  assert.equal('meta' in library.get('u'), false)
  assert.equal('meta' in library.searchSync([1, 2, 3])[4], false)
})

test('meta that is not JSON is refused by its place', () => {
  const library = new PatternLibrary(shape3)
  const cycle = { list: [] }
  cycle.list.push({ cycle })
  let deep = {}
  for (let i = 0; i < 100_000; i++) deep = { deep }
  let wide = [1]
  for (let i = 0; i < 40; i++) wide = [wide, wide]
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  for (const [meta, code, ...texts] of [
    [() => 1, 'INVALID_ARGUMENT', 'pattern.meta', 'a function'],
    [{ a: { 'b c': [1, Symbol('s')] } }, 'INVALID_ARGUMENT', 'pattern.meta.a["b c"][1] is Symbol(s)'],
    [{ at: 5n }, 'INVALID_ARGUMENT', 'pattern.meta.at is 5n'],
    [{ endsAt: new Date(0) }, 'INVALID_ARGUMENT', 'pattern.meta.endsAt', 'Date'],
    [[new Map()], 'INVALID_ARGUMENT', 'pattern.meta[0]', 'Map'],
    [new Float64Array(2), 'INVALID_ARGUMENT', 'pattern.meta', 'Float64Array'],
    [cycle, 'INVALID_ARGUMENT', 'pattern.meta.list[0].cycle contains itself'],
    [deep, 'INVALID_ARGUMENT', 'deeper than 500'],
    [wide, 'TOO_LARGE', 'pattern.meta holds more than 1000000 values'],
    [[1, , 2], 'INVALID_ARGUMENT', 'pattern.meta[1] is a hole'],
    [new Array(4e9), 'INVALID_ARGUMENT', 'pattern.meta[0] is a hole'],
    [{ x: proxy }, 'INVALID_ARGUMENT', 'pattern.meta.x is a revoked Proxy'],
  ]) {
    throws(() => library.add({ id: 'a', values: [1, 2, 3], meta }), code, ...texts)
  }
  throws(() => library.add([{ id: 'a', values: [1, 2, 3], meta: { f() {} } }]), 'INVALID_ARGUMENT', 'patterns[0].meta.f')
  throws(() => library.add({ ids: ['a'], data: new Float64Array(3), meta: [{ f() {} }] }), 'INVALID_ARGUMENT', 'block.meta[0].f')
  const own = new Error('from a getter')
  assert.throws(() => library.add({ id: 'a', values: [1, 2, 3], meta: { get x() { throw own } } }), own)
  assert.equal(library.size, 0)
})

test('bad arguments are errors that name them, and change nothing', async () => {
  for (const [options, ...texts] of [
    [undefined, 'length is required'], [{}, 'length is required'], [null, 'options of PatternLibrary'], [{ length: 0 }, 'length', '0'],
    [{ length: 2.5 }, 'length', '2.5'], [{ length: 3, channels: 0 }, 'channels', '0'], [{ length: 3, metric: 'cosine' }, 'metric', '"cosine"'],
    [{ length: 3, normalise: 'zscore' }, '"normalise"', 'normalize'], [{ length: 3, window: -1 }, 'window', '-1'], [{ length: 3, k: 1 }, '"k"'],
  ]) throws(() => new PatternLibrary(options), 'INVALID_ARGUMENT', ...texts)

  const library = libraryOf({ id: 'there', values: [1, 2, 3] })
  const good = { id: 'good', values: [1, 2, 3] }
  const data = new Float64Array(3)
  const detached = new Float64Array(3)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  for (const [patterns, code, ...texts] of [
    [[good, { id: 'there', values: [1, 2, 3] }], 'INVALID_ARGUMENT', 'patterns[1].id', '"there"', 'already'],
    [[good, good], 'INVALID_ARGUMENT', 'patterns[1].id', '"good"', 'twice'],
    [[good, { id: 5, values: [1, 2, 3] }], 'INVALID_ARGUMENT', 'patterns[1].id', '5'],
    [{ id: 'a\ud800', values: [1, 2, 3] }, 'INVALID_ARGUMENT', 'pattern.id', 'Unicode'],
    [[good, { id: 'x', values: [1, NaN, 3] }], 'NON_FINITE', 'patterns[1].values[1] is NaN'],
    [[good, { id: 'x', values: [1, 2] }], 'LENGTH_MISMATCH', 'patterns[1].values holds 2 values', 'have 3'],
    [[good, { id: 'x', values: [] }], 'EMPTY_SERIES', 'patterns[1].values'],
    [[good, { id: 'x' }], 'INVALID_ARGUMENT', 'patterns[1].values', 'undefined'],
    [[good, { id: 'x', values: [1, '2', 3] }], 'INVALID_ARGUMENT', 'patterns[1].values[1]', '"2"'],
    [[good, 7], 'INVALID_ARGUMENT', 'patterns[1]', '7'],
    [[good, , good], 'INVALID_ARGUMENT', 'patterns[1]', 'hole'],
    [{ id: 'x', values: [1, 2, -Infinity] }, 'NON_FINITE', 'pattern.values[2] is -Infinity'],
    [{ id: 'x', values: [1, 2, 3, 4] }, 'LENGTH_MISMATCH', 'pattern.values holds 4 values', 'have 3'],
    [{ id: 'x', values: detached }, 'INVALID_ARGUMENT', 'pattern.values', 'detached'],
    [{ values: [1, 2, 3] }, 'INVALID_ARGUMENT', 'pattern.id', 'undefined'],
    [undefined, 'INVALID_ARGUMENT', 'patterns', 'undefined'], [null, 'INVALID_ARGUMENT', 'patterns', 'null'],
    [new Float64Array(3), 'INVALID_ARGUMENT', 'patterns', 'Float64Array'],
    [{ ids: ['there'], data }, 'INVALID_ARGUMENT', 'block.ids[0]', '"there"'],
    [{ ids: ['x', 'x'], data: new Float64Array(6) }, 'INVALID_ARGUMENT', 'block.ids[1]', 'twice'],
    [{ ids: 'x', data }, 'INVALID_ARGUMENT', 'block.ids', '"x"'],
    [{ ids: ['x'] }, 'INVALID_ARGUMENT', 'block.data', 'undefined'],
    [{ data }, 'INVALID_ARGUMENT', 'block.ids', 'undefined'],
    [{ ids: ['x'], data: [1, 2, 3] }, 'INVALID_ARGUMENT', 'block.data', 'array'],
    [{ ids: ['x', 'y'], data }, 'LENGTH_MISMATCH', 'block.data holds 3 values'],
    [{ ids: ['x'], data, meta: [] }, 'LENGTH_MISMATCH', 'block.meta holds 0', '1'],
    [{ ids: ['x'], data, meta: {} }, 'INVALID_ARGUMENT', 'block.meta'],
    [{ ids: ['x', 'y'], data: Float64Array.of(1, 2, 3, 4, NaN, 6) }, 'NON_FINITE', 'block.data[4] is NaN'],
  ]) throws(() => library.add(patterns), code, ...texts)
  // An id that a getter adds while the call is read.
  const sneaky = { id: 'sneaky', get values() { library.add(good); return [1, 2, 3] } }
  throws(() => library.add([good, sneaky]), 'INVALID_ARGUMENT', 'patterns[0].id', '"good"', 'already')
  assert.equal(library.remove('good'), true)

  for (const [query, options, code, ...texts] of [
    [[1, 2], undefined, 'LENGTH_MISMATCH', 'query holds 2 values', 'have 3'],
    [[], undefined, 'EMPTY_SERIES', 'query'],
    [[1, 2, Infinity], undefined, 'NON_FINITE', 'query[2] is Infinity'],
    ['123', undefined, 'INVALID_ARGUMENT', 'query', '"123"'],
    [[1, 2, 3], { k: 0 }, 'INVALID_ARGUMENT', 'k', '0'],
    [[1, 2, 3], { k: 1.5 }, 'INVALID_ARGUMENT', 'k', '1.5'],
    [[1, 2, 3], { maxDistance: -1 }, 'INVALID_ARGUMENT', 'maxDistance', '-1'],
    [[1, 2, 3], { asOf: NaN }, 'INVALID_ARGUMENT', 'asOf', 'NaN'],
    [[1, 2, 3], { asOf: new Date() }, 'INVALID_ARGUMENT', 'asOf', 'Date'],
    [[1, 2, 3], { window: 3 }, 'INVALID_ARGUMENT', '"window"'],
  ]) {
    throws(() => library.searchSync(query, options), code, ...texts)
    await rejects(() => library.search(query, options), code, ...texts)
  }
  throws(() => library.searchSync([1, 2, 3], { signal: new AbortController().signal }), 'INVALID_ARGUMENT', '"signal"')
  throws(() => library.get(1), 'INVALID_ARGUMENT', 'id must be a string, got 1')
  throws(() => library.remove(undefined), 'INVALID_ARGUMENT', 'id must be a string, got undefined')
  assert.equal(library.size, 1)
  assert.equal(library.lastSearch, null)
  // k beyond any number of patterns, and a distance that overflows: finite values, so it has a rank.
  assert.equal(library.searchSync([1, 2, 3], { k: Number.MAX_SAFE_INTEGER }).length, 1)
  library.add({ id: 'far', values: [1e308, -1e308, 1e308] })
  assert.deepEqual(library.searchSync([-1e308, 1e308, -1e308])[0], { id: 'there', distance: Infinity, similarity: 0 })
  assert.deepEqual(library.searchSync([-1e308, 1e308, -1e308], { maxDistance: Number.MAX_VALUE }), [])
})

test('shared memory is copied, and what a caller changes later changes nothing', async () => {
  const shared = new Float64Array(new SharedArrayBuffer(24))
  shared.set([1, 2, 3])
  const library = libraryOf({ id: 'a', values: shared })
  const data = Float64Array.of(0, 4, 5, 6, 0).subarray(1, 4)
  library.add({ ids: ['b'], data })
  data.fill(0)
  const query = Float64Array.of(4, 5, 6)
  const search = library.search(query, { k: 1 })
  query.fill(1)
  shared.fill(9)
  assert.deepEqual(await search, [{ id: 'b', distance: 0, similarity: 1 }])
  assert.deepEqual(library.get('a').values, Float64Array.of(1, 2, 3))
})

test('a worker thread has libraries of its own, and ends with a search under way', async () => {
  const entry = new URL('../index.js', import.meta.url).href
  const source = `
    import { parentPort } from 'node:worker_threads'
    import m from ${JSON.stringify(entry)}
    const library = new m.PatternLibrary({ length: 2000 })
    for (let i = 0; i < 40; i++) library.add({ id: String(i), values: new Float64Array(2000).fill(i) })
    const query = new Float64Array(2000).fill(3)
    const found = [library.searchSync(query, { k: 2 }), await library.search(query, { k: 2 })]
    parentPort.postMessage(found.map((matches) => matches.map(({ id }) => id)))
    library.search(query, { k: 40 })
    process.exit()`
  const thread = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
  const [[message], [code]] = await Promise.all([once(thread, 'message'), once(thread, 'exit')])
  assert.deepEqual(message, [['3', '2'], ['3', '2']])
  assert.equal(code, 0)
})

test('memory of removed patterns comes back', () => {
  const library = new PatternLibrary({ length: 1000, normalize: 'zscore' })
  const data = Float64Array.from({ length: 1_000_000 }, (_, i) => (i * 7919) % 1009)
  const add = (round) => {
    const ids = Array.from({ length: 1000 }, (_, i) => `p${1000 * round + i}`)
    library.add({ ids, data })
    return ids
  }
  for (const id of add(0)) library.remove(id)
  const before = process.memoryUsage().rss
  // 30 x 16 MB, of which all but 10 patterns a round are removed.
  for (let round = 1; round <= 30; round++) for (const id of add(round).slice(10)) library.remove(id)
  assert.equal(library.size, 300)
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  assert.ok(grown < 150, `${grown} MiB`)
})

test('a loop without a turn of the event loop keeps no memory', () => {
  const library = new PatternLibrary({ length: 100_000 })
  library.add({ id: 'a', values: new Float64Array(100_000).fill(1) })
  const before = process.memoryUsage().rss
  // 500 x 0.8 MB.
  for (let i = 0; i < 500; i++) assert.equal(library.get('a').values[i], 1)
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  assert.ok(grown < 200, `${grown} MiB`)
})

test('a pattern may have fields of its own, whatever they are called', () => {
  const library = new PatternLibrary({ length: 2 })
  library.add({ id: 'a', values: [1, 2], data: 'mine' })
  library.add([{ id: 'b', values: [1, 2], data: [3] }])
  assert.equal(library.size, 2)
})

test('toBytes and fromBytes: every library comes back, nothing else is taken', async () => {
  const random = generator(13)
  for (let round = 0; round < 8; round++) {
    const shape = randomShape(random)
    const row = shape.length * (shape.channels ?? 1)
    const library = new PatternLibrary(shape)
    for (let i = 0; i < pick(random, [0, 1, 700]); i++) library.add({ id: `p${i}`, values: series(random, row), ...(i % 3 && { meta: { endsAt: i % 9, i } }) })
    const bytes = await library.toBytes()
    assert.ok(bytes instanceof Uint8Array)
    const loaded = await PatternLibrary.fromBytes(bytes)
    for (const asOf of [undefined, 4]) {
      const [query, options] = [series(random, row), { k: 1000, asOf }]
      assert.deepEqual(loaded.searchSync(query, options), library.searchSync(query, options))
    }
    assert.deepEqual(await loaded.toBytes(), bytes)
  }
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: 'old' }, { id: 'b', values: [4, 5, 6] })
  const pending = library.toBytes()
  library.remove('a')
  const bytes = await pending
  const before = bytes.slice()
  const reading = PatternLibrary.fromBytes(bytes)
  bytes.fill(0)
  assert.equal((await reading).get('a').meta, 'old')
  for (const wrong of [undefined, null, 'x', [1], before.buffer, new Float64Array(4)]) await rejects(() => PatternLibrary.fromBytes(wrong), 'INVALID_ARGUMENT', 'bytes')
  for (let length = 0; length < before.length; length++) await rejects(() => PatternLibrary.fromBytes(before.subarray(0, length)), 'CORRUPT')
  for (let at = 0; at < before.length; at++) {
    const spoilt = before.slice()
    spoilt[at] ^= 1 << at % 8
    await assert.rejects(() => PatternLibrary.fromBytes(spoilt), ({ code }) => ['CORRUPT', 'SCHEMA'].includes(code))
  }
})
