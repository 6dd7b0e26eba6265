// StreamMatcher against searchSync with the last samples, and against itself in other chunks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dtwBatch, PatternLibrary, StreamMatcher } from '@neural-trader/midstreamer'
import { throws } from './support/assertions.mjs'
import { generator, integer, pick, series, ties, walk } from './support/random.mjs'

function libraryOf(random, options, size) {
  const library = new PatternLibrary(options)
  const row = options.length * (options.channels ?? 1)
  library.add(Array.from({ length: size }, (_, i) => ({ id: `p${i}`, values: series(random, row), meta: { endsAt: 10 * i } })))
  return library
}

/** What pushes must return: searchSync with the last samples, one after the other. */
function expectedAnswers(library, options, samples, instants, search) {
  const { length, channels = 1 } = options
  return instants.map((at, i) => {
    if (i + 1 < length) return []
    return library.searchSync(samples.subarray((i + 1 - length) * channels, (i + 1) * channels), at === undefined ? search : { ...search, asOf: at })
  })
}

test('2,000 pushes equal searchSync with the last samples, under every option', () => {
  for (const [seed, options, search] of [
    [1, { length: 16, normalize: 'zscore', window: 2 }, { k: 3 }],
    [2, { length: 8 }, {}],
    [3, { length: 5, channels: 3, normalize: 'minmax', metric: 'squared' }, { k: 2, maxDistance: 2 }],
    [4, { length: 1, metric: 'euclidean' }, { k: 1 }],
    [5, { length: 12, channels: 2, normalize: 'zscore', metric: 'euclidean', window: 0 }, { k: 100 }],
  ]) {
    const random = generator(seed)
    const library = libraryOf(random, options, 40)
    const channels = options.channels ?? 1
    const samples = (seed === 2 ? ties : walk)(random, 2000 * channels)
    // Instants mostly ascend, now and then a late one or none.
    const instants = Array.from({ length: 2000 }, (_, i) => pick(random, [i / 4, i / 4, i / 5, undefined]))
    const expected = expectedAnswers(library, options, samples, instants, search)
    const matcher = new StreamMatcher(library, search)
    for (let i = 0; i < 2000; i++) {
      const sample = samples.subarray(i * channels, (i + 1) * channels)
      const value = channels === 1 && i % 2 === 0 ? sample[0] : pick(random, [sample, Array.from(sample)])
      assert.deepEqual(matcher.push(value, instants[i]), expected[i], `seed ${seed}, push ${i}`)
    }
    assert.deepEqual(library.lastSearch.candidates, library.lastSearch.prunedByBound + library.lastSearch.abandoned + library.lastSearch.computed)
  }
})

test('a library large enough to be screened: pushes and searches equal comparing everything', async () => {
  const random = generator(21)
  for (const options of [{ length: 24, normalize: 'zscore' }, { length: 24, window: 3 }, { length: 24, metric: 'euclidean', normalize: 'minmax', window: 0 }]) {
    const library = new PatternLibrary(options)
    const patterns = Array.from({ length: 900 }, (_, i) => ({ id: `p${i}`, values: walk(random, 24), meta: { endsAt: i } }))
    library.add(patterns)
    const samples = walk(random, 140)
    const matcher = new StreamMatcher(library, { k: 4 })
    const { length, ...compared } = options
    for (let i = 0; i < 140; i++) {
      // What was near is likely to be removed, so that hints go stale.
      if (i % 10 === 9 && i > 24) {
        const [{ id }] = matcher.push(samples[i - 1])
        assert.equal(library.remove(id), true)
        patterns.splice(patterns.findIndex((pattern) => pattern.id === id), 1)
        matcher.reset()
        for (let k = i - 23; k < i; k++) matcher.push(samples[k])
      }
      const at = i % 3 === 0 ? undefined : 6 * i
      const found = matcher.push(samples[i], at)
      if (i < 24) continue
      const eligible = patterns.filter(({ meta }) => at === undefined || meta.endsAt <= at)
      const distances = await dtwBatch(samples.subarray(i - 23, i + 1), eligible.map(({ values }) => values), compared)
      const expected = eligible
        .map(({ id, meta }, index) => ({ id, distance: distances[index], similarity: 1 / (1 + distances[index] / length), meta }))
        .sort((a, b) => a.distance - b.distance || a.meta.endsAt - b.meta.endsAt)
      assert.deepEqual(found, expected.slice(0, 4), `${JSON.stringify(options)}, push ${i}`)
    }
  }
})

test('pushMany in any chunks, mixed with push and reset, equals push', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = generator(100 + seed)
    const options = { length: integer(random, 1, 12), channels: integer(random, 1, 2), normalize: pick(random, ['none', 'zscore']) }
    const { channels } = options
    const library = libraryOf(random, options, 30)
    const search = { k: pick(random, [1, 4, 50]), maxDistance: pick(random, [Infinity, 5]) }
    const [one, many] = [new StreamMatcher(library, search), new StreamMatcher(library, search)]
    for (let round = 0; round < 12; round++) {
      if (random() < 0.15) {
        one.reset()
        many.reset()
      }
      const count = pick(random, [0, 1, 2, options.length - 1, options.length, 70, 200])
      const values = walk(random, count * channels)
      const at = random() < 0.5 ? Float64Array.from({ length: count }, () => integer(random, 0, 300)) : undefined
      const expected = Array.from({ length: count }, (_, i) => one.push(values.slice(i * channels, (i + 1) * channels), at?.[i]))
      const got = random() < 0.3
        ? Array.from({ length: count }, (_, i) => many.push(Array.from(values.slice(i * channels, (i + 1) * channels)), at?.[i]))
        : many.pushMany(pick(random, [values, Array.from(values)]), at)
      assert.deepEqual(got, expected, `seed ${seed}, round ${round}`)
    }
  }
})

test('more windows than one call of the addon takes', () => {
  const random = generator(31)
  const options = { length: 4, normalize: 'zscore' }
  const library = libraryOf(random, options, 5)
  const samples = walk(random, 10_000)
  const answers = new StreamMatcher(library, { k: 2 }).pushMany(samples)
  assert.equal(answers.length, 10_000)
  for (const i of [0, 2, 3, 4098, 4099, 4100, 8194, 8195, 9999]) {
    assert.deepEqual(answers[i], i < 3 ? [] : library.searchSync(samples.subarray(i - 3, i + 1), { k: 2 }))
  }
})

test('each push searches the library as it is then', () => {
  const library = new PatternLibrary({ length: 2 })
  const matcher = new StreamMatcher(library)
  assert.deepEqual(matcher.push(1), [])
  assert.deepEqual(matcher.push(2), [])
  library.add([{ id: 'a', values: [2, 3] }, { id: 'b', values: [2, 4], meta: { endsAt: 5 } }])
  assert.deepEqual(matcher.push(3).map(({ id }) => id), ['a', 'b'])
  // What was near to the last window is gone when the next one is searched.
  library.remove('a')
  assert.deepEqual(matcher.push(4).map(({ id }) => id), ['b'])
  library.add({ id: 'a', values: [4, 5], meta: 'again' })
  assert.deepEqual(matcher.push(5), [{ id: 'a', distance: 0, similarity: 1, meta: 'again' }, { id: 'b', distance: 3, similarity: 0.4, meta: { endsAt: 5 } }])
  assert.deepEqual(matcher.push(6, 4), [])
  assert.deepEqual(matcher.pushMany([7, 8], [5, 4]).map((matches) => matches.map(({ id }) => id)), [['b'], []])
  library.remove('a')
  library.remove('b')
  assert.deepEqual(matcher.push(9), [])
  assert.deepEqual(matcher.pushMany([1, 2]), [[], []])
})

test('no look-ahead: later bars and later patterns change no answer', () => {
  const random = generator(32)
  const options = { length: 10, normalize: 'zscore', window: 2 }
  const samples = walk(random, 300)
  const instants = Float64Array.from({ length: 300 }, (_, i) => i)
  const pattern = (i) => ({ id: `p${i}`, values: samples.slice(i - 9, i + 1), meta: { endsAt: i } })
  const run = (end, patterns) => {
    const library = new PatternLibrary(options)
    library.add(patterns)
    return new StreamMatcher(library, { k: 5 }).pushMany(samples.slice(0, end), instants.slice(0, end))
  }
  const all = Array.from({ length: 291 }, (_, i) => pattern(i + 9))
  const answers = run(300, all)
  // A window finds itself among the patterns that have ended, and never one that has not.
  for (let i = 9; i < 300; i++) {
    assert.equal(answers[i][0].distance, 0)
    assert.ok(answers[i].every(({ meta }) => meta.endsAt <= i))
  }
  for (const end of [100, 101, 250]) {
    assert.deepEqual(run(end, all), answers.slice(0, end))
    const past = all.filter(({ meta }) => meta.endsAt < end)
    const changed = all.filter(({ meta }) => meta.endsAt >= end).map((later) => ({ ...later, values: walk(random, 10) }))
    assert.deepEqual(run(end, past), answers.slice(0, end))
    assert.deepEqual(run(end, [...past, ...changed]), answers.slice(0, end))
  }
})

test('bad samples are refused and leave the stream as it was', () => {
  const random = generator(33)
  const library = libraryOf(random, { length: 3 }, 5)
  const wide = libraryOf(random, { length: 3, channels: 2 }, 5)
  const matcher = new StreamMatcher(library, { k: 2 })
  const twin = new StreamMatcher(library, { k: 2 })
  const wideMatcher = new StreamMatcher(wide)
  for (let round = 0; round < 8; round++) {
    for (const [value, at, code, ...texts] of [
      [NaN, undefined, 'NON_FINITE', 'value is NaN'], [Infinity, 1, 'NON_FINITE', 'value is Infinity'],
      [[NaN], undefined, 'NON_FINITE', 'value[0] is NaN'], [1, NaN, 'NON_FINITE', 'at is NaN'], [1, Infinity, 'NON_FINITE', 'at is Infinity'],
      [1, '5', 'INVALID_ARGUMENT', 'at', '"5"'], [1, null, 'INVALID_ARGUMENT', 'at', 'null'], ['1', undefined, 'INVALID_ARGUMENT', 'value', '"1"'],
      [undefined, undefined, 'INVALID_ARGUMENT', 'value', 'undefined'], [[1, 2], undefined, 'LENGTH_MISMATCH', 'value holds 2 values', '1'],
      [[], undefined, 'EMPTY_SERIES', 'value'],
    ]) throws(() => matcher.push(value, at), code, ...texts)
    for (const [values, at, code, ...texts] of [
      [[1, 2, NaN, 4], undefined, 'NON_FINITE', 'values[2] is NaN'], [[1, 2], [1, Infinity], 'NON_FINITE', 'at[1] is Infinity'],
      [[1, 2], [1], 'LENGTH_MISMATCH', 'at holds 1 instants for 2 samples'], [5, undefined, 'INVALID_ARGUMENT', 'values', '5'],
      [[1, 2], 5, 'INVALID_ARGUMENT', 'at', '5'], [[], [1], 'LENGTH_MISMATCH', 'at holds 1 instants for 0 samples'],
    ]) throws(() => matcher.pushMany(values, at), code, ...texts)
    throws(() => wideMatcher.push(1), 'LENGTH_MISMATCH', 'value holds 1 values', '2')
    throws(() => wideMatcher.pushMany([1, 2, 3]), 'LENGTH_MISMATCH', 'values holds 3 values', 'channels 2')
    const value = random()
    assert.deepEqual(matcher.push(value), twin.push(value))
  }
  for (const [other, options, ...texts] of [
    [undefined, undefined, 'library must be a PatternLibrary', 'undefined'], [{}, undefined, 'library must be a PatternLibrary'],
    [library, { k: 0 }, 'k', '0'], [library, { asOf: 1 }, '"asOf"'], [library, { maxDistance: NaN }, 'maxDistance', 'NaN'],
  ]) throws(() => new StreamMatcher(other, options), 'INVALID_ARGUMENT', ...texts)
})

test('200,000 pushes: exact to the end, in constant memory', () => {
  const random = generator(34)
  const options = { length: 32, normalize: 'zscore', window: 3 }
  const library = libraryOf(random, options, 3)
  const matcher = new StreamMatcher(library, { k: 1 })
  const last = new Float64Array(32)
  const push = (count, offset) => {
    for (let i = 0; i < count; i++) {
      // Prices of 1e5 that move by cents: where running sums would lose what moves.
      const value = 1e5 + offset + Math.round(100 * random()) / 100
      last.copyWithin(0, 1)
      last[31] = value
      const matches = matcher.push(value)
      if (i % 1000 === 999) assert.deepEqual(matches, library.searchSync(last, { k: 1 }))
    }
  }
  push(50_000, 0)
  globalThis.gc?.()
  const before = process.memoryUsage()
  push(150_000, 1e9)
  const after = process.memoryUsage()
  assert.ok(after.external - before.external < 2 ** 20, `${after.external - before.external} bytes outside the heap`)
  assert.ok(after.rss - before.rss < 64 * 2 ** 20, `${after.rss - before.rss} bytes`)
})
