// Built-in kinds of tasks, submitted by hand: the same bits as the local functions, and what is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PatternLibrary, dtw, dtwMatrix, dtwNearest, lcs, lcsMatrix } from '@neural-trader/midstreamer'
import { coded, throws } from './support/assertions.mjs'
import { generator, integer, pick, series, symbols } from './support/random.mjs'
import { swarm, until } from './support/swarm.mjs'

const METRICS = ['absolute', 'squared', 'euclidean']
const NORMALIZATIONS = ['none', 'zscore', 'minmax']

function dtwOptions(random) {
  const options = { metric: pick(random, METRICS), normalize: pick(random, NORMALIZATIONS) }
  if (random() < 0.5) options.window = integer(random, 0, 5)
  if (random() < 0.3) options.maxDistance = integer(random, 0, 40)
  return options
}

/** A series as programs have them. */
const anyForm = (random, values) => pick(random, [values, Array.from(values), values])

test('pairs, neighbours and matrices equal the local functions', async (t) => {
  const { coordinator } = await swarm(t)
  const ask = async (kind, payload) => (await coordinator.submit({ kind, payload })).value
  const random = generator(11)
  await Promise.all(Array.from({ length: 40 }, async () => {
    const [a, b] = [series(random, integer(random, 1, 40)), series(random, integer(random, 1, 40))]
    const options = dtwOptions(random)
    assert.equal(await ask('dtw', { a: anyForm(random, a), b: anyForm(random, b), options }), await dtw(a, b, options))

    const rows = Array.from({ length: integer(random, 0, 30) }, () => series(random, 12))
    const k = integer(random, 1, 40)
    assert.deepEqual(await ask('dtw.nearest', { query: a, candidates: rows, options: { ...options, k } }), await dtwNearest(a, rows, { ...options, k }))
    const data = Float32Array.from(rows.flatMap((row) => Array.from(row)))
    const block = { data, length: 12 }
    assert.deepEqual(await ask('dtw.nearest', { query: b, candidates: block }), await dtwNearest(b, block))
    assert.deepEqual(await ask('dtw.matrix', { series: rows, options }), await dtwMatrix(rows, options))

    const words = Array.from({ length: integer(random, 0, 20) }, () => symbols(random, integer(random, 0, 60), 4))
    const normalize = pick(random, ['max', 'min', 'dice', 'none'])
    for (const sequences of [words, words.map((word) => Int32Array.from(word)), words.map((word) => word.map((x) => x / 2)), words.map((word) => word.map(String)), words.map((word) => word.join(''))]) {
      assert.deepEqual(await ask('lcs.matrix', { sequences, normalize }), await lcsMatrix(sequences, { normalize }))
    }
    if (words.length > 1) assert.equal(await ask('lcs', { a: words[0], b: words[1] }), await lcs(words[0], words[1]))
  }))
  assert.equal(await ask('lcs', { a: 'a\u{1f600}b', b: '\u{1f600}' }), 2)
  assert.equal(await ask('dtw', { a: [0], b: [9], options: { maxDistance: 8 } }), Infinity)
  assert.equal(await ask('dtw', { a: [0, 1, 2, 3], b: [0, 1], options: { channels: 2 } }), await dtw([0, 1, 2, 3], [0, 1], { channels: 2 }))
})

test('a library in one payload equals the local one', async (t) => {
  const { coordinator } = await swarm(t)
  const random = generator(12)
  for (let round = 0; round < 20; round++) {
    const patterns = Array.from({ length: integer(random, 0, 60) }, (_, i) => {
      const pattern = { id: `p${i}`, values: anyForm(random, series(random, 9)) }
      if (random() < 0.6) pattern.meta = pick(random, [{ endsAt: i }, { endsAt: 'never' }, null, { note: ['x', { y: 1.5 }] }])
      return pattern
    })
    const { maxDistance, ...shared } = dtwOptions(random)
    const options = { length: 9, ...shared }
    const search = { k: integer(random, 1, 20) }
    if (maxDistance !== undefined) search.maxDistance = maxDistance
    if (random() < 0.5) search.asOf = integer(random, 0, 60)
    const query = series(random, 9)
    const library = new PatternLibrary(options)
    library.add(patterns)
    const wanted = library.searchSync(query, search)
    assert.deepEqual((await coordinator.submit({ kind: 'library.search', payload: { patterns, options, query, search } })).value, wanted)
    const block = { ids: patterns.map(({ id }) => id), data: Float64Array.from(patterns.flatMap(({ values }) => Array.from(values))), meta: patterns.map(({ meta }) => meta ?? null) }
    const fromBlock = (await coordinator.submit({ kind: 'library.search', payload: { patterns: block, options, query, search } })).value
    assert.deepEqual(fromBlock.map(({ id, distance }) => [id, distance]), wanted.map(({ id, distance }) => [id, distance]))
  }
})

test('bad payloads fail at once, in words that name the place', async (t) => {
  const { coordinator } = await swarm(t)
  const values = [1, 2]
  for (const [kind, payload, code, message] of [
    ['dtw', undefined, 'INVALID_ARGUMENT', 'payload must be an object, got undefined'],
    ['dtw', { a: values }, 'INVALID_ARGUMENT', 'payload.b must be a Float64Array, a Float32Array or an array of numbers, got undefined'],
    ['dtw', { a: [], b: values }, 'EMPTY_SERIES', 'payload.a is empty'],
    ['dtw', { a: values, b: Float64Array.of(1, NaN) }, 'NON_FINITE', 'payload.b[1] is NaN'],
    ['dtw', { a: values, b: values, options: { window: -1 } }, 'INVALID_ARGUMENT', 'payload.options.window must be an integer >= 0, in samples, got -1'],
    ['dtw', { a: values, b: values, options: { radius: 1 } }, 'INVALID_ARGUMENT', 'payload.options.radius is unknown'],
    ['dtw', { a: values, b: values, option: {} }, 'INVALID_ARGUMENT', 'payload.option is unknown'],
    ['dtw.nearest', { query: values, candidates: [values, [3, null]] }, 'INVALID_ARGUMENT', 'payload.candidates[1][1] must be a number, got null'],
    ['dtw.matrix', { series: [[1, 2, 3]], options: { channels: 2 } }, 'LENGTH_MISMATCH', 'payload.series[0] holds 3 values'],
    ['lcs', { a: 'x', b: ['x'] }, 'INVALID_ARGUMENT', 'payload.b is an array of strings but payload.a is a string'],
    ['lcs.matrix', { sequences: [[1]], normalize: 'most' }, 'INVALID_ARGUMENT', "payload.normalize must be 'max' or 'min' or 'dice' or 'none', got \"most\""],
    ['library.search', { patterns: [{ id: 7, values }], options: { length: 2 }, query: values }, 'INVALID_ARGUMENT', 'payload.patterns[0].id must be a string, got 7'],
  ]) {
    await assert.rejects(coordinator.submit({ kind, payload }), (error) => {
      coded('TASK_FAILED')(error)
      assert.equal(error.remoteError.code, code)
      assert.ok(error.remoteError.message.startsWith(message), error.remoteError.message)
      assert.equal(error.attempts, 1)
      return true
    })
  }
})

test('an aborted kernel stops', async (t) => {
  const { coordinator } = await swarm(t)
  const long = Float64Array.from({ length: 300_000 }, (_, i) => i % 97)
  const stop = new AbortController()
  // Minutes, if it were left alone.
  const outcome = assert.rejects(coordinator.submit({ kind: 'dtw', payload: { a: long, b: long } }, { signal: stop.signal }), coded('ABORTED'))
  await until(() => coordinator.stats().running === 1)
  stop.abort()
  await outcome
  await until(() => coordinator.stats().running === 0)
  assert.equal((await coordinator.submit({ kind: 'dtw', payload: { a: [1], b: [2] } })).value, 1)
})

test('no handler takes the place of a built-in kind', async (t) => {
  const { agent } = await swarm(t)
  for (const kind of ['dtw', 'dtw.nearest', 'dtw.matrix', 'lcs', 'lcs.matrix', 'library.search', 'midstreamer.lcs.tile', 'midstreamer.other']) {
    throws(() => agent.handle(kind, () => {}), 'INVALID_ARGUMENT', kind)
  }
})
