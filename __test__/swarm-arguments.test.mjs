// What coordinators and agents refuse, and how they say so.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Agent, Coordinator } from '@neural-trader/midstreamer'
import { rejects, throws } from './support/assertions.mjs'
import { agent, coordinator } from './support/swarm.mjs'

test('Coordinator.start', async () => {
  for (const [options, ...texts] of [
    [5, 'options'], [{ listn: '127.0.0.1:0' }, 'listen'], [{ listen: 4000 }, 'listen', '4000'], [{ listen: 'localhost' }, 'listen'],
    [{ listen: '127.0.0.1:65536' }, 'listen'], [{ listen: ':0' }, 'listen'], [{ agentTimeoutMs: 0 }, 'agentTimeoutMs'], [{ maxAttempts: 1.5 }, 'maxAttempts'],
    [{ maxQueued: -1 }, 'maxQueued'], [{ maxMessageBytes: 2 ** 40 }, 'maxMessageBytes'], [{ dataDir: '' }, 'dataDir'], [{ http: 80 }, 'http'],
    [{ onLog: 1 }, 'onLog'], [{ identity: {} }, 'identity.certificate'], [{ identity: 'pem' }, 'identity'],
    [{ identity: { certificate: '-----BEGIN X', privateKey: 'secret', ca: '' } }, 'identity.privateKey'],
    [{ identity: { certificate: '-----BEGIN X', privateKey: '-----BEGIN X', ca: '-----BEGIN X' } }, 'identity'],
    [{ enrollListen: '127.0.0.1:0' }, 'enrollListen', 'authority'], [{ authority: {} }, 'authority', 'CertificateAuthority'],
    [{ onIdentity: 1 }, 'onIdentity'],
  ]) await rejects(() => Coordinator.start(options), 'INVALID_ARGUMENT', ...texts)
  throws(() => new Coordinator(), 'INVALID_ARGUMENT', 'Coordinator.start')
  throws(() => new Agent(), 'INVALID_ARGUMENT', 'Agent.connect')
})

test('an identity in an error never shows its key', async () => {
  const identity = { certificate: '-----BEGIN CERTIFICATE-----', privateKey: '-----BEGIN PRIVATE KEY----- TOPSECRET', ca: '-----BEGIN CERTIFICATE-----' }
  await assert.rejects(Coordinator.start({ identity }), (error) => !error.message.includes('TOPSECRET'))
})

test('an address that cannot be had', async (t) => {
  const c = await coordinator(t)
  await rejects(() => Coordinator.start({ listen: c.address }), 'CONNECTION', c.address)
})

test('tasks', async (t) => {
  const c = await coordinator(t)
  for (const [task, ...texts] of [
    [undefined, 'task'], [null, 'task'], ['kind', 'task'], [{}, 'kind'], [{ kind: '' }, 'kind'], [{ kind: 5 }, 'kind'], [{ kind: 'x'.repeat(1000) }, 'kind'],
    [{ kind: '\ud800' }, 'kind'], [{ kind: 'x', payloda: 1 }, 'payload'], [{ kind: 'x', priority: 10 }, 'priority'], [{ kind: 'x', priority: '1' }, 'priority'],
    [{ kind: 'x', requires: 'gpu' }, 'requires'], [{ kind: 'x', requires: ['gpu', ''] }, 'requires[1]'], [{ kind: 'x', timeoutMs: 0 }, 'timeoutMs'],
    [{ kind: 'x', timeoutMs: Infinity }, 'timeoutMs'], [{ kind: 'x', attemptTimeoutMs: -1 }, 'attemptTimeoutMs'], [{ kind: 'x', maxAttempts: 0 }, 'maxAttempts'],
    [{ kind: 'x', progressTimeoutMs: 'soon' }, 'progressTimeoutMs'], [{ kind: 'x', idempotencyKey: '' }, 'idempotencyKey'],
  ]) {
    await rejects(() => c.submit(task), 'INVALID_ARGUMENT', ...texts)
    await rejects(() => c.enqueue(task), 'INVALID_ARGUMENT', ...texts)
  }
  await rejects(() => c.submit({ kind: 'x' }, { sginal: 1 }), 'INVALID_ARGUMENT', 'signal')
  await rejects(() => c.submit({ kind: 'x' }, { signal: 1 }), 'INVALID_ARGUMENT', 'signal')
  await rejects(() => c.result(5), 'INVALID_ARGUMENT', 'taskIdOrKey')
  await rejects(() => c.drain({ timeoutMs: 0 }), 'INVALID_ARGUMENT', 'timeoutMs')
  await rejects(() => c.cancel(), 'INVALID_ARGUMENT')
  throws(() => c.task({}), 'INVALID_ARGUMENT')
  assert.equal(c.stats().queued, 0)
})

test('without an authority: no join tokens; with a throw-away one: no other identity', async (t) => {
  const c = await coordinator(t)
  assert.equal(c.enrollAddress, null)
  assert.equal(c.httpAddress, null)
  await rejects(() => c.createJoinToken(), 'FORBIDDEN', 'authority')
  await rejects(() => c.createJoinToken({ tll: 1 }), 'INVALID_ARGUMENT', 'ttlMs')
  for (const id of ['', 5, undefined, 'a/b', 'x'.repeat(10_000)]) await rejects(() => c.developmentIdentity(id), 'INVALID_ARGUMENT')
  const { certificate, privateKey, ca } = await c.developmentIdentity('one')
  for (const text of [certificate, privateKey, ca]) assert.match(text, /-----BEGIN /)
})

test('Agent.connect', async (t) => {
  const c = await coordinator(t)
  const identity = await c.developmentIdentity('a')
  const good = { address: c.address, identity }
  for (const [options, ...texts] of [
    [undefined, 'address'], [{ identity }, 'address'], [{ address: c.address }, 'identity'], [{ ...good, address: [] }, 'address'],
    [{ ...good, address: [c.address, 'nowhere'] }, 'address[1]'], [{ ...good, adress: 1 }, 'address'], [{ ...good, handlers: { x: 1 } }, 'handlers["x"]'],
    [{ ...good, handlers: [] }, 'handlers'], [{ ...good, handlers: { dtw() {} } }, 'dtw', 'built in'], [{ ...good, concurrency: 0 }, 'concurrency'],
    [{ ...good, metadata: { a: 1 } }, 'metadata["a"]'], [{ ...good, capabilities: [1] }, 'capabilities[0]'], [{ ...good, type: '' }, 'type'],
    [{ ...good, connectTimeoutMs: 0 }, 'connectTimeoutMs'], [{ ...good, fallback: 'websocket' }, 'fallback', 'later version'],
    [{ ...good, fallback: 'carrier pigeon' }, 'fallback'], [{ ...good, onIdentity: 1 }, 'onIdentity'],
    [{ ...good, signal: {} }, 'signal'], [{ ...good, identity: { ...identity, ca: undefined } }, 'identity.ca'],
    [{ ...good, identity: { ...identity, privateKey: (await c.developmentIdentity('b')).privateKey } }, 'privateKey'],
  ]) await rejects(() => Agent.connect(options), 'INVALID_ARGUMENT', ...texts)
  await rejects(() => Agent.connect({ ...good, capabilities: Array.from({ length: 500 }, (_, i) => `${i}`.padStart(100, 'c')) }), 'TOO_LARGE')
  assert.deepEqual(c.agents(), [])
  const a = await agent(t, c, 'a', {}, { fallback: 'none' })
  throws(() => a.handle('x', 1), 'INVALID_ARGUMENT', 'handler')
  throws(() => a.handle('', () => {}), 'INVALID_ARGUMENT', 'kind')
  throws(() => a.handle('lcs', () => {}), 'INVALID_ARGUMENT', 'built in')
})
