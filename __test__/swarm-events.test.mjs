// Topics, events, and the ends of coordinators and agents.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from '@neural-trader/midstreamer'
import { coded, rejects, throws } from './support/assertions.mjs'
import { agent, coordinator, deferred, next, program, swarm, until } from './support/swarm.mjs'

test('messages: from the coordinator to agents, from agents to everybody', async (t) => {
  const c = await coordinator(t)
  const [a, b] = [await agent(t, c, 'a'), await agent(t, c, 'b')]
  const got = { c: [], a: [], b: [] }
  assert.equal(await c.publish('news', 0), 0)
  c.subscribe('news', (message) => got.c.push(message))
  const ends = a.subscribe('news', (message) => got.a.push(message))
  b.subscribe('news', (message) => got.b.push(message))
  await until(async () => await c.publish('probe', 0) === 0 && await c.publish('news', 'probe') === 2)
  await until(() => got.a.length > 0 && got.b.length > 0)
  got.a.length = got.b.length = got.c.length = 0
  const payload = { at: 1, values: new Float64Array([1, 2]) }
  assert.equal(await c.publish('news', payload), 2)
  await b.publish('news', 'hello')
  await b.publish('other topic', 'nobody listens')
  await until(() => got.a.length === 2 && got.c.length >= 1)
  assert.deepEqual(got.a, [{ topic: 'news', from: c.id, payload }, { topic: 'news', from: 'b', payload: 'hello' }])
  assert.deepEqual(got.b[0], { topic: 'news', from: c.id, payload })
  assert.deepEqual(got.c.at(-1), { topic: 'news', from: 'b', payload: 'hello' })
  ends()
  ends()
  await until(async () => await c.publish('news', 'again') === 1)
})

test('each subscription is one, also of the same listener', async (t) => {
  const { coordinator: c, agent: a } = await swarm(t, {})
  const got = []
  const listener = (message) => got.push(message.payload)
  const first = c.subscribe('t', listener)
  c.subscribe('t', listener)
  await a.publish('t', 1)
  await until(() => got.length === 2)
  first()
  await a.publish('t', 2)
  await until(() => got.length === 3)
  await sleep(20)
  assert.deepEqual(got, [1, 1, 2])
  await rejects(() => c.publish('t', new Date()), 'INVALID_ARGUMENT', 'payload')
  await rejects(() => a.publish('', 1), 'INVALID_ARGUMENT', 'topic')
  throws(() => c.subscribe('t', 1), 'INVALID_ARGUMENT', 'listener')
})

test('agentJoined and agentLeft; agents() and stats()', async (t) => {
  const c = await coordinator(t)
  const joined = next(c, 'agentJoined')
  const a = await agent(t, c, 'the-agent', { job: () => 1 }, { type: 'pattern-matcher', capabilities: ['fast'], metadata: { region: 'eu' } })
  assert.equal(a.id, 'the-agent')
  assert.equal(a.state, 'connected')
  const [info] = await joined
  assert.deepEqual([info.id, info.type, info.capabilities, info.transport, info.running], ['the-agent', 'pattern-matcher', ['fast'], 'quic', 0])
  assert.equal(info.keyExchange, 'X25519MLKEM768')
  assert.match(info.remoteAddress, /^127\.0\.0\.1:\d+$/)
  assert.ok(Math.abs(info.connectedAt - Date.now()) < 60_000)
  await c.submit({ kind: 'job' })
  await until(() => c.agents()[0].completed === 1)
  const [listed] = c.agents()
  assert.ok(listed.rttMs > 0 && listed.lastSeenAt >= listed.connectedAt)
  const stats = c.stats()
  assert.deepEqual([stats.agents, stats.queued, stats.running, stats.completed, stats.failed], [1, 0, 0, 1, 0])
  assert.ok(stats.bytesIn > 0 && stats.bytesOut > 0 && stats.uptimeMs >= 0)
  const left = next(c, 'agentLeft')
  await a.close()
  const [gone] = await left
  assert.equal(gone.id, 'the-agent')
  assert.equal(typeof gone.reason, 'string')
  assert.deepEqual(c.agents(), [])
})

test('listeners: removed, several, one that throws, an unknown event', async (t) => {
  const c = await coordinator(t)
  const calls = []
  const [first, second] = [() => calls.push(1), () => calls.push(2)]
  assert.equal(c.on('agentJoined', first), c)
  c.on('agentJoined', second).on('agentJoined', first).off('agentJoined', first).off('agentJoined', () => {})
  await agent(t, c, 'x')
  await until(() => calls.length === 2)
  assert.deepEqual(calls, [1, 2])
  throws(() => c.on('agentjoined', first), 'INVALID_ARGUMENT', 'agentJoined')
  throws(() => c.on('agentJoined', 'text'), 'INVALID_ARGUMENT', 'listener')
  throws(() => c.off('nothing', first), 'INVALID_ARGUMENT')
})

test("a listener that throws: an 'uncaughtException', and everything goes on", async () => {
  const p = program(`
    process.on('uncaughtException', (error) => console.log(JSON.stringify(error.message)))
    const c = await m.Coordinator.start()
    c.on('agentJoined', () => { throw new Error('mine') }).on('agentJoined', () => console.log('"other"'))
    const a = await m.Agent.connect({ address: c.address, identity: await c.developmentIdentity('a'), handlers: { echo: (x) => x } })
    console.log(JSON.stringify((await c.submit({ kind: 'echo', payload: 5 })).value))
    await a.close()
    await c.close()`)
  assert.deepEqual([await p.line(), await p.line(), await p.line()].sort(), [5, 'mine', 'other'])
  assert.deepEqual(await p.ended, { code: 0, signal: null, errors: '' })
})

test('drain: the coordinator finishes what it has and takes nothing new', async (t) => {
  const go = deferred()
  const { coordinator: c } = await swarm(t, { job: () => go.promise })
  const waiting = c.submit({ kind: 'job' })
  await until(() => c.stats().running === 1)
  await rejects(() => c.drain({ timeoutMs: 30 }), 'TIMEOUT')
  await assert.rejects(c.submit({ kind: 'job' }), (error) => ['CLOSED', 'OVERLOADED'].includes(error.code))
  const drained = c.drain()
  go.resolve('done')
  assert.equal((await waiting).value, 'done')
  await drained
})

test('drain: the agent finishes what it has, others do the rest', async (t) => {
  const go = deferred()
  const { coordinator: c, agent: a } = await swarm(t, { job: () => go.promise })
  const waiting = c.submit({ kind: 'job' })
  await until(() => c.stats().running === 1)
  const drained = a.drain()
  await until(() => a.state === 'draining')
  // The coordinator has heard of it once it has heard what was said after it.
  await a.publish('barrier', 0)
  const queued = c.submit({ kind: 'job' })
  go.resolve('done')
  assert.equal((await waiting).agentId, 'agent-1')
  await drained
  await agent(t, c, 'agent-2', { job: () => 'other' })
  assert.deepEqual([(await queued).value, (await queued).agentId], ['other', 'agent-2'])
})

test('close: waiters get CLOSED, as does everything after; closing twice is fine', async () => {
  const { Coordinator } = await import('@neural-trader/midstreamer')
  const c = await Coordinator.start()
  const a = await Agent.connect({ address: c.address, identity: await c.developmentIdentity('a') })
  const waiting = [c.submit({ kind: 'nobody' }), c.submit({ kind: 'nobody' }, { signal: new AbortController().signal })]
  const closed = waiting.map((promise) => assert.rejects(promise, coded('CLOSED')))
  await until(() => c.stats().queued === 2)
  const end = next(a, 'closed')
  await Promise.all([c.close(), c.close()])
  await c.close()
  await Promise.all(closed)
  for (const call of [
    () => c.submit({ kind: 'x' }), () => c.enqueue({ kind: 'x' }), () => c.result('x'), () => c.cancel('x'), () => c.publish('x', 1), () => c.drain(),
    () => c.deadLetters(), () => c.retryDeadLetter('x'), () => c.developmentIdentity('x'), () => c.createJoinToken(), () => c.revoke('x'),
  ]) await rejects(call, 'CLOSED')
  for (const call of [() => c.agents(), () => c.stats(), () => c.metrics(), () => c.task('x'), () => c.subscribe('x', () => {})]) throws(call, 'CLOSED')
  assert.equal(typeof c.id, 'string')
  c.ref()
  c.unref()
  await a.close()
  await a.close()
  assert.deepEqual(await end, [undefined])
  assert.equal(a.state, 'closed')
  for (const call of [() => a.publish('x', 1), () => a.drain()]) await rejects(call, 'CLOSED')
  for (const call of [() => a.subscribe('x', () => {}), () => a.handle('x', () => {})]) throws(call, 'CLOSED')
})

test('closing an agent aborts its handlers, and others get its tasks', async (t) => {
  const started = deferred()
  const stopped = deferred()
  const { coordinator: c, agent: a } = await swarm(t, {
    job: (_, { signal }) => {
      started.resolve()
      return new Promise((resolve) => signal.addEventListener('abort', () => { stopped.resolve(signal.reason); resolve() }))
    },
  })
  const waiting = c.submit({ kind: 'job' })
  await started.promise
  await a.close()
  coded('CLOSED')(await stopped.promise)
  await agent(t, c, 'agent-2', { job: () => 'other' })
  assert.equal((await waiting).value, 'other')
})

test('asyncDispose closes', async () => {
  const { Coordinator } = await import('@neural-trader/midstreamer')
  const c = await Coordinator.start()
  const dispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')
  const a = await Agent.connect({ address: c.address, identity: await c.developmentIdentity('a') })
  await a[dispose]()
  assert.equal(a.state, 'closed')
  await c[dispose]()
  throws(() => c.stats(), 'CLOSED')
})

test('SESSION_REPLACED: the later login stays, the earlier one is closed for good', async (t) => {
  const c = await coordinator(t)
  const first = await agent(t, c, 'twin', { who: () => 'first' })
  const closed = next(first, 'closed')
  const second = await agent(t, c, 'twin', { who: () => 'second' })
  const [error] = await closed
  coded('SESSION_REPLACED')(error)
  assert.deepEqual([first.state, second.state, c.agents().length], ['closed', 'connected', 1])
  assert.equal((await c.submit({ kind: 'who' })).value, 'second')
  await rejects(() => first.publish('x', 1), 'CLOSED')
})

test('revoke: the agent is dropped for good, and others are not', async (t) => {
  const c = await coordinator(t)
  const [bad, good] = [await agent(t, c, 'bad', { who: () => 0 }), await agent(t, c, 'good', { who: () => 0 })]
  const identity = await c.developmentIdentity('bad')
  const closed = next(bad, 'closed')
  await c.revoke('bad', 'a lost laptop')
  const [error] = await closed
  assert.ok(['UNAUTHENTICATED', 'FORBIDDEN'].includes(error.code), error.code)
  await assert.rejects(Agent.connect({ address: c.address, identity }), ({ code }) => code === error.code)
  assert.deepEqual([bad.state, good.state, c.agents().map(({ id }) => id)], ['closed', 'connected', ['good']])
  assert.equal((await c.submit({ kind: 'who' })).agentId, 'good')
  await rejects(() => c.revoke(''), 'INVALID_ARGUMENT', 'agentId')
  await rejects(() => c.rotateIdentity(identity), 'FORBIDDEN')
})

test('UNAUTHENTICATED: an identity of another authority', async (t) => {
  const [c, other] = [await coordinator(t), await coordinator(t)]
  const identity = await other.developmentIdentity('stranger')
  await rejects(() => Agent.connect({ address: c.address, identity }), 'UNAUTHENTICATED')
  assert.deepEqual(c.agents(), [])
})

test('connect: nobody there is CONNECTION, an abort is ABORTED, another address helps', async (t) => {
  const c = await coordinator(t)
  const gone = await coordinator(t)
  const identity = await c.developmentIdentity('a')
  await gone.close()
  await rejects(() => Agent.connect({ address: gone.address, identity, connectTimeoutMs: 300 }), 'CONNECTION')
  await rejects(() => Agent.connect({ address: gone.address, identity, signal: AbortSignal.timeout(50) }), 'ABORTED')
  await rejects(() => Agent.connect({ address: gone.address, identity, signal: AbortSignal.abort() }), 'ABORTED')
  const a = await agent(t, c, 'a', {}, { address: [gone.address, c.address] })
  assert.equal(a.state, 'connected')
})

test('onLog: entries of its own coordinator, with level, target and fields', async (t) => {
  const entries = []
  const others = []
  const c = await coordinator(t, { onLog: (entry) => entries.push(entry) })
  const other = await coordinator(t, { onLog: (entry) => others.push(entry) })
  await agent(t, c, 'logged')
  await until(() => entries.some((entry) => JSON.stringify(entry).includes('logged')))
  for (const entry of entries) {
    assert.deepEqual(Object.keys(entry).sort(), ['at', 'fields', 'level', 'message', 'target'])
    assert.ok(['error', 'warn', 'info', 'debug'].includes(entry.level))
    assert.ok(Math.abs(entry.at - Date.now()) < 60_000)
    assert.match(entry.target, /^midstreamer/)
    assert.equal(typeof entry.message, 'string')
    assert.equal(typeof entry.fields, 'object')
  }
  await other.close()
  assert.ok(!others.some((entry) => JSON.stringify(entry.fields).includes('logged')))
})
