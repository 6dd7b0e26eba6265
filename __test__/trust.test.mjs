// A coordinator with an authority: grants, revocation, expiry, renewal, rotation of roots.

import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, CertificateAuthority, Coordinator, lcsMatrix, verifyAuditLog } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { next, program, until } from './support/swarm.mjs'

/** An authority of its own, and the directory that it is in. */
async function place(t) {
  const root = mkdtempSync(join(tmpdir(), 'midstreamer-trust-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const directory = join(root, 'authority')
  return { root, directory, authority: await CertificateAuthority.open(directory, { name: 'desk' }) }
}

async function start(t, options) {
  const c = await Coordinator.start(options)
  t.after(() => c.close())
  return c
}

async function connect(t, c, identity, options = {}) {
  const a = await Agent.connect({ address: c.address, identity, connectTimeoutMs: 10_000, ...options })
  t.after(() => a.close())
  return a
}

const echo = { echo: (x) => x }

test('the tasks of an agent that is revoked go to others at once, and what it was is told', async (t) => {
  // Far longer than the test may take: nothing here waits for it.
  const c = await start(t, { agentTimeoutMs: 600_000 })
  const left = []
  c.on('agentLeft', (agent) => left.push(agent))
  const stuck = await connect(t, c, await c.developmentIdentity('stuck'), { handlers: { ...echo, work: () => new Promise(() => {}) } })
  for (let i = 0; i < 3; i++) await c.submit({ kind: 'echo', payload: i })
  const result = c.submit({ kind: 'work' })
  await until(() => c.agents()[0].running === 1)
  await connect(t, c, await c.developmentIdentity('other'), { handlers: { work: () => 'done' } })
  await c.revoke('stuck')
  assert.deepEqual([(await result).value, (await result).agentId, (await result).attempts], ['done', 'other', 2])
  await until(() => left.length === 1)
  assert.deepEqual([left[0].id, left[0].completed], ['stuck', 3])
  await stuck.close()
  const brief = await connect(t, c, await c.developmentIdentity('brief'), { handlers: { brief: () => 1 } })
  await c.submit({ kind: 'brief' })
  await brief.close()
  await until(() => left.length === 2)
  assert.deepEqual([left[1].id, left[1].completed], ['brief', 1])
})

test('who is no coordinator cannot start one', async (t) => {
  const { authority } = await place(t)
  for (const role of ['peer', 'agent']) {
    const identity = await authority.issue({ id: 'node', role })
    await rejects(() => Coordinator.start({ identity }), 'INVALID_ARGUMENT', role === 'peer' ? 'not a coordinator' : 'identity')
  }
})

// Side by side: most of them wait for a certificate to end.
describe('trust', { concurrency: true }, () => {
  test('an authority and nothing else: the coordinator has an identity, and agents do what they were granted', async (t) => {
    const { authority } = await place(t)
    const c = await start(t, { authority })
    assert.equal(c.id, 'coordinator')
    const { role, notAfter } = (await authority.list()).find(({ id }) => id === 'coordinator')
    assert.equal(role, 'coordinator')
    assert.ok(notAfter <= Date.now() + 86_400_000)
    await rejects(() => c.developmentIdentity('a'), 'FORBIDDEN')

    const grants = { agentTypes: ['worker'], kinds: ['echo', 'lcs.matrix'], topics: ['prices'] }
    const identity = await authority.issue({ id: 'some', role: 'agent', grants })
    await rejects(() => Agent.connect({ address: c.address, identity, type: 'reasoning-bank' }), 'FORBIDDEN', 'reasoning-bank')
    const warnings = []
    const warned = (warning) => warnings.push(String(warning))
    process.on('warning', warned)
    t.after(() => process.off('warning', warned))
    const some = await connect(t, c, identity, { handlers: { ...echo, secret: (x) => x } })
    assert.equal((await c.submit({ kind: 'echo', payload: 7 })).value, 7)
    await rejects(() => some.publish('orders', 1), 'FORBIDDEN', 'orders')
    await some.publish('prices', 1)
    some.subscribe('orders', () => assert.fail('not granted'))
    await until(() => warnings.some((warning) => warning.includes('orders') && warning.includes('FORBIDDEN')))
    // A part of a matrix is a matrix; DTW was not granted.
    assert.deepEqual(await c.lcsMatrix(['abc', 'abd', 'xyz']), await lcsMatrix(['abc', 'abd', 'xyz']))
    const { taskId } = await c.enqueue({ kind: 'secret' })
    const dtw = await c.enqueue({ kind: 'dtw', payload: { a: new Float64Array([1]), b: new Float64Array([2]) } })
    await c.submit({ kind: 'echo', payload: 8 })
    for (const id of [taskId, dtw.taskId]) assert.equal(c.task(id).state, 'queued')
    await connect(t, c, await authority.issue({ id: 'all', role: 'agent' }), { handlers: { secret: () => 'by all' } })
    assert.equal((await c.result(taskId)).agentId, 'all')
    assert.equal((await c.result(dtw.taskId)).value, 1)
  })

  test('a revocation by any process reaches who is connected', async (t) => {
    const { authority, directory, root } = await place(t)
    const dataDir = join(root, 'data')
    const c = await start(t, { authority, dataDir })
    const identity = await authority.issue({ id: 'a', role: 'agent' })
    const a = await connect(t, c, identity)
    const closed = next(a, 'closed')
    const left = next(c, 'agentLeft')
    const other = program(`
      const authority = await m.CertificateAuthority.open(${JSON.stringify(directory)})
      await authority.revoke(${JSON.stringify(identity.serial)}, 'lost')
      console.log(JSON.stringify(Date.now()))`)
    const at = await other.line()
    coded('UNAUTHENTICATED', 'revoked')((await closed)[0])
    t.diagnostic(`revoked ${Date.now() - at} ms after the other process had it`)
    assert.match((await left)[0].reason, /revoked/)
    await rejects(() => Agent.connect({ address: c.address, identity }), 'UNAUTHENTICATED')
    assert.equal((await other.ended).code, 0)
    await c.close()
    const log = readdirSync(join(dataDir, 'audit')).map((name) => readFileSync(join(dataDir, 'audit', name), 'utf8')).join('')
    const entries = log.split('\n').filter((line) => line.startsWith('{"seq"')).map((line) => JSON.parse(line))
    const revoked = entries.find(({ action }) => action === 'revoked')
    assert.deepEqual([revoked.actor, revoked.object, revoked.detail.id], ['authority', identity.serial, 'a'])
    assert.equal((await verifyAuditLog(dataDir)).ok, true)
  })

  test('a session without renewal ends with its certificate', async (t) => {
    const { authority } = await place(t)
    const c = await start(t, { identity: await authority.issue({ id: 'desk', role: 'coordinator' }) })
    const a = await connect(t, c, await authority.issue({ id: 'a', role: 'agent', validMs: 8000 }))
    coded('UNAUTHENTICATED', 'expired')((await next(a, 'closed'))[0])
  })

  test('a process that is killed after its renewal is let in again with what onIdentity kept', async (t) => {
    const { authority, root } = await place(t)
    const c = await start(t, { authority })
    const first = await authority.issue({ id: 'a', role: 'agent', validMs: 12_000 })
    const file = join(root, 'identity.json')
    writeFileSync(file, JSON.stringify(first), { mode: 0o600 })
    const life = () => program(`
      const fs = await import('node:fs')
      const file = ${JSON.stringify(file)}
      const a = await m.Agent.connect({
        address: ${JSON.stringify(c.address)}, identity: JSON.parse(fs.readFileSync(file, 'utf8')), handlers: { who: () => process.pid },
        onIdentity: async (identity) => {
          fs.writeFileSync(file + '.new', JSON.stringify(identity), { mode: 0o600, flush: true })
          fs.renameSync(file + '.new', file)
          console.log(JSON.stringify('kept'))
        },
      })
      console.log(JSON.stringify(process.pid))`)
    const one = life()
    const pid = await one.line()
    assert.equal((await c.submit({ kind: 'who' })).value, pid)
    assert.equal(await one.line(), 'kept')
    const second = JSON.parse(readFileSync(file, 'utf8'))
    assert.deepEqual(Object.keys(second).sort(), ['ca', 'certificate', 'privateKey'])
    assert.notEqual(second.privateKey, first.privateKey)
    one.child.kill('SIGKILL')
    await one.ended
    await sleep(Math.max(0, first.notAfter + 1500 - Date.now()))
    await rejects(() => Agent.connect({ address: c.address, identity: first }), 'UNAUTHENTICATED')
    const two = life()
    const again = await two.line()
    assert.equal((await c.submit({ kind: 'who' })).value, again)
    two.child.kill('SIGKILL')
    await two.ended
  })

  test('onIdentity that fails: a warning, the old identity goes on, and the new one is offered again', async (t) => {
    const { authority } = await place(t)
    const c = await start(t, { authority })
    const identity = await authority.issue({ id: 'a', role: 'agent', validMs: 12_000 })
    const given = []
    const warnings = []
    const warned = (warning) => warnings.push(String(warning))
    process.on('warning', warned)
    t.after(() => process.off('warning', warned))
    const a = await connect(t, c, identity, {
      handlers: echo,
      onIdentity: async (renewed) => {
        given.push(renewed)
        if (given.length === 1) throw new Error('the disk is full')
      },
    })
    await until(() => given.length === 2)
    assert.deepEqual(given[0], given[1])
    assert.ok(warnings.some((warning) => warning.includes('the disk is full')), warnings.join())
    await sleep(Math.max(0, identity.notAfter + 1500 - Date.now()))
    assert.equal(a.state, 'connected')
    assert.equal((await c.submit({ kind: 'echo', payload: 1 })).value, 1)
    assert.equal((await authority.list()).filter(({ id }) => id === 'a').length, 2)
  })

  test('the coordinator renews itself and hands the new identity to its program', async (t) => {
    const { authority } = await place(t)
    const identity = await authority.issue({ id: 'desk', role: 'coordinator', validMs: 10_000 })
    const kept = []
    const c = await start(t, { authority, identity, onIdentity: async (renewed) => { kept.push(renewed) } })
    await until(() => kept.length === 1)
    await sleep(Math.max(0, identity.notAfter + 1500 - Date.now()))
    await connect(t, c, await authority.issue({ id: 'a', role: 'agent' }), { handlers: echo })
    assert.equal((await c.submit({ kind: 'echo', payload: 1 })).value, 1)
    await c.close()
    const again = await start(t, { authority, identity: kept[0] })
    assert.equal(again.id, 'desk')
  })

  test('roots are rotated with overlap, and grants and revocations go along', async (t) => {
    const { authority: before, root } = await place(t)
    const after = await CertificateAuthority.open(join(root, 'next'), { name: 'desk' })
    const desk = async (authority, ca) => ({ ...pick(await authority.issue({ id: 'desk', role: 'coordinator' })), ca })
    const pick = ({ certificate, privateKey, ca }) => ({ certificate, privateKey, ca })
    const both = before.certificate + after.certificate
    const first = await start(t, { authority: before, identity: await desk(before, before.certificate) })
    const { address } = first
    let current = await before.issue({ id: 'a', role: 'agent', validMs: 12_000, grants: { kinds: ['echo'] } })
    const a = await connect(t, first, current, { handlers: { ...echo, secret: () => 1 }, onIdentity: async (identity) => { current = identity } })
    const lost = await before.issue({ id: 'lost', role: 'agent' })
    await before.revoke('lost')

    await first.rotateIdentity(await desk(before, both))
    await until(() => current.ca.includes(after.certificate.trim()))
    await first.close()
    assert.ok(await after.adopt(before) >= 4)
    const second = await start(t, { listen: address, authority: after, identity: await desk(after, both) })
    assert.equal((await second.submit({ kind: 'echo', payload: 1 })).agentId, 'a')
    const { taskId } = await second.enqueue({ kind: 'secret' })
    await second.submit({ kind: 'echo' })
    assert.equal(second.task(taskId).state, 'queued')
    await rejects(() => Agent.connect({ address, identity: { ...pick(lost), ca: both } }), 'UNAUTHENTICATED')

    await rejects(() => second.rotateIdentity({ ...current }), 'INVALID_ARGUMENT')
    const alone = await desk(after, before.certificate)
    await rejects(() => second.rotateIdentity(alone), 'UNAUTHENTICATED')
    await second.rotateIdentity(await desk(after, after.certificate))
    assert.equal(a.state, 'connected')
    await rejects(() => Agent.connect({ address, identity: current }), 'UNAUTHENTICATED')
    await connect(t, second, await after.issue({ id: 'b', role: 'agent' }))

    for (const wrong of [undefined, {}, 'x']) await rejects(() => after.adopt(wrong), 'INVALID_ARGUMENT', 'predecessor')
    const stranger = await CertificateAuthority.open(join(root, 'stranger'), { name: 'other' })
    await rejects(() => after.adopt(stranger), 'INVALID_ARGUMENT', 'predecessor')
  })

  test('what does not fit together is refused at the start', async (t) => {
    const { authority, directory, root } = await place(t)
    const other = await CertificateAuthority.open(join(root, 'other'), { name: 'desk' })
    const identity = await authority.issue({ id: 'desk', role: 'coordinator' })
    await rejects(() => Coordinator.start({ identity, authority: other }), 'INVALID_ARGUMENT', 'authority')
    await authority.revoke('desk')
    await rejects(() => Coordinator.start({ identity, authority }), 'FORBIDDEN', 'revoked')
    for (const wrong of [{}, 'directory', null]) await rejects(() => Coordinator.start({ authority: wrong }), 'INVALID_ARGUMENT', 'authority')
    if (process.platform !== 'win32') {
      chmodSync(directory, 0o755)
      await rejects(() => CertificateAuthority.open(directory), 'FORBIDDEN', '0755')
      chmodSync(directory, 0o700)
    }
  })
})
