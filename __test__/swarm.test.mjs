// Tasks through a coordinator and agents, over QUIC.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MidstreamerError } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { agent, coordinator, deferred, next, swarm, until } from './support/swarm.mjs'

test('submit: two agents share the work, and the result says who did it', async (t) => {
  const c = await coordinator(t)
  const handlers = { double: async (x) => { await sleep(5); return 2 * x } }
  await agent(t, c, 'a', handlers, { concurrency: 2 })
  await agent(t, c, 'b', handlers, { concurrency: 2 })
  const results = await Promise.all(Array.from({ length: 40 }, (_, i) => c.submit({ kind: 'double', payload: i })))
  assert.deepEqual(results.map((r) => r.value), Array.from({ length: 40 }, (_, i) => 2 * i))
  assert.deepEqual([...new Set(results.map((r) => r.agentId))].sort(), ['a', 'b'])
  assert.equal(new Set(results.map((r) => r.taskId)).size, 40)
  for (const result of results) {
    assert.deepEqual(Object.keys(result).sort(), ['agentId', 'attempts', 'queuedMs', 'runMs', 'taskId', 'value'])
    assert.equal(result.attempts, 1)
    assert.ok(result.runMs >= 0 && result.queuedMs >= 0)
  }
})

test('payloads and results arrive as they were sent, typed arrays as typed arrays', async (t) => {
  const { coordinator: c } = await swarm(t, { echo: (x) => x })
  const values = [
    null, true, 0, -0, 1.5e300, '', 'h\u00e9llo \u{1f600}', [], {}, [[[]]], { a: { b: [1, 'x', null] } },
    new Float64Array([1, NaN, Infinity, -0]), new Float32Array(3), new Int8Array([-1]), new Uint8ClampedArray([255]), new BigInt64Array([1n]),
    { deep: [{ series: new Float64Array([1, 2]), again: new Uint16Array([7]) }], empty: new Int32Array(0) },
    new Float64Array(200_000).map(Math.sin),
  ]
  for (const value of values) assert.deepEqual((await c.submit({ kind: 'echo', payload: value })).value, value)
  assert.equal((await c.submit({ kind: 'echo' })).value, undefined)
})

test('what cannot be sent is INVALID_ARGUMENT with its path, before anything happens', async (t) => {
  const { coordinator: c } = await swarm(t, { echo: (x) => x })
  const cycle = {}
  cycle.self = [cycle]
  for (const [payload, path] of [
    [{ a: [1, NaN] }, 'payload.a[1]'], [{ d: new Date() }, 'payload.d'], [1n, 'payload'], [{ f() {} }, 'payload.f'], [cycle, 'payload.self[0]'],
  ]) await rejects(() => c.submit({ kind: 'echo', payload }), 'INVALID_ARGUMENT', path)
  assert.equal(c.stats().completed + c.stats().queued, 0)
})

test('a payload above maxMessageBytes is TOO_LARGE', async (t) => {
  const { coordinator: c } = await swarm(t, { big: (bytes) => new Uint8Array(bytes), size: (x) => x.length }, { coordinator: { maxMessageBytes: 100_000 } })
  assert.equal((await c.submit({ kind: 'size', payload: new Uint8Array(90_000) })).value, 90_000)
  await rejects(() => c.submit({ kind: 'size', payload: new Uint8Array(100_001) }), 'TOO_LARGE')
  await assert.rejects(c.submit({ kind: 'big', payload: 100_001 }), (error) => {
    coded('TASK_FAILED')(error)
    assert.equal(error.remoteError.code, 'TOO_LARGE')
    return true
  })
})

test('a handler that throws: retried, then TASK_FAILED with everything about it', async (t) => {
  const attempts = []
  const { coordinator: c } = await swarm(t, {
    fail: (_, { attempt, fence }) => {
      attempts.push([attempt, fence])
      throw Object.assign(new TypeError('bad input'), { code: 'E_BAD' })
    },
  })
  const retried = []
  c.on('taskRetried', (task) => retried.push(task.attempts))
  const failed = next(c, 'taskFailed')
  const error = await c.submit({ kind: 'fail', payload: 1 }).then(assert.fail, (error) => error)
  coded('TASK_FAILED', 'bad input')(error)
  assert.equal(error.attempts, 3)
  assert.deepEqual(error.remoteError, { message: 'bad input', code: 'E_BAD' })
  assert.match(error.stack, /swarm\.test\.mjs/)
  assert.deepEqual(attempts.map(([attempt]) => attempt), [1, 2, 3])
  const fences = attempts.map(([, fence]) => fence)
  assert.deepEqual([...fences].sort(), fences)
  const [task] = await failed
  assert.deepEqual([task.taskId, task.kind, task.attempts, task.error], [error.taskId, 'fail', 3, 'bad input'])
  assert.deepEqual(retried, [1, 2])
})

test('maxAttempts of the task, and retryable === false', async (t) => {
  let calls = 0
  const { coordinator: c } = await swarm(t, {
    once: () => { calls++; throw Object.assign(new Error('never again'), { retryable: false }) },
    fail: () => { throw new Error('no') },
    rejected: () => Promise.reject(new Error('later')),
    text: () => { throw 'just text' },
    nothing: () => { throw undefined },
    date: () => new Date(),
  })
  const failure = (kind, options) => c.submit({ kind, ...options }).then(assert.fail, (error) => {
    coded('TASK_FAILED')(error)
    return [error.attempts, error.remoteError]
  })
  assert.deepEqual(await failure('once'), [1, { message: 'never again' }])
  assert.equal(calls, 1)
  assert.deepEqual(await failure('fail', { maxAttempts: 2 }), [2, { message: 'no' }])
  assert.deepEqual(await failure('rejected', { maxAttempts: 1 }), [1, { message: 'later' }])
  assert.deepEqual(await failure('text', { maxAttempts: 1 }), [1, { message: 'just text' }])
  assert.deepEqual(await failure('nothing', { maxAttempts: 1 }), [1, { message: 'undefined' }])
  const [attempts, remote] = await failure('date')
  assert.deepEqual([attempts, remote.code], [1, 'INVALID_ARGUMENT'])
  assert.match(remote.message, /result is a Date/)
})

test('a task that fails at first succeeds at last', async (t) => {
  const { coordinator: c } = await swarm(t, { flaky: (_, { attempt }) => { if (attempt < 3) throw new Error('not yet'); return attempt } })
  const result = await c.submit({ kind: 'flaky' })
  assert.deepEqual([result.value, result.attempts], [3, 3])
  assert.equal(c.stats().retried, 2)
})

test('dead letters are kept, and can be retried by hand', async (t) => {
  let broken = true
  const { coordinator: c } = await swarm(t, { job: (x) => { if (broken) throw new Error('out of order'); return x } })
  const { taskId } = await c.enqueue({ kind: 'job', payload: 7, maxAttempts: 1 })
  await rejects(() => c.result(taskId), 'TASK_FAILED', 'out of order')
  const [letter, ...others] = await c.deadLetters()
  assert.deepEqual([letter.taskId, letter.state, letter.kind, letter.attempts, letter.error, others.length], [taskId, 'failed', 'job', 1, 'out of order', 0])
  assert.equal(c.stats().deadLettered, 1)
  broken = false
  await c.retryDeadLetter(taskId)
  assert.equal((await c.result(taskId)).value, 7)
  assert.deepEqual(await c.deadLetters(), [])
  await rejects(() => c.retryDeadLetter(taskId), 'INVALID_ARGUMENT', 'dead letter')
  await rejects(() => c.retryDeadLetter('no such task'), 'NOT_FOUND')
})

test('task: queued, running with progress, completed', async (t) => {
  const go = deferred()
  const c = await coordinator(t)
  const { taskId } = await c.enqueue({ kind: 'job', idempotencyKey: 'the-job' })
  assert.deepEqual(c.task(taskId), { taskId, idempotencyKey: 'the-job', kind: 'job', state: 'queued', attempts: 0 })
  await agent(t, c, 'worker', { job: async (_, { progress }) => { progress(0.5); await go.promise } })
  await until(() => c.task(taskId).progress === 0.5)
  assert.deepEqual(c.task('the-job'), { taskId, idempotencyKey: 'the-job', kind: 'job', state: 'running', attempts: 1, agentId: 'worker', progress: 0.5 })
  go.resolve()
  const result = await c.result('the-job')
  assert.deepEqual([result.value, result.idempotencyKey, result.taskId], [undefined, 'the-job', taskId])
  assert.equal(c.task(taskId).state, 'completed')
  assert.equal(c.task('no such task'), undefined)
  await rejects(() => c.result('no such task'), 'NOT_FOUND')
})

test('the same idempotency key is one task; with another payload it is a mismatch', async (t) => {
  let calls = 0
  const { coordinator: c } = await swarm(t, { count: () => ++calls, fail: () => { calls++; throw Object.assign(new Error('no'), { retryable: false }) } })
  const task = { kind: 'count', payload: { a: 1 }, idempotencyKey: 'k' }
  const [first, second] = await Promise.all([c.submit(task), c.submit(task)])
  assert.deepEqual([first.value, second.value, calls], [1, 1, 1])
  assert.equal(first.idempotencyKey, 'k')
  assert.deepEqual(await c.enqueue(task), { taskId: first.taskId, deduplicated: true })
  assert.equal((await c.result('k')).value, 1)
  await rejects(() => c.submit({ ...task, payload: { a: 2 } }), 'IDEMPOTENCY_MISMATCH', task.idempotencyKey)
  await rejects(() => c.submit({ ...task, kind: 'fail' }), 'IDEMPOTENCY_MISMATCH')
  // A failure is an outcome too.
  for (let k = 0; k < 2; k++) await rejects(() => c.submit({ kind: 'fail', idempotencyKey: 'f' }), 'TASK_FAILED')
  assert.equal(calls, 2)
})

test('priority: 9 first, equal ones in their order', async (t) => {
  const c = await coordinator(t)
  const order = []
  const ids = []
  for (const [payload, priority] of [['low', 0], ['none'], ['high', 9], ['mid', 5], ['high too', 9]]) ids.push((await c.enqueue({ kind: 'note', payload, priority })).taskId)
  await agent(t, c, 'one', { note: (name) => { order.push(name) } }, { concurrency: 1 })
  await Promise.all(ids.map((id) => c.result(id)))
  assert.deepEqual(order, ['high', 'high too', 'mid', 'low', 'none'])
})

test('requires: only an agent with all of the capabilities gets the task', async (t) => {
  const c = await coordinator(t)
  const handlers = { who: () => 0 }
  await agent(t, c, 'plain', handlers)
  await agent(t, c, 'gpu', handlers, { capabilities: ['gpu', 'big'] })
  const results = await Promise.all(Array.from({ length: 8 }, () => c.submit({ kind: 'who', requires: ['gpu', 'big'] })))
  assert.deepEqual([...new Set(results.map((r) => r.agentId))], ['gpu'])
  await rejects(() => c.submit({ kind: 'who', requires: ['tpu'], timeoutMs: 50 }), 'NO_AGENT')
})

test('cancel reaches the handler and the waiters', async (t) => {
  const started = deferred()
  const stopped = deferred()
  const { coordinator: c } = await swarm(t, {
    slow: (_, { signal }) => {
      started.resolve()
      return new Promise((_, reject) => signal.addEventListener('abort', () => { stopped.resolve(signal.reason); reject(signal.reason) }))
    },
  })
  const { taskId } = await c.enqueue({ kind: 'slow' })
  const waiting = rejects(() => c.result(taskId), 'ABORTED')
  await started.promise
  assert.equal(await c.cancel(taskId), true)
  await waiting
  coded('ABORTED')(await stopped.promise)
  assert.equal(c.task(taskId).state, 'cancelled')
  assert.equal(await c.cancel(taskId), false)
  assert.equal(await c.cancel('no such task'), false)
})

test('a signal that is looked at after the stop has aborted already', async (t) => {
  const started = deferred()
  const seen = deferred()
  const { coordinator: c } = await swarm(t, {
    slow: async (_, context) => {
      started.resolve()
      await until(() => c.task(context.taskId).state === 'cancelled')
      await sleep(50)
      seen.resolve(context.signal)
    },
  })
  const { taskId } = await c.enqueue({ kind: 'slow' })
  await started.promise
  await c.cancel(taskId)
  const signal = await seen.promise
  assert.ok(signal.aborted && signal.reason instanceof MidstreamerError)
})

test('aborting a submit cancels the task when nobody else waits', async (t) => {
  const { coordinator: c } = await swarm(t, { slow: (_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) })
  const already = AbortSignal.abort('no')
  await rejects(() => c.submit({ kind: 'slow' }, { signal: already }), 'ABORTED')
  const controller = new AbortController()
  const alone = c.submit({ kind: 'slow', idempotencyKey: 'alone' }, { signal: controller.signal })
  const [shared, other] = [new AbortController(), new AbortController()]
  const both = [shared, other].map(({ signal }) => c.submit({ kind: 'slow', idempotencyKey: 'shared' }, { signal }))
  await until(() => c.task('alone')?.state === 'running' && c.task('shared')?.state === 'running')
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(alone, (error) => coded('ABORTED')(error) && error.cause === reason)
  await until(() => ['cancelled', undefined].includes(c.task('alone')?.state))
  shared.abort()
  await rejects(() => both[0], 'ABORTED')
  assert.equal(c.task('shared').state, 'running')
  other.abort()
  await rejects(() => both[1], 'ABORTED')
  await until(() => ['cancelled', undefined].includes(c.task('shared')?.state))
})

test('aborting a result ends the waiting, not the task', async (t) => {
  const go = deferred()
  const { coordinator: c } = await swarm(t, { job: () => go.promise })
  const { taskId } = await c.enqueue({ kind: 'job' })
  const controller = new AbortController()
  const waiting = c.result(taskId, { signal: controller.signal })
  controller.abort()
  await rejects(() => waiting, 'ABORTED')
  go.resolve('done')
  assert.equal((await c.result(taskId)).value, 'done')
})

test('timeoutMs: the task ends, and the handler hears of it', async (t) => {
  const stopped = deferred()
  const { coordinator: c } = await swarm(t, {
    slow: (_, { signal, deadline }) => new Promise((resolve) => {
      signal.addEventListener('abort', () => { stopped.resolve([signal.reason, deadline]); resolve() })
    }),
  })
  const before = Date.now()
  await assert.rejects(c.submit({ kind: 'slow', timeoutMs: 150 }), coded('TIMEOUT'))
  const [reason, deadline] = await stopped.promise
  coded('TIMEOUT')(reason)
  assert.ok(deadline >= before + 100 && deadline <= Date.now() + 1000, `${deadline - before}`)
})

test('attemptTimeoutMs and progressTimeoutMs use attempts', async (t) => {
  const { coordinator: c } = await swarm(t, {
    stuck: (_, { attempt, signal }) => attempt === 2 ? 'second' : new Promise((resolve) => signal.addEventListener('abort', resolve)),
    busy: async (_, { progress }) => { for (let k = 1; k <= 10; k++) { await sleep(40); progress(k / 10) } return 'alive' },
  })
  const attempt = await c.submit({ kind: 'stuck', attemptTimeoutMs: 100 })
  assert.deepEqual([attempt.value, attempt.attempts], ['second', 2])
  const silent = await c.submit({ kind: 'stuck', progressTimeoutMs: 100 })
  assert.deepEqual([silent.value, silent.attempts], ['second', 2])
  const lively = await c.submit({ kind: 'busy', progressTimeoutMs: 5000 })
  assert.deepEqual([lively.value, lively.attempts], ['alive', 1])
})

test('NO_AGENT at the deadline, when nobody could have run it', async (t) => {
  const { coordinator: c } = await swarm(t, { known: () => 0 })
  await rejects(() => c.submit({ kind: 'unknown', timeoutMs: 50 }), 'NO_AGENT')
})

test('OVERLOADED when the queue is full', async (t) => {
  const c = await coordinator(t, { maxQueued: 2 })
  await c.enqueue({ kind: 'x' })
  await c.enqueue({ kind: 'x' })
  await rejects(() => c.enqueue({ kind: 'x' }), 'OVERLOADED', 'maxQueued')
  assert.equal(c.stats().queued, 2)
})

test('a handler that is added later gets the tasks that wait for it', async (t) => {
  const { coordinator: c, agent: a } = await swarm(t, { old: () => 'old' })
  const waiting = c.submit({ kind: 'new', payload: 1 })
  a.handle('new', (x) => x + 1)
  assert.equal((await waiting).value, 2)
  a.handle('old', () => 'newer')
  assert.equal((await c.submit({ kind: 'old' })).value, 'newer')
})

test('a context: what it says, and parts of it taken out', async (t) => {
  const { coordinator: c } = await swarm(t, {
    look: (payload, { taskId, attempt, fence, idempotencyKey, deadline, signal, progress }) => {
      progress(1)
      assert.throws(() => progress(2), coded('INVALID_ARGUMENT', 'fraction'))
      assert.throws(() => progress('1'), coded('INVALID_ARGUMENT', 'fraction'))
      assert.equal(deadline, Infinity)
      return { taskId, attempt, fence: typeof fence, idempotencyKey, aborted: signal.aborted }
    },
  })
  const { taskId, value } = await c.submit({ kind: 'look', idempotencyKey: 'key' })
  assert.deepEqual(value, { taskId, attempt: 1, fence: 'string', idempotencyKey: 'key', aborted: false })
})

test('a handler that blocks the event loop longer than agentTimeoutMs keeps its task', async (t) => {
  const { coordinator: c } = await swarm(t, {
    block: () => { const end = Date.now() + 1500; while (Date.now() < end); return 'done' },
  }, { coordinator: { agentTimeoutMs: 500 } })
  const { value, attempts } = await c.submit({ kind: 'block' })
  assert.deepEqual([value, attempts], ['done', 1])
  assert.equal(c.agents().length, 1)
})

test('handlers that take long let the event loop turn in between', async (t) => {
  const { coordinator: c } = await swarm(t, {
    block: (k) => {
      if (k === 0) setTimeout(() => { turned = true }, 0)
      const end = performance.now() + 20
      while (performance.now() < end);
      return turned
    },
  })
  let turned = false
  const results = await Promise.all(Array.from({ length: 8 }, (_, k) => c.submit({ kind: 'block', payload: k })))
  assert.deepEqual([results[0].value, results[7].value], [false, true])
})

test('thousands of tasks at once, each with its own answer', async (t) => {
  const { coordinator: c } = await swarm(t, { echo: (x) => x })
  const values = await Promise.all(Array.from({ length: 5000 }, async (_, i) => (await c.submit({ kind: 'echo', payload: { i } })).value.i))
  assert.deepEqual(values, Array.from({ length: 5000 }, (_, i) => i))
  assert.equal(c.stats().completed, 5000)
})
