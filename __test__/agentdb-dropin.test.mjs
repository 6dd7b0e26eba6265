// QUICServer, QUICClient and SyncCoordinator of ./agentdb: the shapes of AgentDB's, and rows that really arrive.

import test from 'node:test'
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { join } from 'node:path'
import { CertificateAuthority } from '@neural-trader/midstreamer'
import { QUICClient, QUICServer, SyncCoordinator } from '@neural-trader/midstreamer/agentdb'
import { database, directory, eventually, firstDriver, missing } from './support/agentdb.mjs'

async function sides(t, { token = '' } = {}) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const identity = (id) => authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] })
  const [here, there] = [await database(t, firstDriver, join(folder, 'here.db')), await database(t, firstDriver, join(folder, 'there.db'))]
  const { certificate, privateKey, ca } = await identity('server')
  const server = new QUICServer(there, { host: '127.0.0.1', port: 0, authToken: token, tlsConfig: { cert: certificate, key: privateKey, ca } })
  await server.start()
  t.after(() => server.stop())
  const [serverHost, port] = server.address.split(':')
  const client = async (options) => {
    const made = new QUICClient({ serverHost, serverPort: Number(port), identity: await identity('client'), timeoutMs: 20_000, ...options })
    t.after(() => made.disconnect())
    return made
  }
  return { here, there, server, client, secrets: [privateKey, token] }
}

const episode = (db, task) => db.prepare("INSERT INTO episodes(session_id, task, reward) VALUES('s', ?, 1)").run(task)
const tasks = (db) => db.prepare('SELECT task FROM episodes ORDER BY task').all().map(({ task }) => task)

test('one sync moves rows both ways, and says how many', { skip: missing, timeout: 60_000 }, async (t) => {
  const { here, there, server, client } = await sides(t, { token: 'secret' })
  for (const task of ['a', 'b', 'c']) episode(here, task)
  for (const task of ['x', 'y']) episode(there, task)
  const coordinator = new SyncCoordinator({ db: here, client: await client({ authToken: 'secret' }), conflictStrategy: 'latest-wins' })
  const phases = []
  const report = await coordinator.sync(({ phase }) => phases.push(phase))
  assert.deepEqual(report.errors, [])
  assert.equal(report.success, true)
  assert.deepEqual(tasks(there).filter((task) => task < 'x'), ['a', 'b', 'c'])
  assert.ok(report.bytesTransferred > 0 && report.endTime >= report.startTime, JSON.stringify(report))
  assert.deepEqual([phases[0], phases.at(-1)], ['detecting', 'completed'])
  assert.equal(coordinator.getStatus().state.syncCount, 1)
  // The other side looks for what was written every few milliseconds: what it had not seen comes a moment later.
  await eventually(() => { assert.deepEqual(tasks(here), ['a', 'b', 'c', 'x', 'y']); return true })
  assert.deepEqual(tasks(there), ['a', 'b', 'c', 'x', 'y'])
  assert.equal(server.getConnections().length, 1)
  const { data, count, hasMore } = await server.processSyncRequest('client', { type: 'episodes' }, 'secret')
  assert.deepEqual([data.length, count, hasMore], [5, 5, false])
  assert.equal((await server.processSyncRequest('client', { type: 'episodes' }, 'wrong')).success, false)
})

test('a client pushes, pulls and pings; rows that are not in the database are named', { skip: missing, timeout: 60_000 }, async (t) => {
  const { here, there, client } = await sides(t)
  const { lastInsertRowid: id } = episode(here, 'pushed')
  const made = await client({ db: here })
  const pushed = await made.push({ type: 'episodes', data: [{ id: Number(id) }] })
  assert.deepEqual([pushed.success, pushed.itemsPushed], [true, 1], pushed.error)
  assert.deepEqual(tasks(there), ['pushed'])
  assert.deepEqual((await made.push({ type: 'episodes', data: [{ id: 999 }] })).failedItems, [{ id: 999 }])
  episode(there, 'pulled')
  await eventually(async () => {
    const pulled = await made.sync({ type: 'episodes' })
    assert.deepEqual([pulled.success, pulled.data.length], [true, 2], pulled.error)
    return true
  })
  assert.equal((await made.ping()).success, true)
})

test('another token, no certificate and what nobody does are refused; nothing secret is shown', { skip: missing, timeout: 60_000 }, async (t) => {
  const { here, server, client, secrets } = await sides(t, { token: 'right' })
  const stranger = await client({ db: here, authToken: 'wrong' })
  await assert.rejects(stranger.connect(), { code: 'NOT_FOUND' })
  assert.equal((await stranger.ping()).success, false)
  assert.throws(() => new QUICServer(here), { code: 'INVALID_ARGUMENT', message: /tlsConfig\.cert/ })
  assert.throws(() => new QUICServer(here, { rateLimit: {} }), { code: 'INVALID_ARGUMENT', message: /rateLimit/ })
  assert.throws(() => new QUICClient({ serverHost: 'x' }), { code: 'INVALID_ARGUMENT', message: /serverPort/ })
  assert.throws(() => new SyncCoordinator({ db: here, conflictStrategy: 'local-wins' }), { code: 'INVALID_ARGUMENT', message: /conflictStrategy/ })
  await assert.rejects(new SyncCoordinator({ db: here }).sync(), { code: 'INVALID_ARGUMENT', message: /client/ })
  for (const shown of [inspect(server, { depth: 9 }), JSON.stringify(server.getStatus()), inspect(stranger, { depth: 9 }), JSON.stringify(stranger.getStatus())]) {
    for (const secret of secrets) assert.ok(!shown.includes(secret), shown)
  }
})
