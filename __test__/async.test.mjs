// Asynchronous calls: the event loop stays free, signals end the work, progress is told, inputs belong to the caller.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  correlationMatrix, dtw, dtwAlign, dtwBatch, dtwMatrix, dtwNearest, dtwSync, elastic, elasticBatch, lagMatrix,
  lcs, lcsAlign, lcsMatrix, lcss, levenshtein, MidstreamerError, subsequenceSearch,
} from '@neural-trader/midstreamer'
import { dtwBatchParallel } from '@neural-trader/midstreamer/compat'
import { coded, rejects } from './support/assertions.mjs'
import { generator, symbols, walk } from './support/random.mjs'

const require = createRequire(import.meta.url)
const random = generator(21)
const x = walk(random, 400)

/** Small and endless work for every asynchronous function; the second would take minutes. */
const long = walk(random, 1_000_000)
const half = walk(random, 60_000)
const rows = Array.from({ length: 400 }, () => walk(random, 5000))
const text = symbols(random, 2_000_000, 50)
const other = symbols(random, 2_000_000, 50)
const block = { data: walk(random, 2_000_000), length: 5000 }
const CALLS = {
  dtw: [(o) => dtw(x, x, o), (o) => dtw(long, long, o)],
  dtwAlign: [(o) => dtwAlign(x, x, o), (o) => dtwAlign(half, half, o)],
  dtwBatch: [(o) => dtwBatch(x, [x], o), (o) => dtwBatch(long, block, o)],
  dtwNearest: [(o) => dtwNearest(x, [x], o), (o) => dtwNearest(long, block, o)],
  subsequenceSearch: [(o) => subsequenceSearch([1, 2], x, o), (o) => subsequenceSearch(half, long, { k: 1e6, ...o })],
  dtwMatrix: [(o) => dtwMatrix([x, x], o), (o) => dtwMatrix(rows, o)],
  lagMatrix: [(o) => lagMatrix([x, x], o), (o) => lagMatrix(rows, o)],
  correlationMatrix: [(o) => correlationMatrix([x, x], o), (o) => correlationMatrix(rows, o)],
  lcs: [(o) => lcs('ab', 'b', o), (o) => lcs(text, other, o)],
  lcsAlign: [(o) => lcsAlign('ab', 'b', o), (o) => lcsAlign(text.slice(0, 800_000), other.slice(0, 800_000), o)],
  lcsMatrix: [(o) => lcsMatrix(['ab', 'b'], o), (o) => lcsMatrix([text, other, text, other], o)],
  levenshtein: [(o) => levenshtein('ab', 'b', o), (o) => levenshtein(text, other, o)],
  lcss: [(o) => lcss(x, x, { epsilon: 1, ...o }), (o) => lcss(long, long, { epsilon: 0.1, ...o })],
  elastic: [(o) => elastic('msm', x, x, o), (o) => elastic('msm', long, long, o)],
  elasticBatch: [(o) => elasticBatch('twe', x, [x], o), (o) => elasticBatch('twe', long, block, o)],
}

for (const [name, [small, endless]] of Object.entries(CALLS)) {
  test(`${name}: a signal that is aborted already`, async () => {
    const reason = new Error('because')
    const signal = AbortSignal.abort(reason)
    const started = performance.now()
    await assert.rejects(endless({ signal }), (error) => coded('ABORTED')(error) && error.cause === reason)
    assert.ok(performance.now() - started < 1000)
  })

  test(`${name}: a signal that aborts during the work`, async () => {
    const controller = new AbortController()
    const reason = { any: 'value' }
    const work = endless({ signal: controller.signal })
    await sleep(30)
    const aborted = performance.now()
    controller.abort(reason)
    await assert.rejects(work, (error) => coded('ABORTED')(error) && error.cause === reason)
    assert.ok(performance.now() - aborted < 5000, `took ${performance.now() - aborted} ms to stop`)
  })

  test(`${name}: a signal that does not abort changes nothing`, async () => {
    const controller = new AbortController()
    assert.deepEqual(await small({ signal: controller.signal }), await small())
    controller.abort()
  })
}

test('an abort right after the call rejects, even when the work was quicker', async () => {
  for (let round = 0; round < 50; round++) {
    const controller = new AbortController()
    const work = dtw([1], [2], { signal: controller.signal })
    controller.abort()
    await rejects(() => work, 'ABORTED')
  }
})

test('AbortSignal.timeout', async () => {
  await assert.rejects(dtw(long, long, { signal: AbortSignal.timeout(20) }), (error) => coded('ABORTED')(error) && error.cause.name === 'TimeoutError')
})

test('one signal for many calls: all end, one listener, no warning', async () => {
  const warnings = []
  const collect = (warning) => warnings.push(warning)
  process.on('warning', collect)
  const controller = new AbortController()
  let listeners = 0
  const { signal } = controller
  const [add, remove] = [signal.addEventListener, signal.removeEventListener]
  signal.addEventListener = function (...args) { listeners++; return add.apply(this, args) }
  signal.removeEventListener = function (...args) { listeners--; return remove.apply(this, args) }
  const work = Array.from({ length: 60 }, () => dtw(long, long, { signal }))
  assert.equal(listeners, 1)
  await sleep(20)
  controller.abort()
  for (const each of await Promise.allSettled(work)) assert.equal(each.reason?.code, 'ABORTED')
  assert.equal(listeners, 0)
  await sleep(1)
  process.off('warning', collect)
  assert.deepEqual(warnings, [])
})

test('the listener is gone after the work', async () => {
  const controller = new AbortController()
  const { signal } = controller
  let removed = 0
  const remove = signal.removeEventListener
  signal.removeEventListener = function (...args) { removed++; return remove.apply(this, args) }
  for (let round = 1; round <= 3; round++) {
    await dtw(x, x, { signal })
    assert.equal(removed, round)
  }
  await rejects(() => dtw([NaN], x, { signal }), 'NON_FINITE')
  assert.equal(removed, 4)
})

test('progress: increasing, ends with (total, total), nothing afterwards', async () => {
  const list = Array.from({ length: 60 }, () => walk(random, 300))
  const pairs = 60 * 59 / 2
  const candidates = { data: walk(random, 400 * 3000), length: 400 }
  const words = Array.from({ length: 40 }, () => symbols(random, 900, 5))
  const work = [
    [pairs, (o) => dtwMatrix(list, o)], [pairs, (o) => lagMatrix(list, o)], [pairs, (o) => correlationMatrix(list, o)],
    [40 * 39 / 2, (o) => lcsMatrix(words, o)], [3000, (o) => dtwBatch(x, candidates, o)],
    [3000, (o) => dtwNearest(x, candidates, o)], [3000, (o) => elasticBatch('erp', x, candidates, o)],
    [0, (o) => dtwMatrix([], o)], [0, (o) => dtwBatch(x, [], o)], [1, (o) => dtwMatrix([x, x], o)],
  ]
  for (const [total, call] of work) {
    const seen = []
    await call({ onProgress: (...args) => seen.push(args) })
    const calls = seen.length
    assert.ok(calls >= 1)
    for (const [k, [done, of, ...rest]] of seen.entries()) {
      assert.equal(of, total)
      assert.equal(rest.length, 0)
      assert.ok(Number.isInteger(done))
      if (k > 0) assert.ok(done > seen[k - 1][0], `${done} after ${seen[k - 1][0]}`)
    }
    assert.deepEqual(seen[calls - 1], [total, total])
    await sleep(70)
    assert.equal(seen.length, calls)
  }
})

test('progress comes while the work runs', async () => {
  const list = Array.from({ length: 80 }, () => walk(random, 900))
  const controller = new AbortController()
  const seen = []
  const work = dtwMatrix(list, {
    signal: controller.signal,
    onProgress(done, total) {
      seen.push(done)
      assert.ok(done < total)
      controller.abort()
    },
  })
  await rejects(() => work, 'ABORTED')
  assert.equal(seen.length, 1)
})

test('what onProgress throws rejects and ends the work', async () => {
  const mine = new Error('mine')
  let calls = 0
  const started = performance.now()
  const list = Array.from({ length: 400 }, () => walk(random, 1500))
  await assert.rejects(dtwMatrix(list, { onProgress() { calls++; throw mine } }), (error) => error === mine)
  assert.equal(calls, 1)
  assert.ok(performance.now() - started < 20_000)
  await assert.rejects(dtwMatrix([x, x], { onProgress() { throw mine } }), (error) => error === mine)
})

test('an async onProgress that rejects ends the work too', async () => {
  const mine = new Error('mine')
  const list = Array.from({ length: 400 }, () => walk(random, 1500))
  const started = performance.now()
  await assert.rejects(dtwMatrix(list, { async onProgress() { throw mine } }), (error) => error === mine)
  assert.ok(performance.now() - started < 20_000)
  await assert.rejects(dtwMatrix([x, x], { async onProgress() { await sleep(1); throw mine } }), (error) => error === mine)
  let finished = false
  await dtwMatrix([x, x], { async onProgress() { await sleep(1); finished = true } })
  assert.ok(finished)
})

test('an abort in the last onProgress rejects', async () => {
  const controller = new AbortController()
  const onProgress = (done, total) => { if (done === total) controller.abort() }
  await rejects(() => dtwMatrix([x, x], { signal: controller.signal, onProgress }), 'ABORTED')
})

test('an abort while the arguments are read stops the work', async () => {
  const controller = new AbortController()
  const last = Object.defineProperty([1, 2], 1, { get() { controller.abort(); return 2 } })
  const started = performance.now()
  await rejects(() => dtwBatch(long, [long, last], { signal: controller.signal }), 'ABORTED')
  assert.ok(performance.now() - started < 5000, `${performance.now() - started} ms`)
})

test('a pair does not wait for a matrix, nor does a batch of the compat entry', async () => {
  const controller = new AbortController()
  let settled = false
  const matrix = dtwMatrix(rows, { signal: controller.signal }).finally(() => { settled = true })
  // Handled below; until then it must not count as unhandled.
  matrix.catch(() => {})
  await sleep(50)
  const started = performance.now()
  assert.equal(await dtw([1], [2]), 1)
  assert.equal(await lcs('ab', 'b'), 1)
  assert.equal(await elastic('msm', [1], [2]), 1)
  assert.deepEqual(dtwBatchParallel(Float64Array.of(1), Float64Array.of(1, 2), 1), [0, 1])
  const waited = performance.now() - started
  assert.ok(!settled)
  controller.abort()
  await rejects(() => matrix, 'ABORTED')
  // Behind the matrix it would be the minutes that the matrix takes.
  assert.ok(waited < 3000, `${waited} ms`)
})

test('a list of a hundred thousand series is read without an array for each', async () => {
  const list = Array.from({ length: 100_000 }, (_, k) => (k % 2 === 0 ? [k, k + 1] : Float32Array.of(k, k + 1)))
  const distances = await dtwBatch([0, 1], list)
  assert.deepEqual([distances[0], distances[1], distances[99_999]], [0, 2, dtwSync([0, 1], [99_999, 100_000])])
  const all = await dtwNearest([0, 1], list, { k: 100_000 })
  assert.equal(all.length, 100_000)
  assert.deepEqual([all[0], all[1]], [{ index: 0, distance: 0 }, { index: 1, distance: 2 }])
})

test('the event loop runs on', async () => {
  const controller = new AbortController()
  let ticks = 0
  const ticker = setInterval(() => ticks++, 5)
  const work = dtw(long, long, { signal: controller.signal })
  await sleep(500)
  clearInterval(ticker)
  controller.abort()
  await rejects(() => work, 'ABORTED')
  // 100 on an idle machine; a blocked loop has one or none.
  assert.ok(ticks >= 10, `${ticks} ticks`)
})

test('changing an array after the call does not change the result', async () => {
  const shared = new Float64Array(new SharedArrayBuffer(8 * x.length))
  shared.set(x)
  const y = walk(random, 300)
  for (const make of [() => x.slice(), () => Float32Array.from(x), () => Array.from(x), () => shared]) {
    const input = make()
    const expected = dtwSync(input, y)
    const data = Float64Array.from(input)
    const work = [dtw(input, y), dtwBatch(y, [input]), dtwBatch(y, { data, length: x.length }), dtwMatrix([input, y])]
    input.fill(0)
    data.fill(0)
    const [one, [two], [three], { data: [, four] }] = await Promise.all(work)
    assert.deepEqual([one, two, three, four], [expected, expected, expected, expected])
    shared.set(x)
  }
  const letters = Int32Array.of(1, 2, 3)
  const work = [lcs(letters, [1, 2, 3]), lcsMatrix([letters, letters.slice()], { normalize: 'none' })]
  letters.fill(9)
  assert.deepEqual([await work[0], (await work[1]).data[1]], [3, 3])
})

test('transferring an array after the call does not change the result', async () => {
  const input = x.slice()
  const work = dtw(input, x)
  structuredClone(input, { transfer: [input.buffer] })
  assert.equal(input.length, 0)
  assert.equal(await work, 0)
})

test('many calls at once', async () => {
  const list = Array.from({ length: 500 }, (_, k) => walk(random, 20 + (k % 30)))
  const results = await Promise.all(list.map((each) => dtw(each, x)))
  assert.deepEqual(results, list.map((each) => dtwSync(each, x)))
})

test('a panic in the addon becomes an INTERNAL error', async () => {
  const native = require('../js/native.js')
  const { fromNative } = require('../js/errors.js')
  const { run } = require('../js/task.js')
  async function namedCaller() {
    return await run({}, 1, () => native.panicForTestAsync())
  }
  await assert.rejects(namedCaller(), (error) =>
    coded('INTERNAL', 'injected panic')(error) && error.stack.includes('namedCaller'))
  assert.throws(() => native.panicForTest(), (error) => coded('INTERNAL', 'injected panic')(fromNative(error)))
  // Both threads go on.
  assert.equal(await dtw([1], [3]), 2)
  assert.equal(dtwSync([1], [3]), 2)
  assert.ok(new MidstreamerError('x') instanceof Error)
})
