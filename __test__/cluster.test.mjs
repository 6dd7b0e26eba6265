// alignTimeframes, barycenter and medoids against their definitions in plain JavaScript.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { alignTimeframes, barycenter, dtwAlign, dtwMatrix, dtwSync, medoids } from '@neural-trader/midstreamer'
import { allClose, close, coded, rejects } from './support/assertions.mjs'
import { generator, integer, pick, series, walk } from './support/random.mjs'
import * as oracle from './support/oracle.mjs'

const inertiaOf = (center, list, window) =>
  list.reduce((sum, one) => sum + dtwSync(center, one, { metric: 'squared', ...(window === undefined ? {} : { window }) }), 0)

// ---------------------------------------------------------------------------------------------- alignTimeframes
test('alignTimeframes is dtwAlign of neighbours, bit for bit', async () => {
  const random = generator(31)
  for (let round = 0; round < 40; round++) {
    const channels = pick(random, [1, 1, 2])
    const list = Array.from({ length: integer(random, 2, 6) }, () => series(random, channels * integer(random, 1, 30)))
    const options = {
      channels, metric: pick(random, ['absolute', 'squared', 'euclidean']), normalize: pick(random, ['none', 'zscore', 'minmax']),
      window: pick(random, [undefined, 0, 3]), maxDistance: pick(random, [undefined, 5]),
    }
    const got = await alignTimeframes(list, options)
    assert.deepEqual(got, await Promise.all(list.slice(1).map((later, i) => dtwAlign(list[i], later, options))))
    for (const [i, alignment] of got.entries()) {
      close(alignment.distance, oracle.dtwAlign(list[i], list[i + 1], options).distance)
      assert.deepEqual(Object.keys(alignment), ['distance', 'similarity', 'path', 'lag'])
    }
  }
})

test('alignTimeframes of one series or none has no pairs', async () => {
  assert.deepEqual(await alignTimeframes([[1, 2]]), [])
  assert.deepEqual(await alignTimeframes([]), [])
})

test('alignTimeframes finds the ratio of two timeframes and the lag of a follower', async () => {
  const minutes = walk(generator(5), 600)
  const fives = Float64Array.from({ length: 120 }, (_, bar) => minutes[5 * bar + 4])
  const [{ path }] = await alignTimeframes([minutes, fives])
  // Minute 5 b + 4 is the close of bar b: it is free there, and the path passes it.
  const pairs = new Set(Array.from({ length: path.length / 2 }, (_, k) => `${path[2 * k]} ${path[2 * k + 1]}`))
  for (let bar = 0; bar < 120; bar += 10) {
    assert.ok([-2, -1, 0, 1, 2].some((off) => pairs.has(`${5 * bar + 4} ${bar + off}`)), `bar ${bar}`)
  }
  const late = Float64Array.from({ length: 600 }, (_, bar) => minutes[Math.max(0, bar - 4)])
  const [{ lag }] = await alignTimeframes([minutes, late], { window: 10 })
  assert.ok(lag > 3 && lag < 5, `${lag}`)
})

test('alignTimeframes names the pair that is too large', async () => {
  const list = [[1], new Float64Array(70_000), new Float64Array(70_000)]
  await rejects(() => alignTimeframes(list), 'TOO_LARGE', 'series[1] and series[2]: 70000 x 70000: 4900000000 cells')
  await rejects(() => alignTimeframes(list, { window: 60_000 }), 'TOO_LARGE', 'in window 60000')
})

// --------------------------------------------------------------------------------------------------- barycenter
/** DBA as in the paper, one round after the other. */
function averaged(list, { window, maxIterations = 30, tolerance = 1e-6 }) {
  const options = { metric: 'squared', window }
  const inertia = (center) => list.reduce((sum, one) => sum + oracle.dtw(center, one, options), 0)
  const sums = list.map(inertia)
  let center = Float64Array.from(list[sums.indexOf(Math.min(...sums))])
  let least = inertia(center)
  for (let iterations = 1; ; iterations++) {
    const paired = Array.from(center, () => [])
    for (const one of list) for (const [i, j] of oracle.dtwAlign(center, one, options).pairs) paired[i].push(one[j])
    const moved = Float64Array.from(paired, (values) => values.reduce((sum, x) => sum + x, 0) / values.length)
    const next = inertia(moved)
    const fall = least - next
    if (fall > 0) [center, least] = [moved, next]
    if (fall <= 0 || fall < tolerance || iterations === maxIterations) return { center, inertia: least, iterations }
  }
}

test('barycenter is DBA from the medoid', async () => {
  const random = generator(32)
  for (let round = 0; round < 30; round++) {
    const list = Array.from({ length: integer(random, 1, 8) }, () => walk(random, integer(random, 1, 25)))
    const options = { window: pick(random, [undefined, 0, 2, 50]), maxIterations: pick(random, [undefined, 1, 3]), tolerance: pick(random, [undefined, 0.5]) }
    const got = await barycenter(list, options)
    const want = averaged(list, options)
    close(got.inertia, want.inertia)
    allClose(got.center, want.center)
    assert.equal(got.iterations, want.iterations)
    assert.equal(got.inertia, inertiaOf(got.center, list, options.window))
    assert.ok(got.center instanceof Float64Array)
  }
})

test('barycenter is what tslearn finds from the same start', async () => {
  const random = generator(99)
  const list = Array.from({ length: 12 }, () => walk(random, 40).map((x) => x / 10))
  const { center, inertia } = await barycenter(list)
  // tslearn 0.10.0, dtw_barycenter_averaging(init_barycenter = the medoid, max_iter = 30, tol = 1e-6), and the sum of dtw(center, x) ** 2.
  close(inertia, 9.303100948185044)
  assert.equal(center.length, 40)
})

test('barycenter: the example of its documentation, one series, equal series', async () => {
  assert.deepEqual((await barycenter([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1, 0]])).center, Float64Array.of(0, 0, 1, 0))
  assert.deepEqual(await barycenter([[0.1, 0.2, 5]]), { center: Float64Array.of(0.1, 0.2, 5), inertia: 0, iterations: 1 })
  assert.deepEqual(await barycenter([[0.1], [0.1], [0.1]]), { center: Float64Array.of(0.1), inertia: 0, iterations: 1 })
})

test('barycenter recovers a shape from shifted, noisy copies', async () => {
  const random = generator(33)
  const shape = (t) => Math.exp(-((t - 30) ** 2) / 50) - Math.exp(-((t - 60) ** 2) / 80)
  const copies = Array.from({ length: 25 }, () => {
    const shift = integer(random, -4, 4)
    return Float64Array.from({ length: 90 }, (_, t) => shape(t + shift) + 0.1 * (random() - 0.5))
  })
  const { center } = await barycenter(copies, { window: 10 })
  const mean = Float64Array.from({ length: 90 }, (_, t) => copies.reduce((sum, one) => sum + one[t], 0) / 25)
  const clean = Float64Array.from({ length: 90 }, (_, t) => shape(t))
  const off = (x) => dtwSync(x, clean, { metric: 'squared', window: 10 })
  assert.ok(off(center) < off(mean) / 2, `${off(center)} ${off(mean)}`)
})

test('barycenter: bad arguments', async () => {
  await rejects(() => barycenter([]), 'INVALID_ARGUMENT', 'series', 'at least one')
  await rejects(() => barycenter(), 'INVALID_ARGUMENT', 'series must be an array of series')
  await rejects(() => barycenter([[1], []]), 'EMPTY_SERIES', 'series[1]')
  await rejects(() => barycenter([[1], [2, NaN]]), 'NON_FINITE', 'series[1][1] is NaN')
  for (const maxIterations of [0, -1, 1.5, NaN, Infinity, '3']) {
    await rejects(() => barycenter([[1]], { maxIterations }), 'INVALID_ARGUMENT', 'maxIterations')
  }
  for (const tolerance of [-1, NaN, Infinity, '3']) await rejects(() => barycenter([[1]], { tolerance }), 'INVALID_ARGUMENT', 'tolerance')
  for (const unknown of ['metric', 'normalize', 'channels', 'maxDistance', 'seed']) {
    await rejects(() => barycenter([[1]], { [unknown]: 1 }), 'INVALID_ARGUMENT', unknown)
  }
  await rejects(() => barycenter(new Array(11_586).fill([1])), 'TOO_LARGE', 'series', '11586')
  await rejects(() => barycenter([new Float64Array(70_000)]), 'TOO_LARGE', '4900000000')
})

// ------------------------------------------------------------------------------------------------------ medoids
function* subsets(n, k, from = 0) {
  if (k === 0) {
    yield []
    return
  }
  for (let i = from; i <= n - k; i++) for (const rest of subsets(n, k - 1, i + 1)) yield [i, ...rest]
}

test('medoids: small sets against all subsets, shape of the result', async () => {
  const random = generator(34)
  let optimal = 0
  const rounds = 40
  for (let round = 0; round < rounds; round++) {
    const n = integer(random, 2, 9)
    const k = integer(random, 1, n)
    const list = Array.from({ length: n }, () => series(random, integer(random, 1, 15)))
    const options = { metric: pick(random, ['absolute', 'euclidean']), normalize: pick(random, ['none', 'zscore']), window: 3 }
    const { data } = await dtwMatrix(list, options)
    const costOf = (chosen) => list.reduce((sum, _, i) => sum + Math.min(...chosen.map((m) => data[i * n + m])), 0)
    const got = await medoids(list, k, { ...options, seed: round })
    const chosen = [...got.medoids]
    assert.equal(got.medoids.constructor, Uint32Array)
    assert.equal(got.assignment.constructor, Uint32Array)
    assert.deepEqual([got.assignment.length, new Set(chosen).size], [n, k])
    assert.deepEqual(chosen, chosen.slice().sort((a, b) => a - b))
    chosen.forEach((medoid, slot) => assert.equal(got.assignment[medoid], slot))
    assert.equal(got.inertia, list.reduce((sum, _, i) => sum + data[i * n + chosen[got.assignment[i]]], 0))
    close(got.inertia, costOf(chosen))
    const best = Math.min(...[...subsets(n, k)].map(costOf))
    assert.ok(got.inertia >= best - 1e-9 * best)
    if (k === 1 || k === n) close(got.inertia, best)
    if (got.inertia <= best + 1e-9 * best) optimal++
  }
  assert.ok(optimal >= 0.95 * rounds, `${optimal} of ${rounds}`)
})

test('medoids: the same seed gives the same answer, and clusters that are clear are found by any', async () => {
  const random = generator(35)
  const list = Array.from({ length: 60 }, (_, i) => walk(random, 30).map((x) => x + 500 * (i % 3)))
  const first = await medoids(list, 3)
  assert.deepEqual(await medoids(list, 3, { seed: 0 }), first)
  for (const seed of [1, 2, Number.MAX_SAFE_INTEGER]) {
    const other = await medoids(list, 3, { seed })
    assert.deepEqual(other, first)
    other.assignment.forEach((slot, i) => assert.equal(slot, other.assignment[i % 3]))
  }
})

test('medoids: series past maxDistance', async () => {
  const list = [0, 1, 2, 500, 501, 503, 9000].map((x) => [x])
  const two = await medoids(list, 2, { maxDistance: 10 })
  assert.deepEqual([[...two.medoids], [...two.assignment], two.inertia], [[1, 4], [0, 0, 0, 1, 1, 1, 0], Infinity])
  const three = await medoids(list, 3, { maxDistance: 10 })
  assert.deepEqual([[...three.medoids], three.inertia], [[1, 4, 6], 5])
})

test('medoids: bad arguments', async () => {
  for (const k of [0, -1, 1.5, NaN, '2', undefined, null, 2n]) await rejects(() => medoids([[1], [2]], k), 'INVALID_ARGUMENT', 'k must be')
  await rejects(() => medoids([[1], [2]], 3), 'INVALID_ARGUMENT', 'k must be at most the number of series, 2, got 3')
  await rejects(() => medoids([], 1), 'INVALID_ARGUMENT', 'k must be at most')
  for (const seed of [-1, 0.5, NaN, 2 ** 53, '1', 1n]) await rejects(() => medoids([[1]], 1, { seed }), 'INVALID_ARGUMENT', 'seed')
  await rejects(() => medoids(new Array(11_586).fill([1]), 2), 'TOO_LARGE', '11586')
  await rejects(() => medoids([[1, 2], [1, 2, 3]], 1, { channels: 2 }), 'LENGTH_MISMATCH', 'series[1]')
})

// ------------------------------------------------------------------------------------- what all three have in common
const CALLS = {
  alignTimeframes: alignTimeframes,
  barycenter: barycenter,
  medoids: (list, options) => medoids(list, 2, options),
}
const random = generator(36)
const few = Array.from({ length: 12 }, () => walk(random, 40))
/** Minutes of work. */
const endless = {
  alignTimeframes: Array.from({ length: 40 }, () => walk(random, 60_000)),
  barycenter: Array.from({ length: 400 }, () => walk(random, 5000)),
  medoids: Array.from({ length: 400 }, () => walk(random, 5000)),
}

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name}: bad series and options`, async () => {
    await rejects(() => call([[1, 2], [1, NaN]]), 'NON_FINITE', 'series[1][1] is NaN')
    await rejects(() => call([[1, 2], new Float32Array(0)]), 'EMPTY_SERIES', 'series[1]')
    await rejects(() => call([[1, 2], 'abc']), 'INVALID_ARGUMENT', 'series[1]')
    await rejects(() => call([[1, 2], [1, '2']]), 'INVALID_ARGUMENT', 'series[1][1]')
    await rejects(() => call({ 0: [1] }), 'INVALID_ARGUMENT', 'series')
    await rejects(() => call(few, { windwo: 1 }), 'INVALID_ARGUMENT', 'did you mean "window"?')
    await rejects(() => call(few, { window: -1 }), 'INVALID_ARGUMENT', 'window')
    await rejects(() => call(few, null), 'INVALID_ARGUMENT', `options of ${name}`)
    await rejects(() => call(few, { signal: 5 }), 'INVALID_ARGUMENT', 'signal')
  })

  test(`${name}: inputs belong to the caller once the call is made`, async () => {
    const list = few.map((one) => Float64Array.from(one))
    const work = call(list)
    for (const one of list) one.fill(NaN)
    assert.deepEqual(await work, await call(few))
    assert.deepEqual(await call(few.map((one) => Array.from(one))), await call(few))
  })

  test(`${name}: abort before and during the work, with a free event loop`, async () => {
    const reason = new Error('because')
    await assert.rejects(call(few, { signal: AbortSignal.abort(reason) }), (error) => coded('ABORTED')(error) && error.cause === reason)
    const controller = new AbortController()
    const called = performance.now()
    const work = call(endless[name], { signal: controller.signal })
    assert.ok(performance.now() - called < 2000, 'the call itself must not compute')
    await sleep(30)
    const aborted = performance.now()
    controller.abort(reason)
    await assert.rejects(work, (error) => coded('ABORTED')(error) && error.cause === reason)
    assert.ok(performance.now() - aborted < 5000, `took ${performance.now() - aborted} ms to stop`)
  })

  test(`${name}: progress increases and ends with the total`, async () => {
    const list = Array.from({ length: 60 }, () => walk(random, 400))
    const seen = []
    await call(list, { onProgress: (done, total) => seen.push([done, total]) })
    const total = seen.at(-1)[1]
    assert.deepEqual(seen.at(-1), [total, total])
    seen.forEach(([done, of], k) => assert.ok(of === total && done <= total && (k === 0 || done > seen[k - 1][0]), `${seen}`))
    if (name === 'alignTimeframes') assert.equal(total, 59)
    if (name === 'medoids') assert.equal(total, (60 * 59) / 2)
  })
}
