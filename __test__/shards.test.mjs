// Matrices and libraries over all agents of a swarm: the bits of the local functions, whatever happens to the agents.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { PatternLibrary, dtwMatrix, lcsMatrix } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { generator, integer, pick, series, symbols } from './support/random.mjs'
import { agent, coordinator, halt, next, program, until } from './support/swarm.mjs'

const { Tiles } = createRequire(import.meta.url)('../js/shards/tiles.js')

/** An agent in a process of its own. */
async function separate(t, of, id) {
  const identity = JSON.stringify(await of.developmentIdentity(id))
  const p = program(`
    const agent = await m.Agent.connect({ address: ${JSON.stringify(of.address)}, identity: ${identity} })
    console.log(JSON.stringify(agent.id))`)
  t.after(async () => {
    p.child.kill('SIGKILL')
    await p.ended
  })
  assert.equal(await p.line(), id)
  return p.child
}

const running = (of, id) => of.agents().find((info) => info.id === id)?.running ?? 0

const words = (random, count, most) => Array.from({ length: count }, () => symbols(random, integer(random, 0, most), 5))
const rows = (random, count, most) => Array.from({ length: count }, () => series(random, integer(random, 1, most)))

// ------------------------------------------------------------------------------------------------------- matrices

test('tiles hold every pair once, and no more than they should', () => {
  const random = generator(1)
  for (let round = 0; round < 300; round++) {
    const size = integer(random, 0, 90)
    let end = 0
    const ends = Float64Array.from({ length: size }, () => (end += integer(random, 0, 50)))
    const tiles = new Tiles(ends, pick(random, [1, 8]), pick(random, [Infinity, 7]))
    tiles.maxPairs = pick(random, [1, 30, 10_000])
    const seen = new Uint8Array(size * size)
    for (let tile; (tile = tiles.take(pick(random, [0, 500, 40_000, Infinity]))) !== undefined;) {
      assert.ok(tile.pairs >= 1 && tile.pairs <= tiles.maxPairs)
      if (random() < 0.05 && tiles.shrink(tile)) continue
      for (let i = tile.a; i < tile.b; i++) {
        for (let j = tile.isTriangle ? i + 1 : tile.c; j < tile.d; j++) seen[i * size + j] += 1
      }
    }
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) assert.equal(seen[i * size + j], i < j ? 1 : 0)
    assert.ok(tiles.isEmpty && tiles.costLeft === 0)
  }
})

test('matrices equal the local ones', async (t) => {
  const its = await coordinator(t)
  await Promise.all([separate(t, its, 'a'), separate(t, its, 'b'), agent(t, its, 'c')])
  const random = generator(2)
  for (const size of [0, 1, 2, 3, 17, 60]) {
    const list = words(random, size, 80)
    const normalize = pick(random, ['max', 'min', 'dice', 'none'])
    for (const sequences of [list, list.map((word) => Uint8Array.from(word)), list.map((word) => Int32Array.from(word, (x) => x * 1e9 - 2e9)), list.map((word) => word.map((x) => x * 1000)), list.map((word) => word.map((x) => x / 3)), list.map((word) => word.map(String)), list.map((word) => word.join(''))]) {
      assert.deepEqual(await its.lcsMatrix(sequences, { normalize }), await lcsMatrix(sequences, { normalize }))
    }
    const options = { metric: pick(random, ['absolute', 'squared', 'euclidean']), normalize: pick(random, ['none', 'zscore', 'minmax']) }
    const values = rows(random, size, 40)
    for (const more of [{}, { window: 3 }, { maxDistance: 5 }]) {
      assert.deepEqual(await its.dtwMatrix(values, { ...options, ...more }), await dtwMatrix(values, { ...options, ...more }))
    }
    const pairs = values.map((row) => [...row, ...row])
    assert.deepEqual(await its.dtwMatrix(pairs, { channels: 2 }), await dtwMatrix(pairs, { channels: 2 }))
  }
})

test('many tiles: several matrices at once, and messages that hold little', async (t) => {
  const its = await coordinator(t, { maxMessageBytes: 4096 })
  await Promise.all([separate(t, its, 'a'), separate(t, its, 'b')])
  const random = generator(3)
  const sequences = words(random, 70, 400)
  const values = rows(random, 50, 60)
  const [far, again, series] = await Promise.all([its.lcsMatrix(sequences), its.lcsMatrix(sequences), its.dtwMatrix(values)])
  assert.deepEqual(far, await lcsMatrix(sequences))
  assert.deepEqual(again, far)
  assert.deepEqual(series, await dtwMatrix(values))
  // Two series that do not fit into one message.
  await rejects(() => its.dtwMatrix([new Float64Array(400), new Float64Array(400)]), 'TOO_LARGE')
})

test('what is wrong is said in the words of the local functions', async (t) => {
  const its = await coordinator(t)
  const wrong = async (call) => call.then(() => assert.fail('no error'), ({ code, message }) => ({ code, message }))
  for (const args of [
    [undefined], [[[1], 'x']], [[[1], [NaN]]], [[[1], , [2]]], [[[1, undefined]]], [new Array(20_000).fill([])],
    [[], { normalize: 'sum' }], [[], { normalise: 'max' }], [[], { signal: 1 }], [[], { onProgress: 1 }], [[], null],
  ]) assert.deepEqual(await wrong(its.lcsMatrix(...args)), await wrong(lcsMatrix(...args)))
  for (const args of [
    [undefined], [[[1], []]], [[[1], [2, NaN]]], [[[1, 2], [1, 2, 3]], { channels: 2 }], [[[1, 2, 3], [NaN]], { channels: 2 }],
    [[Float64Array.of(1, -Infinity)]], [[[1], , [2]]], [[[1, '2']]], [new Array(20_000).fill([1])], [[], { window: -1 }],
    [[], { k: 1 }], [[], { metric: 'cosine' }],
  ]) assert.deepEqual(await wrong(its.dtwMatrix(...args)), await wrong(dtwMatrix(...args)))
  for (const [patterns, options] of [
    [[{ id: 'p', values: [1] }], { length: 2 }], [[{ id: 'p', values: [NaN] }], { length: 1 }], [[{ id: 1, values: [1] }], { length: 1 }],
    [[{ id: 'p', values: [1] }, { id: 'p', values: [1] }], { length: 1 }], [[null], { length: 1 }], [undefined, { length: 1 }],
    [{ ids: ['p'], data: Float64Array.of(1, NaN) }, { length: 2 }], [{ id: 'p', values: [Infinity] }, { length: 1 }],
    [[{ id: 'p', values: [1], meta: { f() {} } }], { length: 1 }], [[], { length: 0 }],
  ]) {
    assert.deepEqual(await wrong(its.distribute(patterns, options)), await wrong((async () => new PatternLibrary(options).add(patterns))()))
  }
  await rejects(() => its.distribute([]), 'INVALID_ARGUMENT', 'length is required')
  await rejects(() => its.distribute([], { lenght: 3 }), 'INVALID_ARGUMENT', 'distribute', 'did you mean "length"')
  await its.close()
  await rejects(() => its.lcsMatrix([]), 'CLOSED')
  await rejects(() => its.dtwMatrix([[1], [2]]), 'CLOSED')
  await rejects(() => its.distribute([], { length: 1 }), 'CLOSED')
})

test('arguments are read when the call is made', async (t) => {
  const its = await coordinator(t)
  const random = generator(4)
  const [sequences, values] = [words(random, 20, 50).map((word) => Int32Array.from(word)), rows(random, 20, 50)]
  const wanted = [await lcsMatrix(sequences), await dtwMatrix(values)]
  // No agent yet: nothing has been sent.
  const far = [its.lcsMatrix(sequences), its.dtwMatrix(values)]
  for (const list of [sequences, values]) for (const array of list) array.fill(7)
  await agent(t, its, 'late')
  assert.deepEqual(await Promise.all(far), wanted)
})

test('without agents a matrix waits; the time of a task is what limits it', async (t) => {
  const its = await coordinator(t, { taskTimeoutMs: 100 })
  await rejects(() => its.lcsMatrix(['ab', 'bc']), 'NO_AGENT')
  await rejects(() => its.distribute([{ id: 'p', values: [1] }], { length: 1 }), 'NO_AGENT')
})

test('progress ascends to all pairs, and what a callback throws is thrown', async (t) => {
  const its = await coordinator(t)
  await Promise.all([agent(t, its, 'a'), agent(t, its, 'b')])
  const sequences = words(generator(5), 80, 60)
  const seen = []
  await its.lcsMatrix(sequences, { onProgress: (done, total) => { seen.push([done, total]) } })
  assert.deepEqual(seen.at(-1), [3160, 3160])
  assert.ok(seen.every(([done, total], i) => total === 3160 && (i === 0 || done > seen[i - 1][0])))
  await assert.rejects(its.lcsMatrix(sequences, { onProgress: () => { throw new RangeError('mine') } }), RangeError)
  await until(() => its.stats().running + its.stats().queued === 0)
})

test('a callback that throws in the middle ends the work there', async (t) => {
  // Many tiles, and an agent that stands still with some of them done: the first call comes from the middle.
  const its = await coordinator(t, { maxMessageBytes: 4096 })
  const child = await separate(t, its, 'a')
  const sequences = words(generator(13), 300, 400)
  const calls = []
  const matrix = assert.rejects(its.lcsMatrix(sequences, { onProgress: (done) => { calls.push(done); throw new RangeError('mine') } }), RangeError)
  await until(() => its.stats().completed > 0)
  await halt(child)
  await matrix
  assert.equal(calls.length, 1)
  assert.ok(calls[0] < (300 * 299) / 2)
  child.kill('SIGCONT')
  await until(() => its.stats().running + its.stats().queued === 0)
})

test('an abort ends everything that was on its way', async (t) => {
  const its = await coordinator(t)
  const sequences = words(generator(6), 60, 50)
  await rejects(() => its.lcsMatrix(sequences, { signal: AbortSignal.abort() }), 'ABORTED')
  const stop = new AbortController()
  const waiting = rejects(() => its.lcsMatrix(sequences, { signal: stop.signal }), 'ABORTED')
  await until(() => its.stats().queued > 0)
  stop.abort()
  await waiting
  await until(() => its.stats().queued === 0)

  // Ones that run: the agent is stopped, so they are not done before.
  const child = await separate(t, its, 'a')
  await halt(child)
  const again = new AbortController()
  const stuck = rejects(() => its.lcsMatrix(sequences, { signal: again.signal }), 'ABORTED')
  await until(() => running(its, 'a') > 0)
  again.abort()
  await stuck
  child.kill('SIGCONT')
  await until(() => its.stats().running === 0)
  assert.deepEqual(await its.lcsMatrix(sequences), await lcsMatrix(sequences))
})

test('a coordinator that closes rejects', async (t) => {
  const its = await coordinator(t)
  const waiting = [rejects(() => its.lcsMatrix(['ab', 'bc']), 'CLOSED'), rejects(() => its.distribute([{ id: 'p', values: [1] }], { length: 1 }), 'CLOSED')]
  await until(() => its.stats().queued === 2)
  await its.close()
  await Promise.all(waiting)
})

test('an agent killed with tiles in its hands: others compute them', async (t) => {
  const its = await coordinator(t, { agentTimeoutMs: 1000 })
  const [, victim] = await Promise.all([separate(t, its, 'a'), separate(t, its, 'b')])
  const sequences = words(generator(7), 120, 80)
  // Stopped first, so that it has not answered when it dies.
  await halt(victim)
  const matrix = its.lcsMatrix(sequences)
  await until(() => running(its, 'b') > 0)
  victim.kill('SIGKILL')
  assert.deepEqual(await matrix, await lcsMatrix(sequences))
})

test('an agent that stands still: its tiles are given to another one long before it is lost', async (t) => {
  const its = await coordinator(t, { agentTimeoutMs: 600_000 })
  const [, still] = await Promise.all([separate(t, its, 'a'), separate(t, its, 'b')])
  const values = rows(generator(8), 40, 40)
  await halt(still)
  const matrix = its.dtwMatrix(values)
  await until(() => running(its, 'b') > 0)
  assert.deepEqual(await matrix, await dtwMatrix(values))
  assert.equal(its.agents().length, 2)
  // What it was given is cancelled, and it is of use again.
  still.kill('SIGCONT')
  await until(() => its.stats().running + its.stats().queued === 0)
  assert.deepEqual(await its.dtwMatrix(values), await dtwMatrix(values))
})

// ------------------------------------------------------------------------------------------------------ libraries

/** Patterns with ties in them, some with an end. */
function patternsOf(random, size, length) {
  const twins = Array.from({ length: 10 }, () => series(random, length))
  return Array.from({ length: size }, (_, i) => {
    const values = random() < 0.3 ? pick(random, twins) : series(random, length)
    return random() < 0.5 ? { id: `p${i}`, values } : { id: `p${i}`, values, meta: pick(random, [{ endsAt: i }, { note: i }, null]) }
  })
}

function libraryOf(patterns, options) {
  const library = new PatternLibrary(options)
  library.add(patterns)
  return library
}

test('a distributed library answers as the local one', async (t) => {
  const its = await coordinator(t)
  await Promise.all([separate(t, its, 'a'), separate(t, its, 'b'), agent(t, its, 'c')])
  const random = generator(9)
  for (const size of [0, 1, 2, 50, 700]) {
    const options = { length: 8, channels: pick(random, [1, 2]), normalize: pick(random, ['none', 'zscore', 'minmax']), metric: pick(random, ['absolute', 'squared', 'euclidean']) }
    if (random() < 0.5) options.window = 2
    const patterns = patternsOf(random, size, 8 * options.channels)
    const library = libraryOf(patterns, options)
    const distributed = await its.distribute(patterns, options)
    assert.equal(distributed.shards, Math.min(3, size))
    for (const more of [{}, { k: 1 }, { k: 10_000 }, { maxDistance: 4 }, { asOf: size / 2 }, { asOf: Infinity, k: 100 }, { asOf: -Infinity }, { k: 3, maxDistance: Infinity }]) {
      const query = random() < 0.5 && size > 0 ? pick(random, patterns).values : series(random, 8 * options.channels)
      assert.deepEqual(await distributed.search(query, more), await library.search(query, more))
    }
    await distributed.release()
  }
  const block = { ids: ['x', 'y', 'z'], data: Float32Array.of(1, 2, 3), meta: [1, null, 'm'] }
  const distributed = await its.distribute(block, { length: 1 })
  assert.deepEqual(await distributed.search([2]), libraryOf(block, { length: 1 }).searchSync([2]))
})

test('a search checks its arguments, can be aborted, and ends with the release', async (t) => {
  const its = await coordinator(t)
  const only = await agent(t, its, 'a')
  const patterns = patternsOf(generator(10), 30, 8)
  const [library, distributed] = [libraryOf(patterns, { length: 8 }), await its.distribute(patterns, { length: 8 })]
  const query = patterns[3].values
  const wrong = async (call) => call.then(() => assert.fail('no error'), ({ code, message }) => ({ code, message }))
  for (const args of [[undefined], [[1]], [[]], [new Float64Array(8).fill(NaN)], [query, { asOf: NaN }], [query, { k: 0 }]]) {
    assert.deepEqual(await wrong(distributed.search(...args)), await wrong(library.search(...args)))
  }
  await rejects(() => distributed.search(query, { K: 1 }), 'INVALID_ARGUMENT', 'did you mean "k"')
  await rejects(() => distributed.search(query, { signal: AbortSignal.abort() }), 'ABORTED')
  // What is asked is read when the call is made.
  const changing = Float64Array.from(query)
  const asked = distributed.search(changing)
  changing.fill(0)
  assert.deepEqual(await asked, library.searchSync(query))

  const left = next(its, 'agentLeft')
  await only.close()
  await left
  const stop = new AbortController()
  const aborted = rejects(() => distributed.search(query, { signal: stop.signal }), 'ABORTED')
  const waiting = rejects(() => distributed.search(query), 'CLOSED', 'released')
  await until(() => its.stats().queued > 0)
  stop.abort()
  await aborted
  await distributed.release()
  await waiting
  await rejects(() => distributed.search(query), 'CLOSED', 'released')
  await distributed.release()
  await until(() => its.stats().queued === 0)
})

test('shards of agents that are gone, or have forgotten them, are put again', async (t) => {
  // A part holds few patterns, so that a shard takes many.
  const its = await coordinator(t, { agentTimeoutMs: 1000, maxMessageBytes: 4096 })
  const [last, victim, short] = await Promise.all([separate(t, its, 'a'), separate(t, its, 'b'), agent(t, its, 'c')])
  const patterns = patternsOf(generator(11), 300, 16)
  const options = { length: 16, normalize: 'zscore' }
  const [library, distributed] = [libraryOf(patterns, options), await its.distribute(patterns, options)]
  const query = patterns[40].values
  const check = async () => assert.deepEqual(await distributed.search(query), library.searchSync(query))
  await check()

  // In the middle of a search: stopped, it does not answer.
  await halt(victim)
  const asked = check()
  await until(() => running(its, 'b') > 0)
  victim.kill('SIGKILL')
  await Promise.all([asked, check()])
  assert.equal(its.agents().length, 2)

  // Another process, or the same agent in its next life: the shard is not there.
  let left = next(its, 'agentLeft')
  await short.close()
  await left
  const reborn = await agent(t, its, 'c')
  await Promise.all([check(), check(), check()])

  // All gone, with nobody to ask until one comes.
  left = next(its, 'agentLeft')
  await reborn.close()
  await left
  last.kill('SIGKILL')
  await until(() => its.agents().length === 0)
  const waiting = check()
  await agent(t, its, 'd')
  await waiting
  assert.equal(distributed.shards, 3)
  await distributed.release()
})

test('a release makes agents forget, and no listener stays behind', async (t) => {
  const its = await coordinator(t)
  await agent(t, its, 'a')
  let listeners = 0
  const { on, off } = its
  its.on = (...args) => { listeners += 1; return on.apply(its, args) }
  its.off = (...args) => { listeners -= 1; return off.apply(its, args) }
  const distributed = await its.distribute(patternsOf(generator(12), 50, 8), { length: 8 })
  await Promise.all([distributed.search(new Float64Array(8)), distributed.search(new Float64Array(8))])
  await distributed.release()
  assert.equal(listeners, 0)
  // One put, two searches, one drop.
  const { completed, failed } = its.stats()
  assert.deepEqual({ completed, failed }, { completed: 4, failed: 0 })
})
