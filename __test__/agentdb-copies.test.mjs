// Databases that are copies, rows that SQLite replaces without telling, and schemas that differ.

import test from 'node:test'
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { database, directory, drivers, eventually, firstDriver, missing } from './support/agentdb.mjs'

const LIMIT_MS = 20_000

/** A node that listens; others are dialled to it. */
async function hub(t) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const identity = (id) => authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] })
  const db = await database(t, firstDriver, join(folder, 'hub.db'))
  const sync = await AgentDbSync.open({ db })
  t.after(() => sync.close())
  const address = await sync.listen({ identity: await identity('hub') })
  return {
    folder, db, sync,
    async join(id, handle) {
      const node = await AgentDbSync.open({ db: handle })
      t.after(() => node.close())
      const forks = []
      node.on('forked', (fork) => forks.push(fork))
      await node.connect({ address, identity: await identity(id) })
      return { sync: node, forks }
    },
  }
}

const store = (db, approach) => db.prepare("INSERT INTO skills(name, description, signature) VALUES(?, 'd', '{}')").run(approach)
const trial = (db, name) => db.prepare('UPDATE skills SET success_rate = (success_rate * uses + 1) / (uses + 1), uses = uses + 1 WHERE name = ?').run(name)
const state = (db) => db.prepare('SELECT name, uses FROM skills ORDER BY name').all().map(({ name, uses }) => `${name} ${uses}`)

async function same(...dbs) {
  await eventually(() => { for (const db of dbs) assert.deepEqual(state(db), state(dbs[0])); return true }, LIMIT_MS)
}

test('a database that is restored from a backup gets back what it forgot, keeps what it wrote since, and resurrects nothing', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, db: there, join: dial } = await hub(t)
  const file = join(folder, 'a.db')
  let db = await database(t, firstDriver, file)
  let node = await dial('a', db)
  for (const name of ['kept', 'deleted']) store(db, name)
  for (let i = 0; i < 3; i++) trial(db, 'kept')
  await node.sync.flush()
  await node.sync.close()
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
  copyFileSync(file, join(folder, 'backup.db'))

  db = await drivers[firstDriver](file)
  node = await dial('a', db)
  db.prepare("DELETE FROM skills WHERE name = 'deleted'").run()
  store(db, 'after the backup')
  for (let i = 0; i < 2; i++) trial(db, 'kept')
  await node.sync.flush()
  await same(db, there)
  assert.deepEqual(node.forks, [])
  await node.sync.close()
  db.close()

  const restored = await drivers[firstDriver](join(folder, 'backup.db'))
  t.after(() => restored.close())
  store(restored, 'after the restore')
  trial(restored, 'kept')
  const back = await dial('a', restored)
  await eventually(() => { assert.deepEqual(state(restored), ['after the backup 0', 'after the restore 0', 'kept 6']); return true }, LIMIT_MS)
  await same(restored, there)
  assert.equal(back.forks.length, 1)
  // The original was opened again after the copy was made: nothing tells that from a clone.
  assert.equal(back.forks[0].reason, 'cloned')
  assert.ok(back.sync.status().forkedFrom === back.forks[0].from && back.sync.status().nodeId === back.forks[0].to)
})

test('two copies of one database become two nodes, and what both had counts once', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, db: there, join: dial } = await hub(t)
  const file = join(folder, 'a.db')
  const first = await database(t, firstDriver, file)
  const before = await dial('a', first)
  store(first, 'shared')
  for (let i = 0; i < 4; i++) trial(first, 'shared')
  await before.sync.flush()
  await before.sync.close()
  first.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  first.close()
  copyFileSync(file, join(folder, 'b.db'))
  const [a, b] = [await drivers[firstDriver](file), await drivers[firstDriver](join(folder, 'b.db'))]
  t.after(() => { a.close(); b.close() })
  for (const [db, name] of [[a, 'of a'], [b, 'of b']]) {
    store(db, name)
    trial(db, 'shared')
  }
  const [one, other] = [await dial('a', a), await dial('b', b)]
  await eventually(() => { assert.deepEqual(state(there), ['of a 0', 'of b 0', 'shared 6']); return true }, LIMIT_MS)
  await same(a, b, there)
  assert.equal(one.forks.length + other.forks.length, 1)
})

test('INSERT OR REPLACE, a changed row on two nodes and a column that one node lacks', { skip: missing, timeout: 90_000 }, async (t) => {
  const { folder, db: there, sync: hubSync, join: dial } = await hub(t)
  const db = await database(t, firstDriver, join(folder, 'a.db'))
  const mismatches = []
  hubSync.on('schemaMismatch', (mismatch) => mismatches.push(mismatch))
  const node = await dial('a', db)
  store(db, 'edited')
  db.exec("INSERT INTO notes(id, title, text) VALUES(1, 'old', 'x'), (2, 'stays', 'y')")
  await same(db, there)
  // SQLite deletes row 1 for it and fires no trigger for that.
  db.exec("INSERT OR REPLACE INTO notes(id, title, text) VALUES(1, 'new', 'x')")
  const titles = (handle) => handle.prepare('SELECT title FROM notes ORDER BY title').all().map(({ title }) => title)
  await eventually(() => { assert.deepEqual(titles(there), ['new', 'stays']); return true }, LIMIT_MS)

  db.prepare("UPDATE skills SET description = 'of a' WHERE name = 'edited'").run()
  there.prepare("UPDATE skills SET description = 'of the hub' WHERE name = 'edited'").run()
  const description = (handle) => handle.prepare("SELECT description FROM skills WHERE name = 'edited'").get().description
  await node.sync.flush()
  await eventually(() => { assert.equal(description(db), description(there)); return true }, LIMIT_MS)

  db.exec('ALTER TABLE notes ADD COLUMN mood TEXT')
  db.exec("INSERT INTO notes(title, text, mood) VALUES('calm', 'z', 'blue')")
  store(db, 'goes on')
  await same(db, there)
  await eventually(() => mismatches.some(({ table, detail }) => table === 'notes' && detail.includes('mood')), LIMIT_MS)
  assert.deepEqual(titles(there), ['new', 'stays'])
  there.exec('ALTER TABLE notes ADD COLUMN mood TEXT')
  await eventually(() => { assert.deepEqual(titles(there), ['calm', 'new', 'stays']); return true }, LIMIT_MS)
})
