// DTW in every form against the textbook, over seeded random series with every option.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  correlationMatrix, dtw, dtwAlign, dtwBatch, dtwMatrix, dtwNearest, dtwSync, lagMatrix,
} from '@neural-trader/midstreamer'
import { allClose, close } from './support/assertions.mjs'
import * as oracle from './support/oracle.mjs'
import { generator, integer, pick, series, ties, walk } from './support/random.mjs'

/** Options as users mix them; undefined keeps the default. */
function randomOptions(random) {
  const options = {
    metric: pick(random, [undefined, 'absolute', 'squared', 'euclidean']),
    window: pick(random, [undefined, undefined, 0, 1, 2, 5, 20, 1000]),
    normalize: pick(random, [undefined, 'none', 'zscore', 'minmax']),
    channels: pick(random, [undefined, undefined, 1, 2, 3]),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

test('dtw, dtwSync and dtwAlign agree with the textbook under every option', async () => {
  const random = generator(1)
  for (let round = 0; round < 600; round++) {
    const options = randomOptions(random)
    const channels = options.channels ?? 1
    const a = series(random, channels * integer(random, 1, 40))
    const b = series(random, channels * integer(random, 1, 40))
    const expected = oracle.dtwAlign(a, b, options)
    const label = `round ${round} ${JSON.stringify(options)}`
    const distance = dtwSync(a, b, options)
    close(distance, expected.distance, label)
    assert.equal(await dtw(a, b, options), distance, label)
    const alignment = await dtwAlign(a, b, options)
    assert.equal(alignment.distance, distance, label)
    // Rounded sums of normalised values can break a tie the other way; exact values cannot.
    if (options.normalize === undefined || options.normalize === 'none') {
      assert.equal(distance, expected.distance, label)
      assert.deepEqual(Array.from(alignment.path), expected.path, label)
      close(alignment.lag, expected.lag, label)
      close(alignment.similarity, expected.similarity, label)
    }
  }
})

test('the path of an alignment is one, and it costs the distance', async () => {
  const random = generator(2)
  for (let round = 0; round < 100; round++) {
    const a = walk(random, integer(random, 1, 60))
    const b = walk(random, integer(random, 1, 60))
    const { path, distance, lag, similarity } = await dtwAlign(a, b, { normalize: 'zscore', window: 8 })
    const [x, y] = [oracle.normalize(a, 'zscore'), oracle.normalize(b, 'zscore')]
    let cost = 0
    let offsets = 0
    for (let k = 0; k < path.length; k += 2) {
      const [i, j] = [path[k], path[k + 1]]
      if (k > 0) {
        const step = [i - path[k - 2], j - path[k - 1]].join()
        assert.ok(['1,1', '1,0', '0,1'].includes(step), `step ${step}`)
      }
      cost += Math.abs(x[i] - y[j])
      offsets += j - i
    }
    assert.deepEqual([path[0], path[1]], [0, 0])
    assert.deepEqual(Array.from(path.subarray(-2)), [a.length - 1, b.length - 1])
    close(cost, distance)
    close(lag, offsets / (path.length / 2))
    close(similarity, 1 / (1 + distance / (path.length / 2)))
  }
})

test('maxDistance: a distance at the bound is returned, above it Infinity', async () => {
  const random = generator(3)
  for (let round = 0; round < 300; round++) {
    const options = randomOptions(random)
    const channels = options.channels ?? 1
    const a = series(random, channels * integer(random, 1, 30))
    const b = series(random, channels * integer(random, 1, 30))
    const distance = dtwSync(a, b, options)
    const label = `round ${round} ${JSON.stringify(options)} ${distance}`
    assert.equal(dtwSync(a, b, { ...options, maxDistance: distance }), distance, label)
    assert.equal(dtwSync(a, b, { ...options, maxDistance: Infinity }), distance, label)
    assert.equal(dtwSync(a, b, { ...options, maxDistance: distance * 1.5 }), distance, label)
    if (distance === 0) continue
    const below = distance * (1 - 2 ** -52)
    assert.equal(dtwSync(a, b, { ...options, maxDistance: below }), Infinity, label)
    assert.equal(await dtw(a, b, { ...options, maxDistance: distance / 2 }), Infinity, label)
    const past = await dtwAlign(a, b, { ...options, maxDistance: below })
    assert.deepEqual({ ...past, path: past.path.length }, { distance: Infinity, similarity: 0, path: 0, lag: NaN }, label)
    assert.ok(past.path instanceof Uint32Array)
  }
})

test('dtwBatch equals dtwSync of every candidate, in both forms and in f32', async () => {
  const random = generator(4)
  for (let round = 0; round < 60; round++) {
    const options = { ...randomOptions(random), maxDistance: pick(random, [Infinity, 10, 1]) }
    const channels = options.channels ?? 1
    const length = integer(random, 1, 24)
    const count = integer(random, 0, 40)
    const query = series(random, channels * integer(random, 1, 24))
    const data = series(random, channels * length * count)
    const rows = Array.from({ length: count }, (_, k) => data.subarray(k * length * channels, (k + 1) * length * channels))
    const expected = Float64Array.from(rows, (row) => dtwSync(query, row, options))
    const label = `round ${round} ${JSON.stringify(options)}`
    assert.deepEqual(await dtwBatch(query, { data, length }, options), expected, label)
    const ragged = rows.map((row) => row.slice(0, channels * integer(random, 1, length)))
    assert.deepEqual(await dtwBatch(query, ragged, options), Float64Array.from(ragged, (row) => dtwSync(query, row, options)), label)
    const narrow = Float32Array.from(data)
    assert.deepEqual(await dtwBatch(query, { data: narrow, length }, options), await dtwBatch(query, { data: Float64Array.from(narrow), length }, options), label)
  }
})

test('dtwNearest equals sorting dtwBatch, ties by index', async () => {
  const random = generator(5)
  for (let round = 0; round < 120; round++) {
    const options = { ...randomOptions(random), maxDistance: pick(random, [Infinity, Infinity, 12, 2]) }
    const channels = options.channels ?? 1
    const length = integer(random, 1, 16)
    const count = integer(random, 0, 60)
    const query = series(random, channels * length)
    const data = ties(random, channels * length * count)
    const k = pick(random, [1, 2, 5, 100])
    const distances = await dtwBatch(query, { data, length }, options)
    const expected = Array.from(distances, (distance, index) => ({ index, distance }))
      .filter((x) => x.distance !== Infinity)
      .sort((x, y) => x.distance - y.distance || x.index - y.index)
    const label = `round ${round} k ${k} ${JSON.stringify(options)}`
    assert.deepEqual(await dtwNearest(query, { data, length }, { ...options, k }), expected.slice(0, k), label)
    assert.deepEqual(await dtwNearest(query, { data, length }, options), expected.slice(0, 1), label)
  }
})

test('the matrices are made of the pairs', async () => {
  const random = generator(6)
  for (let round = 0; round < 40; round++) {
    const options = randomOptions(random)
    delete options.channels
    const size = integer(random, 0, 9)
    const list = Array.from({ length: size }, () => series(random, integer(random, 1, 30)))
    const label = `round ${round} ${JSON.stringify(options)}`
    const distances = await dtwMatrix(list, options)
    const lags = await lagMatrix(list, options)
    const correlations = await correlationMatrix(list, options)
    for (const matrix of [distances, lags, correlations]) {
      assert.equal(matrix.size, size, label)
      assert.equal(matrix.data.length, size * size, label)
      assert.ok(matrix.data instanceof Float64Array)
    }
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        const at = i * size + j
        if (i === j) {
          assert.deepEqual([distances.data[at], lags.data[at], correlations.data[at]], [0, 0, 1], label)
          continue
        }
        const [low, high] = [Math.min(i, j), Math.max(i, j)]
        const alignment = await dtwAlign(list[low], list[high], options)
        assert.equal(distances.data[at], alignment.distance, label)
        close(lags.data[at], i < j ? alignment.lag : -alignment.lag, label)
        const [x, y] = [list[low], list[high]]
        const [xs, ys] = [[], []]
        for (let k = 0; k < alignment.path.length; k += 2) {
          xs.push(x[alignment.path[k]])
          ys.push(y[alignment.path[k + 1]])
        }
        close(correlations.data[at], oracle.pearson(xs, ys), label)
      }
    }
  }
})

test("correlationMatrix by 'pearson' takes equal positions", async () => {
  const random = generator(7)
  const list = [walk(random, 50), walk(random, 50), new Float64Array(50).fill(3), walk(random, 50)]
  const { size, data } = await correlationMatrix(list, { method: 'pearson' })
  const expected = list.flatMap((x, i) => list.map((y, j) => (i === j ? 1 : oracle.pearson(x, y))))
  assert.equal(size, 4)
  allClose(data, expected)
})

test('a series of one value', async () => {
  assert.equal(dtwSync([3], [5]), 2)
  assert.equal(dtwSync([3], [5], { window: 0 }), 2)
  assert.equal(dtwSync([3], [5, 6, 1], { window: 0 }), 2 + 3 + 2)
  assert.equal(dtwSync([3], [5], { normalize: 'zscore' }), 0)
  assert.deepEqual(await dtwAlign([3], [5]), { distance: 2, similarity: 1 / 3, path: Uint32Array.of(0, 0), lag: 0 })
  assert.deepEqual((await dtwAlign([3], [5, 4])).path, Uint32Array.of(0, 0, 0, 1))
  assert.deepEqual(await dtwMatrix([[1]]), { size: 1, data: Float64Array.of(0) })
  assert.deepEqual(await dtwMatrix([]), { size: 0, data: new Float64Array(0) })
})

test('a hundred thousand candidates', async () => {
  const random = generator(8)
  const [count, length] = [100_000, 8]
  const data = walk(random, count * length)
  const query = data.slice(4321 * length, 4322 * length)
  const distances = await dtwBatch(query, { data, length })
  assert.equal(distances.length, count)
  assert.equal(distances[4321], 0)
  for (let k = 0; k < count; k += 997) assert.equal(distances[k], oracle.dtw(query, data.subarray(k * length, (k + 1) * length)))
  assert.deepEqual(await dtwNearest(query, { data, length }), [{ index: distances.indexOf(0), distance: 0 }])
  const list = Array.from({ length: count }, (_, k) => data.subarray(k * length, (k + 1) * length))
  assert.deepEqual(await dtwBatch(query, list), distances)
})
