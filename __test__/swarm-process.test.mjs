// Coordinators and agents as citizens of their processes: exit, worker threads, kill -9.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Agent, CertificateAuthority, Coordinator } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { agent, coordinator, next, program, until } from './support/swarm.mjs'

const BOTH = `
  const c = await m.Coordinator.start()
  const identity = await c.developmentIdentity('a')
  const a = await m.Agent.connect({ address: c.address, identity, handlers: { echo: (x) => x, hang: () => new Promise(() => {}) } })
  const say = (value) => console.log(JSON.stringify(value))
  say((await c.submit({ kind: 'echo', payload: 1 })).value)`
const WELL = { code: 0, signal: null, errors: '' }

test('the process ends by itself once everything is closed', async () => {
  const p = program(`${BOTH}\nawait a.close(); await c.close()`)
  assert.equal(await p.line(), 1)
  assert.deepEqual(await p.ended, WELL)
})

test('an open coordinator or agent holds the process; unref() lets it go, ref() does not', async () => {
  const p = program(`${BOTH}
    c.unref(); a.unref(); a.ref()
    // Unreferenced: it fires only if something else holds the process.
    setTimeout(() => { say('held'); a.unref() }, 200).unref()`)
  assert.deepEqual([await p.line(), await p.line()], [1, 'held'])
  assert.deepEqual(await p.ended, WELL)
})

test('unref(): the process ends with both open, and tasks running', async () => {
  const p = program(`${BOTH}\nc.submit({ kind: 'hang' }).catch(() => {}); c.unref(); a.unref()`)
  assert.equal(await p.line(), 1)
  assert.deepEqual(await p.ended, WELL)
})

test('process.exit() with everything open ends at once, with its code', async () => {
  const p = program(`${BOTH}\nc.submit({ kind: 'hang' }).catch(() => {}); setTimeout(() => process.exit(7), 20)`)
  assert.equal(await p.line(), 1)
  assert.deepEqual(await p.ended, { ...WELL, code: 7 })
})

test('a failed start holds nothing', async () => {
  const p = program(`
    const c = await m.Coordinator.start()
    const codes = [
      await m.Coordinator.start({ listen: c.address }).catch((error) => error.code),
      await m.Agent.connect({ address: '127.0.0.1:1', identity: await c.developmentIdentity('a'), connectTimeoutMs: 100 }).catch((error) => error.code),
    ]
    console.log(JSON.stringify(codes))
    await c.close()`)
  assert.deepEqual(await p.line(), ['CONNECTION', 'CONNECTION'])
  assert.deepEqual(await p.ended, WELL)
})

test('a coordinator killed with SIGKILL: the next one on the same directory has every outcome and every task', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'midstreamer-swarm-'))
  t.after(() => rmSync(dataDir, { recursive: true, force: true }))
  const life = (body) => program(`
    const c = await m.Coordinator.start({ dataDir: ${JSON.stringify(dataDir)} })
    const say = (value) => console.log(JSON.stringify(value))
    ${body}`)
  const first = life(`
    const a = await m.Agent.connect({ address: c.address, identity: await c.developmentIdentity('a'), handlers: { double: (x) => new Float64Array([2 * x]) } })
    const { taskId } = await c.submit({ kind: 'double', payload: 21, idempotencyKey: 'done' })
    const waiting = await c.enqueue({ kind: 'later', payload: 'kept' })
    say([taskId, waiting.taskId])`)
  const [done, waiting] = await first.line()
  first.child.kill('SIGKILL')
  assert.equal((await first.ended).signal, 'SIGKILL')

  const second = await Coordinator.start({ dataDir })
  t.after(() => second.close())
  for (const key of [done, 'done']) assert.deepEqual((await second.result(key)).value, new Float64Array([42]))
  assert.equal(second.task(waiting).state, 'queued')
  assert.deepEqual(await second.enqueue({ kind: 'double', payload: 21, idempotencyKey: 'done' }), { taskId: done, deduplicated: true })
  await rejects(() => Coordinator.start({ dataDir }), 'STORE')
  await agent(t, second, 'a', { later: (x) => `${x} well` })
  assert.equal((await second.result(waiting)).value, 'kept well')
})

test('an agent killed with SIGKILL: its task goes to another', async (t) => {
  const c = await coordinator(t, { agentTimeoutMs: 700 })
  const identity = await c.developmentIdentity('victim')
  const p = program(`
    const a = await m.Agent.connect({ address: ${JSON.stringify(c.address)}, identity: ${JSON.stringify(identity)}, handlers: { job: () => { console.log('0'); return new Promise(() => {}) } } })`)
  const waiting = c.submit({ kind: 'job' })
  await p.line()
  const left = next(c, 'agentLeft')
  p.child.kill('SIGKILL')
  await agent(t, c, 'heir', { job: () => 'done' })
  const { value, agentId, attempts } = await waiting
  assert.deepEqual([value, agentId, attempts], ['done', 'heir', 2])
  assert.equal((await left)[0].id, 'victim')
})

test('a coordinator that comes back: the agent reconnects by itself', async (t) => {
  const first = await Coordinator.start()
  const a = await agent(t, first, 'a', { echo: (x) => x })
  const lost = next(a, 'disconnected')
  await first.close()
  const [{ reason }] = await lost
  assert.equal(typeof reason, 'string')
  assert.equal(a.state, 'reconnecting')
  // Its authority is another one by now, which the agent must not follow.
  const closed = next(a, 'closed')
  const second = await Coordinator.start({ listen: first.address })
  t.after(() => second.close())
  coded('UNAUTHENTICATED')((await closed)[0])
})

test('identities of a real authority: across restarts, and rotated', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midstreamer-swarm-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const ca = await CertificateAuthority.open(join(folder, 'ca'))
  const [identity, mine] = [await ca.issue({ id: 'main', role: 'coordinator' }), await ca.issue({ id: 'a', role: 'agent' })]
  const dataDir = join(folder, 'data')
  const first = await Coordinator.start({ identity, dataDir })
  assert.equal(first.id, 'main')
  await rejects(() => first.developmentIdentity('a'), 'FORBIDDEN')
  const a = await Agent.connect({ address: first.address, identity: mine, handlers: { echo: (x) => x } })
  t.after(() => a.close())
  const lost = next(a, 'disconnected')
  await first.close()
  await lost
  assert.ok(['reconnecting', 'connecting'].includes(a.state), a.state)
  const back = next(a, 'connected')
  const second = await Coordinator.start({ identity, dataDir, listen: first.address })
  t.after(() => second.close())
  const [{ address, coordinator: id }] = await back
  assert.deepEqual([address, id, a.state], [first.address, 'main', 'connected'])
  assert.equal((await second.submit({ kind: 'echo', payload: 'back' })).value, 'back')

  await second.rotateIdentity(await ca.issue({ id: 'main', role: 'coordinator' }))
  assert.equal((await second.submit({ kind: 'echo', payload: 'live' })).value, 'live')
  const b = await Agent.connect({ address: second.address, identity: await ca.issue({ id: 'b', role: 'agent' }) })
  t.after(() => b.close())
  await rejects(() => second.rotateIdentity({}), 'INVALID_ARGUMENT', 'identity.certificate')
  await rejects(() => second.rotateIdentity(mine), 'INVALID_ARGUMENT')
  // The roles are not to be mixed up.
  await assert.rejects(Coordinator.start({ identity: mine }), ({ code }) => ['INVALID_ARGUMENT', 'FORBIDDEN'].includes(code))
  await assert.rejects(Agent.connect({ address: second.address, identity }), ({ code }) => ['INVALID_ARGUMENT', 'FORBIDDEN', 'UNAUTHENTICATED'].includes(code))
})

const WORKER = `
  import { parentPort, workerData } from 'node:worker_threads'
  import { Agent, CertificateAuthority, Coordinator } from 'ENTRY'
  const { address, identity, close } = workerData
  const agent = await Agent.connect({ address, identity, handlers: { where: () => 'worker', hang: () => new Promise(() => {}) } })
  const own = await Coordinator.start()
  const inner = await Agent.connect({ address: own.address, identity: await own.developmentIdentity('inner'), handlers: { echo: (x) => x } })
  parentPort.postMessage((await own.submit({ kind: 'echo', payload: 'inner' })).value)
  if (close) parentPort.once('message', async () => { await agent.close(); await inner.close(); await own.close() })`

function worker(workerData) {
  const source = WORKER.replace('ENTRY', new URL('../index.mjs', import.meta.url).href)
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData })
}

test('worker threads: agents and coordinators of their own, closed or terminated', async (t) => {
  const c = await coordinator(t)
  for (const close of [true, false]) {
    const thread = worker({ address: c.address, identity: await c.developmentIdentity('in-worker'), close })
    const exit = once(thread, 'exit')
    assert.deepEqual(await once(thread, 'message'), ['inner'])
    assert.equal((await c.submit({ kind: 'where' })).value, 'worker')
    const { taskId } = await c.enqueue({ kind: 'hang' })
    const hanging = rejects(() => c.result(taskId), 'ABORTED')
    await until(() => c.stats().running === 1)
    const left = next(c, 'agentLeft')
    if (close) thread.postMessage('close')
    else await thread.terminate()
    await exit
    assert.equal((await left)[0].id, 'in-worker')
    assert.equal(await c.cancel(taskId), true)
    await hanging
  }
  const a = await agent(t, c, 'here', { where: () => 'main' })
  assert.ok(a instanceof Agent)
  assert.equal((await c.submit({ kind: 'where' })).value, 'main')
})
