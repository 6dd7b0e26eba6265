// Coordinator.map.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { coded, throws } from './support/assertions.mjs'
import { coordinator, swarm, until } from './support/swarm.mjs'

const tasks = (count, kind = 'work') => Array.from({ length: count }, (_, payload) => ({ kind, payload }))

async function collect(iterator) {
  const all = []
  for await (const result of iterator) all.push(result)
  return all
}

test('every task once, with its index, whatever the source', async (t) => {
  const { coordinator: c } = await swarm(t, { work: (x) => x * x })
  async function* later() { for (const task of tasks(30)) { await sleep(1); yield task } }
  for (const source of [tasks(30), new Set(tasks(30)), tasks(30)[Symbol.iterator](), later()]) {
    const results = await collect(c.map(source, { concurrency: 7 }))
    assert.deepEqual(results.map((r) => r.index).sort((a, b) => a - b), Array.from({ length: 30 }, (_, i) => i))
    for (const { index, value } of results) assert.equal(value, index * index)
  }
  assert.deepEqual(await collect(c.map([])), [])
})

test('completion order, and at most `concurrency` in flight', async (t) => {
  let now = 0
  let most = 0
  const { coordinator: c } = await swarm(t, {
    work: async (x) => {
      most = Math.max(most, ++now)
      await sleep(x === 0 ? 300 : 5)
      now--
      return x
    },
  })
  const order = (await collect(c.map(tasks(12), { concurrency: 4 }))).map((r) => r.index)
  assert.equal(order.at(-1), 0)
  assert.equal(most, 4)
})

test('the source is asked for no more than is read', async (t) => {
  const { coordinator: c } = await swarm(t, { work: (x) => x })
  let pulled = 0
  function* source() { for (;;) { pulled++; yield { kind: 'work', payload: pulled } } }
  const iterator = c.map(source(), { concurrency: 3 })
  assert.equal(pulled, 0)
  await iterator.next()
  await sleep(50)
  assert.ok(pulled <= 4, `${pulled}`)
  await iterator.return()
  assert.deepEqual(await iterator.next(), { done: true, value: undefined })
})

const stopping = async (t) => {
  const seen = { started: 0, stopped: 0, returned: 0, pulled: 0 }
  const { coordinator: c } = await swarm(t, {
    work: (x, { signal }) => {
      if (x === 0) return 'first'
      if (x === 'bad') throw Object.assign(new Error('bad one'), { retryable: false })
      seen.started++
      return new Promise((resolve) => signal.addEventListener('abort', () => { seen.stopped++; resolve() }))
    },
  })
  const source = (first) => ({
    next() { return { done: false, value: { kind: 'work', payload: seen.pulled++ === 0 ? first : 1 } } },
    return() { seen.returned++; return { done: true } },
    [Symbol.iterator]() { return this },
  })
  return { c, seen, source }
}

test('break stops: the source is closed, what is in flight is cancelled', async (t) => {
  const { c, seen, source } = await stopping(t)
  for await (const { value } of c.map(source(0), { concurrency: 3 })) {
    assert.equal(value, 'first')
    await until(() => seen.started >= 2)
    break
  }
  await until(() => seen.stopped === seen.started)
  assert.equal(seen.returned, 1)
  const { pulled } = seen
  await sleep(30)
  assert.equal(seen.pulled, pulled)
})

test('a failure stops, and is thrown', async (t) => {
  const { c, seen, source } = await stopping(t)
  await assert.rejects(collect(c.map(source('bad'), { concurrency: 3 })), coded('TASK_FAILED', 'bad one'))
  await until(() => seen.stopped === seen.started)
  assert.equal(seen.returned, 1)
})

test('an abort stops, and is thrown', async (t) => {
  const { c, seen, source } = await stopping(t)
  const controller = new AbortController()
  const iterating = collect(c.map(source(1), { concurrency: 3, signal: controller.signal }))
  await until(() => seen.started === 3)
  controller.abort(new Error('enough'))
  await assert.rejects(iterating, (error) => coded('ABORTED')(error) && error.cause.message === 'enough')
  await until(() => seen.stopped === 3)
  assert.equal(seen.returned, 1)
  await assert.rejects(collect(c.map(tasks(1), { signal: controller.signal })), coded('ABORTED'))
})

test("onError 'yield' hands failures over and goes on", async (t) => {
  const { coordinator: c } = await swarm(t, { work: (x) => { if (x % 2 === 1) throw Object.assign(new Error(`odd ${x}`), { retryable: false }); return x } })
  const mixed = [...tasks(6), { kind: '' }, { kind: 'work', payload: NaN }]
  const results = (await collect(c.map(mixed, { onError: 'yield' }))).sort((a, b) => a.index - b.index)
  assert.deepEqual(results.map((r) => r.error?.code ?? r.value), [0, 'TASK_FAILED', 2, 'TASK_FAILED', 4, 'TASK_FAILED', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT'])
  assert.equal(results[1].error.remoteError.message, 'odd 1')
})

test('an error of the source is thrown, whatever onError says', async (t) => {
  const { coordinator: c } = await swarm(t, { work: (x) => x })
  function* source() { yield { kind: 'work', payload: 1 }; throw new RangeError('no more') }
  for (const onError of ['throw', 'yield']) await assert.rejects(collect(c.map(source(), { onError, concurrency: 1 })), /no more/)
})

test('close ends it with CLOSED', async (t) => {
  const c = await coordinator(t)
  for (const onError of ['throw', 'yield']) {
    const other = await coordinator(t)
    const iterating = assert.rejects(collect(other.map(tasks(100), { onError })), coded('CLOSED'))
    await until(() => other.stats().queued > 0)
    await other.close()
    await iterating
  }
  throws(() => c.map(5), 'INVALID_ARGUMENT', 'tasks')
  throws(() => c.map('text'), 'INVALID_ARGUMENT', 'tasks')
  throws(() => c.map([], { concurrency: 0 }), 'INVALID_ARGUMENT', 'concurrency')
  throws(() => c.map([], { onError: 'ignore' }), 'INVALID_ARGUMENT', 'onError')
})

test('next() several times at once, and throw()', async (t) => {
  const { coordinator: c } = await swarm(t, { work: (x) => x })
  const iterator = c.map(tasks(3))
  const four = await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()])
  assert.deepEqual(four.map((r) => r.done), [false, false, false, true])
  await assert.rejects(c.map(tasks(3)).throw(new Error('mine')), /mine/)
})
