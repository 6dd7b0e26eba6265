// The best places of a query in a long series, against every window one by one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { dtwSync, subsequenceSearch } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { generator, integer, pick, series, ties, walk } from './support/random.mjs'

const random = generator(33)

/** By the definition, from the distances that dtwSync gives. */
function expected(query, long, { k = 1, exclusion, channels = 1, maxDistance = Infinity, ...options } = {}) {
  const steps = query.length / channels
  exclusion ??= Math.floor(steps / 2)
  const windows = []
  for (let start = 0; start + steps <= long.length / channels; start++) {
    const window = long.slice(start * channels, (start + steps) * channels)
    windows.push({ start, distance: dtwSync(query, window, { channels, ...options }) })
  }
  windows.sort((a, b) => a.distance - b.distance || a.start - b.start)
  const accepted = []
  for (const each of windows) {
    if (accepted.length === k || each.distance > maxDistance) break
    if (accepted.every((other) => Math.abs(other.start - each.start) > exclusion)) accepted.push(each)
  }
  return accepted
}

test('equals dtwSync of every window and the greedy choice, for all options', async () => {
  for (let round = 0; round < 150; round++) {
    const channels = pick(random, [1, 1, 1, 2, 3])
    const steps = integer(random, 1, 40)
    const level = pick(random, [0, 0, 1e5, 1e9])
    const long = series(random, channels * integer(random, steps, 300)).map((x) => x + level)
    const at = channels * integer(random, 0, long.length / channels - steps)
    const query = random() < 0.5 ? series(random, channels * steps) : long.slice(at, at + channels * steps)
    const options = { channels, metric: pick(random, ['absolute', 'squared', 'euclidean']), normalize: pick(random, ['none', 'zscore', 'minmax']) }
    if (random() < 0.6) options.window = integer(random, 0, 12)
    if (random() < 0.7) options.k = pick(random, [1, 2, 5, 1000, Number.MAX_SAFE_INTEGER])
    if (random() < 0.6) options.exclusion = pick(random, [0, 1, 7, 40, Number.MAX_SAFE_INTEGER])
    const label = `round ${round} ${JSON.stringify(options)}`
    const whole = expected(query, long, options)
    assert.deepEqual(await subsequenceSearch(query, long, options), whole, label)
    // Equality is within.
    const maxDistance = whole[whole.length >> 1].distance
    assert.deepEqual(await subsequenceSearch(query, long, { ...options, maxDistance }), expected(query, long, { ...options, maxDistance }), label)
  }
})

test('the defaults: one match, half the query excluded, no normalisation', async () => {
  const long = walk(random, 500)
  const query = long.slice(123, 154)
  assert.deepEqual(await subsequenceSearch(query, long), [{ start: 123, distance: 0 }])
  const two = await subsequenceSearch(query, long, { k: 2 })
  assert.ok(Math.abs(two[1].start - 123) > 15)
  assert.deepEqual(two, expected(query, long, { k: 2, exclusion: 15 }))
  assert.deepEqual(await subsequenceSearch([5], [1, 5, 9]), [{ start: 1, distance: 0 }])
})

test('ties go to the smaller start, exclusion counts time steps', async () => {
  const zeros = new Float64Array(10)
  const starts = async (options) => (await subsequenceSearch([0, 0], zeros, { k: 99, ...options })).map((x) => x.start)
  assert.deepEqual(await starts({ exclusion: 0 }), [0, 1, 2, 3, 4, 5, 6, 7, 8])
  assert.deepEqual(await starts({ exclusion: 1 }), [0, 2, 4, 6, 8])
  assert.deepEqual(await starts({}), [0, 2, 4, 6, 8])
  assert.deepEqual(await starts({ exclusion: 3, k: 2 }), [0, 4])
  assert.deepEqual(await starts({ exclusion: 100 }), [0])
  assert.deepEqual(await starts({ channels: 2, exclusion: 1 }), [0, 2, 4])
})

test('small moves on high prices', async () => {
  const base = walk(random, 3000).map((x) => Math.round((x - 100) * 4096) / 4096)
  const query = walk(random, 60)
  const options = { normalize: 'zscore', window: 5, metric: 'squared', k: 5 }
  for (const level of [1e5, 1e9]) {
    const long = base.map((x) => x + level)
    assert.deepEqual(await subsequenceSearch(query, long, options), expected(query, long, options))
  }
})

test('Float32Array and plain arrays give the same', async () => {
  const long = Float32Array.from(walk(random, 700))
  const query = Float32Array.from(walk(random, 30))
  const options = { normalize: 'zscore', k: 3, window: 3 }
  const want = await subsequenceSearch(Float64Array.from(query), Float64Array.from(long), options)
  assert.equal(want.length, 3)
  assert.deepEqual(await subsequenceSearch(query, long, options), want)
  assert.deepEqual(await subsequenceSearch(Array.from(query), Array.from(long), options), want)
})

test('nothing within maxDistance', async () => {
  assert.deepEqual(await subsequenceSearch([1, 2], [5, 6, 7], { maxDistance: 1, k: 3 }), [])
})

test('bad arguments', async () => {
  const good = [1, 2, 3]
  await rejects(() => subsequenceSearch([1, 2, 3, 4], good), 'LENGTH_MISMATCH', 'series', 'length 3', 'query', 'length 4')
  await rejects(() => subsequenceSearch([1, 2, 3, 4], [1, 2], { channels: 2 }), 'LENGTH_MISMATCH', 'length 1', 'length 2')
  await rejects(() => subsequenceSearch(good, [1, 2, 3, 4], { channels: 2 }), 'LENGTH_MISMATCH', 'query', '3', 'channels 2')
  await rejects(() => subsequenceSearch([1, 2], [1, 2, 3], { channels: 2 }), 'LENGTH_MISMATCH', 'series', '3', 'channels 2')
  await rejects(() => subsequenceSearch([], good), 'EMPTY_SERIES', 'query')
  await rejects(() => subsequenceSearch([1], []), 'EMPTY_SERIES', 'series')
  await rejects(() => subsequenceSearch([NaN], good), 'NON_FINITE', 'query[0] is NaN')
  await rejects(() => subsequenceSearch([1], [1, -Infinity]), 'NON_FINITE', 'series[1] is -Infinity')
  await rejects(() => subsequenceSearch('abc', good), 'INVALID_ARGUMENT', 'query')
  await rejects(() => subsequenceSearch(good, { data: good, length: 3 }), 'INVALID_ARGUMENT', 'series')
  for (const k of [0, -1, 1.5, NaN, Infinity, '1', null]) await rejects(() => subsequenceSearch(good, good, { k }), 'INVALID_ARGUMENT', 'k must be')
  for (const exclusion of [-1, 0.5, NaN, Infinity, '1', null]) {
    await rejects(() => subsequenceSearch(good, good, { exclusion }), 'INVALID_ARGUMENT', 'exclusion must be')
  }
  await rejects(() => subsequenceSearch(good, good, { exclude: 1 }), 'INVALID_ARGUMENT', 'exclude', 'exclusion')
})

const million = walk(random, 1_000_000)

test('progress counts windows', async () => {
  const seen = []
  const query = walk(random, 128)
  const options = { normalize: 'zscore', k: 20, onProgress: (...args) => seen.push(args) }
  await subsequenceSearch(query, million.subarray(0, 300_000), options)
  const total = 300_000 - 127
  for (const [k, [done, of]] of seen.entries()) {
    assert.equal(of, total)
    if (k > 0) assert.ok(done > seen[k - 1][0])
  }
  assert.deepEqual(seen.at(-1), [total, total])
})

test('an abort ends the work within milliseconds', async () => {
  const query = ties(random, 4000)
  const controller = new AbortController()
  const reason = new Error('enough')
  let ticks = 0
  const ticker = setInterval(() => ticks++, 5)
  // Minutes of work: neither a band nor a small k rules anything out.
  const work = subsequenceSearch(query, million, { k: 1e6, exclusion: 0, signal: controller.signal })
  await sleep(150)
  clearInterval(ticker)
  const aborted = performance.now()
  controller.abort(reason)
  await assert.rejects(work, (error) => coded('ABORTED')(error) && error.cause === reason)
  assert.ok(performance.now() - aborted < 2000, `${performance.now() - aborted} ms`)
  assert.ok(ticks >= 2, `${ticks} ticks`)
  await rejects(() => subsequenceSearch(query, million, { signal: AbortSignal.abort() }), 'ABORTED')
})

test('changing the arrays after the call changes nothing', async () => {
  const [query, long] = [walk(random, 50), walk(random, 20_000)]
  const want = expected(query, long, { normalize: 'zscore', window: 4 })
  const work = subsequenceSearch(query, long, { normalize: 'zscore', window: 4 })
  query.fill(0)
  long.fill(0)
  assert.deepEqual(await work, want)
})
