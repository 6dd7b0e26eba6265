// Sealed databases: real AgentDB databases and keyrings, through a coordinator that keeps what it forwards on its disk.

import test from 'node:test'
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, AgentDbSync, CertificateAuthority, Coordinator, Keyring } from '@neural-trader/midstreamer'
import { agentdb, database, directory, embedder, eventually, firstDriver, missing } from './support/agentdb.mjs'

const MARKER = 'zq-marker-7391'
const SECRET = 'open sesame'
const LIMIT_MS = 20_000

/** A coordinator with a dataDir, and nodes that replicate through it. */
async function swarm(t) {
  const folder = await directory(t)
  const dataDir = join(folder, 'coordinator')
  const coordinator = await Coordinator.start({ listen: '127.0.0.1:0', dataDir })
  t.after(() => coordinator.close())
  return {
    folder, dataDir, coordinator,
    async node(id, keyring, prepare = () => {}) {
      const agent = await Agent.connect({ address: coordinator.address, identity: await coordinator.developmentIdentity(id) })
      const db = await database(t, firstDriver, join(folder, `${id}.db`))
      prepare(db)
      const sync = await AgentDbSync.open({ db, database: 'desk', ...(keyring && { keyring }) })
      const refused = []
      sync.on('refused', (refusal) => refused.push(refusal))
      t.after(async () => { await sync.close(); await agent.close() })
      return { agent, db, sync, refused }
    },
  }
}

/** Keyrings with one key in common, in use. */
async function rings(folder, ...names) {
  const [first, ...others] = await Promise.all(names.map((name) => Keyring.open(join(folder, `${name}.ring`))))
  const exported = await first.export(first.currentKeyId, SECRET)
  for (const ring of others) await ring.use(await ring.install(exported, SECRET))
  return [first, ...others]
}

const skill = (db, name) => db.prepare("INSERT INTO skills(name, description, signature) VALUES(?, ?, '{}')").run(name, MARKER)
const skills = (db) => db.prepare('SELECT name FROM skills ORDER BY name').all().map(({ name }) => name)
const holds = (dir, text) => readdirSync(dir, { recursive: true }).some((name) => {
  const file = join(dir, String(name))
  return statSync(file).isFile() && readFileSync(file).includes(text)
})

test('a pattern of one node is found on the other, and the coordinator has none of it on its disk', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, dataDir, coordinator, node } = await swarm(t)
  const [ringA, ringB] = await rings(folder, 'a', 'b')
  const a = await node('a', ringA, (db) => skill(db, 'hedge'))
  const b = await node('b', ringB, (db) => skill(db, 'hedge'))
  await a.sync.attach(a.agent)
  await b.sync.attach(b.agent)
  const { ReasoningBank } = await agentdb()
  const [bankA, bankB] = [new ReasoningBank(a.db, embedder), new ReasoningBank(b.db, embedder)]
  await bankA.storePattern({ taskType: MARKER, approach: `${MARKER} approach`, successRate: 0.5 })
  await a.sync.flush()
  const found = await eventually(async () => {
    const [first] = await bankB.searchPatterns({ taskEmbedding: await embedder.embed(`${MARKER}: ${MARKER} approach`), k: 1 })
    return first
  }, LIMIT_MS)
  assert.equal(found.approach, `${MARKER} approach`)
  // One name is one row, on both.
  skill(b.db, 'of b')
  await b.sync.flush({ scope: 'members' })
  for (const { db, refused, sync } of [a, b]) {
    assert.deepEqual(skills(db), ['hedge', 'of b'])
    assert.deepEqual(refused, [])
    assert.deepEqual([sync.status().waiting, sync.status().missingKeys], [[], []])
  }
  await a.sync.close()
  await b.sync.close()
  await coordinator.close()
  for (const text of [MARKER, 'hedge', 'reasoning_patterns']) assert.equal(holds(dataDir, text), false, text)
})

test('without a keyring the same search finds it: the control', { skip: missing, timeout: 90_000 }, async (t) => {
  const { dataDir, coordinator, node } = await swarm(t)
  const a = await node('a')
  await a.sync.attach(a.agent)
  skill(a.db, 'hedge')
  await a.sync.flush()
  await a.sync.close()
  await coordinator.close()
  assert.equal(holds(dataDir, MARKER), true)
})

test('keys change while it runs; what is under a key that is missing waits until that is installed', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, node } = await swarm(t)
  const [ringA, ringB] = await rings(folder, 'a', 'b')
  const [a, b] = [await node('a', ringA), await node('b', ringB)]
  await a.sync.attach(a.agent)
  await b.sync.attach(b.agent)
  skill(a.db, 'before')
  await eventually(() => skills(b.db).length === 1, LIMIT_MS)
  const next = await ringA.rotate()
  skill(a.db, 'after')
  await a.sync.flush({ scope: 'members' })
  await eventually(() => { assert.deepEqual(b.sync.status().missingKeys, [next]); return true }, LIMIT_MS)
  const { pending, waiting } = b.sync.status()
  assert.ok(pending >= 1 && waiting.every(({ reason }) => reason === 'key'), JSON.stringify(waiting))
  assert.deepEqual(skills(b.db), ['before'])
  // B goes on with the old key meanwhile, which A still has.
  skill(b.db, 'of b')
  await eventually(() => skills(a.db).includes('of b'), LIMIT_MS)
  await ringB.use(await ringB.install(await ringA.export(next, SECRET), SECRET))
  await eventually(() => { assert.deepEqual(skills(b.db), ['after', 'before', 'of b']); return true }, LIMIT_MS)
  await eventually(() => b.sync.status().pending === 0, LIMIT_MS)
  assert.deepEqual(b.sync.status().missingKeys, [])
  assert.deepEqual([...a.refused, ...b.refused], [])
})

test('a node that has nothing yet waits for the first key as well', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, node } = await swarm(t)
  const [ringA, ringB] = await Promise.all(['a', 'b'].map((name) => Keyring.open(join(folder, `${name}.ring`))))
  const [a, b] = [await node('a', ringA), await node('b', ringB)]
  await a.sync.attach(a.agent)
  skill(a.db, 'hedge')
  await a.sync.flush()
  await b.sync.attach(b.agent)
  await eventually(() => b.sync.status().pending > 0, LIMIT_MS)
  assert.deepEqual(b.sync.status().missingKeys, [ringA.currentKeyId])
  await ringB.install(await ringA.export(ringA.currentKeyId, SECRET), SECRET)
  await eventually(() => { assert.deepEqual(skills(b.db), ['hedge']); return true }, LIMIT_MS)
})

test('a node without a keyring is refused by a sealed database, and the reverse, through the coordinator and directly', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, node } = await swarm(t)
  const [ring] = await rings(folder, 'a')
  const sealed = await node('sealed', ring)
  await sealed.sync.attach(sealed.agent)
  skill(sealed.db, 'secret')
  await sealed.sync.flush()
  const plain = await node('plain')
  skill(plain.db, 'plain')
  await assert.rejects(plain.sync.attach(plain.agent), { code: 'DECRYPT', message: /keyring.*"desk"/ })
  await assert.rejects(plain.sync.flush({ timeoutMs: LIMIT_MS }), { code: 'DECRYPT' })
  assert.deepEqual([plain.refused[0].code, plain.refused[0].table], ['DECRYPT', null])
  const stranger = await node('stranger', await Keyring.open(join(folder, 'stranger.ring')), (db) => skill(db, 'strange'))
  await assert.rejects(stranger.sync.attach(stranger.agent), { code: 'DECRYPT', message: /keyring.*"desk"/ })
  assert.deepEqual([skills(sealed.db), skills(plain.db), skills(stranger.db)], [['secret'], ['plain'], ['strange']])

  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const identity = (id) => authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] })
  const address = await sealed.sync.listen({ identity: await identity('sealed') })
  await assert.rejects(plain.sync.connect({ address, identity: await identity('plain') }), { code: 'DECRYPT', message: /keyring/ })
  await eventually(() => sealed.refused.some(({ from, code }) => from === 'plain' && code === 'DECRYPT'), LIMIT_MS)
  assert.deepEqual([skills(sealed.db), skills(plain.db)], [['secret'], ['plain']])
})

test('a database stays sealed, or not, as it was opened first', { skip: missing, timeout: 60_000 }, async (t) => {
  const folder = await directory(t)
  const [ring, stranger] = await Promise.all(['a', 'b'].map((name) => Keyring.open(join(folder, `${name}.ring`))))
  const db = await database(t, firstDriver, join(folder, 'a.db'))
  skill(db, 'hedge')
  await (await AgentDbSync.open({ db, keyring: ring })).close()
  await assert.rejects(AgentDbSync.open({ db }), { code: 'DECRYPT', message: /it is sealed/ })
  await assert.rejects(AgentDbSync.open({ db, keyring: stranger }), { code: 'DECRYPT', message: /another line/ })
  const sync = await AgentDbSync.open({ db, keyring: ring })
  await sync.uninstall()
  await (await AgentDbSync.open({ db })).close()
  await assert.rejects(AgentDbSync.open({ db, keyring: ring }), { code: 'DECRYPT', message: /without a keyring/ })
})
