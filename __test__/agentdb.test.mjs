// Two databases of AgentDB that replicate each other, written and read by AgentDB's own classes.

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { agentdb, database, directory, drivers, embedder, eventually, firstDriver, missing } from './support/agentdb.mjs'

/** Two nodes with a direct link. */
async function pair(t, driver = firstDriver, options = {}) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const open = async (id) => {
    const db = await database(t, driver, join(folder, `${id}.db`))
    const sync = await AgentDbSync.open({ db, ...options })
    t.after(() => sync.close())
    return { db, sync, identity: await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] }) }
  }
  const [a, b] = [await open('a'), await open('b')]
  const address = await a.sync.listen({ identity: a.identity })
  await b.sync.connect({ address, identity: b.identity })
  return { a, b, folder }
}

for (const driver of Object.keys(drivers)) {
  test(`${driver}: a pattern of one node is found by searchPatterns on the other, and trials add up`, { skip: missing, timeout: 180_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    const { ReasoningBank } = await agentdb()
    const [bankA, bankB] = [new ReasoningBank(a.db, embedder), new ReasoningBank(b.db, embedder)]
    const id = await bankA.storePattern({ taskType: 'dtw_match', approach: 'head and shoulders', successRate: 0.5, tags: ['btc'], metadata: { a: 1 } })
    const flushed = await a.sync.flush()
    assert.ok(flushed.rows >= 1 && flushed.peers === 1 && flushed.elapsedMs >= 0, JSON.stringify(flushed))
    const found = await eventually(async () => {
      const [first] = await bankB.searchPatterns({ taskEmbedding: await embedder.embed('dtw_match: head and shoulders'), k: 1 })
      return first
    })
    assert.equal(found.approach, 'head and shoulders')
    assert.deepEqual([found.tags, found.metadata], [['btc'], { a: 1 }])
    for (let trial = 0; trial < 10; trial++) {
      bankA.updatePatternStats(id, true, 1)
      bankB.updatePatternStats(found.id, false, 0)
    }
    for (const bank of [bankA, bankB]) {
      await eventually(() => {
        const { uses } = bank.getPattern(bank === bankA ? id : found.id)
        assert.equal(uses, 20)
        return true
      })
    }
    const [ofA, ofB] = [bankA.getPattern(id), bankB.getPattern(found.id)]
    assert.equal(ofA.successRate, ofB.successRate)
    assert.ok(Math.abs(ofA.avgReward - 0.5) < 0.3, `${ofA.avgReward}`)
  })
}

test('deletes travel, uninstall leaves the schema as it was, and a file has one AgentDbSync', { skip: missing, timeout: 60_000 }, async (t) => {
  const folder = await directory(t)
  const file = join(folder, 'c.db')
  const db = await database(t, firstDriver, file)
  const before = db.prepare('SELECT type, name, sql FROM sqlite_master ORDER BY name').all()
  const sync = await AgentDbSync.open({ db, database: 'one' })
  await assert.rejects(AgentDbSync.open({ db, database: 'one' }), { code: 'STORE' })
  const other = await drivers[firstDriver](file)
  await assert.rejects(AgentDbSync.open({ db: other, database: 'one' }), { code: 'STORE', message: /another AgentDbSync/ })
  other.close()
  await assert.rejects(sync.flush(), { code: 'CONNECTION' })
  assert.equal(sync.status().database, 'one')
  await sync.uninstall()
  assert.deepEqual(db.prepare('SELECT type, name, sql FROM sqlite_master ORDER BY name').all(), before)
  assert.throws(() => sync.status(), { code: 'CLOSED' })
})

test('arguments', { skip: missing }, async (t) => {
  const db = await database(t)
  for (const [options, message] of [
    [{ db, flushMs: 0 }, /flushMs/], [{ db, batchRows: 1.5 }, /batchRows/], [{ db, tables: [] }, /tables/], [{ db, database: '' }, /database/],
    [{ db, keyring: {} }, /keyring must be a Keyring/], [{ db, onVectors: 1 }, /onVectors/], [{ db, tabels: [] }, /did you mean "tables"/], [{}, /^db must be/],
  ]) await assert.rejects(AgentDbSync.open(options), { code: 'INVALID_ARGUMENT', message })
  const sync = await AgentDbSync.open({ db })
  t.after(() => sync.close())
  await assert.rejects(sync.attach({}), { code: 'INVALID_ARGUMENT', message: /agent must be an Agent/ })
  await assert.rejects(sync.listen(), { code: 'INVALID_ARGUMENT', message: /identity/ })
  await assert.rejects(sync.flush({ scope: 'all' }), { code: 'INVALID_ARGUMENT', message: /scope/ })
  assert.throws(() => sync.on('aplied', () => {}), { code: 'INVALID_ARGUMENT' })
})

test('deletes travel, vectors are told, a transaction of the user waits nobody out', { skip: missing, timeout: 60_000 }, async (t) => {
  const vectors = []
  const { a, b } = await pair(t, firstDriver, { onVectors: (table, rows) => vectors.push(...rows.map((row) => ({ table, ...row }))) })
  const { ReasoningBank } = await agentdb()
  const bank = new ReasoningBank(a.db, embedder)
  new ReasoningBank(b.db, embedder)
  const id = await bank.storePattern({ taskType: 't', approach: 'x', successRate: 1 })
  const count = () => b.db.prepare('SELECT count(*) AS n FROM reasoning_patterns').get().n
  await eventually(() => count() === 1)
  const told = await eventually(() => vectors.find((row) => row.table === 'reasoning_patterns'))
  const expected = await embedder.embed('t: x')
  assert.deepEqual([...told.embedding], [...expected])
  // While the user's transaction is open nothing is applied, and it is not disturbed.
  b.db.exec('BEGIN')
  b.db.exec("INSERT INTO facts(subject, predicate, object) VALUES('s', 'p', 'o')")
  bank.deletePattern(id)
  await a.sync.flush({ timeoutMs: 1500 }).catch((error) => assert.equal(error.code, 'TIMEOUT'))
  assert.equal(count(), 1)
  await eventually(() => b.sync.status().blockedBy?.includes('transaction'))
  b.db.exec('COMMIT')
  await eventually(() => count() === 0)
  assert.equal(b.db.prepare('SELECT count(*) AS n FROM pattern_embeddings').get().n, 0)
  await eventually(() => a.db.prepare('SELECT count(*) AS n FROM facts').get().n === 1)
  assert.equal(b.sync.status().blockedBy, null)
  await a.sync.flush({ scope: 'members' })
  assert.deepEqual(b.sync.status().parkedTables, [])
})
