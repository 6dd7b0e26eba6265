// Tables that change while they are replicated, writes on both sides in one millisecond, and what is left after uninstall().

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { agentdb, database, directory, drivers, embedder, eventually, firstDriver, missing } from './support/agentdb.mjs'

async function pair(t, driver = firstDriver) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const open = async (id) => {
    const db = await database(t, driver, join(folder, `${id}.db`))
    const { ReasoningBank } = await agentdb()
    const bank = new ReasoningBank(db, embedder)
    const before = schemaOf(db)
    const sync = await AgentDbSync.open({ db })
    t.after(() => sync.close())
    return { db, sync, bank, before, identity: await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] }) }
  }
  const [a, b] = [await open('a'), await open('b')]
  await b.sync.connect({ address: await a.sync.listen({ identity: a.identity }), identity: b.identity })
  return { a, b }
}

/** All that makes the schema, byte for byte, in the order in which it stands in the file. */
const schemaOf = (db) => db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid').all().map((row) => ({ ...row }))

const add = ({ db }, subject) => db.prepare("INSERT INTO facts(subject, predicate, object) VALUES(?, 'p', 'o')").run(subject)
const subjects = ({ db }) => db.prepare('SELECT subject FROM facts ORDER BY subject').all().map(({ subject }) => subject)
const same = async (a, b, rows) => eventually(() => { assert.deepEqual(subjects(a), subjects(b)); assert.equal(subjects(a).length, rows); return true })

/** As ALTER cannot: a new table takes the rows and the name of the old one. Its triggers go with that. */
function rebuild(db, more = '') {
  const [{ sql }] = db.prepare("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'facts'").all()
  const columns = db.prepare("SELECT name FROM pragma_table_info('facts')").all().map(({ name }) => name).join(', ')
  db.exec('BEGIN')
  db.exec(sql.replace('facts', 'facts_new'))
  if (more !== '') db.exec(`ALTER TABLE facts_new ADD COLUMN ${more}`)
  db.exec(`INSERT INTO facts_new(${columns}) SELECT ${columns} FROM facts`)
  db.exec('DROP TABLE facts')
  db.exec('ALTER TABLE facts_new RENAME TO facts')
  db.exec('COMMIT')
}

test('a table that is rebuilt while rows come and go loses none, doubles none, and is captured on', { skip: missing, timeout: 120_000 }, async (t) => {
  const { a, b } = await pair(t)
  let rows = 0
  const write = (count) => {
    for (let i = 0; i < count; i++) add(i % 2 === 0 ? a : b, `row ${String(rows += 1).padStart(4, '0')}`)
  }
  write(100)
  rebuild(a.db)
  write(100)
  await same(a, b, rows)
  // With rows that come during the rebuild and right after it.
  write(60)
  rebuild(b.db)
  write(60)
  rebuild(a.db)
  write(60)
  await same(a, b, rows)
  a.db.exec("UPDATE facts SET object = 'changed' WHERE subject = 'row 0001'")
  b.db.exec("DELETE FROM facts WHERE subject = 'row 0002'")
  await eventually(() => b.db.prepare("SELECT object FROM facts WHERE subject = 'row 0001'").get().object === 'changed')
  await same(a, b, rows - 1)
  assert.deepEqual([a.sync.status().parkedTables, b.sync.status().parkedTables], [[], []])
  // A rebuild that adds a column: what does not need it goes on both ways.
  rebuild(a.db, "mood TEXT DEFAULT 'calm'")
  add(b, 'without a mood')
  await eventually(() => subjects(a).includes('without a mood'))
  assert.equal(a.db.prepare("SELECT mood FROM facts WHERE subject = 'without a mood'").get().mood, 'calm')
  rebuild(b.db, "mood TEXT DEFAULT 'calm'")
  a.db.exec("INSERT INTO facts(subject, predicate, object, mood) VALUES('with one', 'p', 'o', 'wild')")
  await eventually(() => b.db.prepare("SELECT mood FROM facts WHERE subject = 'with one'").get()?.mood === 'wild')
  await same(a, b, rows + 1)
})

test('what waits says for what: a table that is not there by its name, an embedding that stays where it is', { skip: missing, timeout: 120_000 }, async (t) => {
  const { a, b } = await pair(t)
  const told = []
  b.sync.on('schemaMismatch', ({ table, detail }) => told.push(`${table}: ${detail}`))
  b.db.exec('DROP TABLE facts')
  add(a, 'nowhere to go')
  await eventually(() => b.sync.status().waiting.some(({ table, reason }) => table === 'facts' && reason === 'schema'))
  assert.deepEqual(b.sync.status().parkedTables, ['facts'])
  assert.ok(told.some((line) => line === 'facts: there is no such table here'), told.join('; '))
  const withheld = []
  a.sync.on('schemaMismatch', ({ table, detail }) => withheld.push(`${table}: ${detail}`))
  await a.bank.storePattern({ taskType: 'whole', approach: 'x', successRate: 1 })
  const id = a.db.prepare("INSERT INTO reasoning_patterns(task_type, approach, success_rate) VALUES('broken', 'x', 1)").run().lastInsertRowid
  a.db.prepare('INSERT INTO pattern_embeddings(pattern_id, embedding) VALUES(?, ?)').run(id, Buffer.alloc(7))
  await eventually(() => a.sync.status().waiting.some(({ reason }) => reason === 'embedding'))
  assert.deepEqual(a.sync.status().waiting, [{ table: 'reasoning_patterns', reason: 'embedding', rows: 1 }])
  assert.equal(a.sync.status().pending, 1)
  assert.ok(withheld.some((line) => line.startsWith(`reasoning_patterns: the row ${id} stays here: `)), withheld.join('; '))
  a.db.prepare('DELETE FROM reasoning_patterns WHERE id = ?').run(id)
  await eventually(() => a.sync.status().pending === 0)
  // The database is closed under it: nobody need wait for a timeout to learn that.
  a.db.close()
  await assert.rejects(a.sync.flush(), { code: 'CLOSED' })
})

test('what both sides write in one millisecond ends the same on both, and nothing that was added is lost', { skip: missing, timeout: 120_000 }, async (t) => {
  const { a, b } = await pair(t)
  a.db.exec("INSERT INTO notes(id, title, text) VALUES(1, 'shared', '')")
  await eventually(() => b.db.prepare('SELECT count(*) AS n FROM notes').get().n === 1)
  const text = ({ db }) => db.prepare("SELECT text FROM notes WHERE title = 'shared'").get().text
  for (let round = 0; round < 30; round++) {
    // Both in one turn of the event loop, and half of the time exactly while the other's last one is on its way.
    if (round % 2 === 0) await new Promise((resolve) => { setImmediate(resolve) })
    for (const [node, name] of [[a, 'a'], [b, 'b']]) {
      node.db.prepare("UPDATE notes SET text = ? WHERE title = 'shared'").run(`${name} ${round}`)
      add(node, `${name} ${String(round).padStart(2, '0')}`)
    }
  }
  await same(a, b, 60)
  await eventually(() => { assert.equal(text(a), text(b)); return true })
  assert.match(text(a), /^[ab] 29$/)
})

for (const driver of Object.keys(drivers)) {
  test(`${driver}: uninstall leaves the schema byte for byte, and the rows`, { skip: missing, timeout: 120_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    for (let i = 0; i < 10; i++) add(a, `row ${i}`)
    await a.bank.storePattern({ taskType: 't', approach: 'x', successRate: 1 })
    await same(a, b, 10)
    await a.sync.flush()
    assert.ok(schemaOf(b.db).some(({ name }) => name.startsWith('mqs_')))
    for (const { db, sync, before } of [b, a]) {
      await sync.uninstall()
      assert.deepEqual(schemaOf(db), before)
      assert.deepEqual(db.prepare('PRAGMA integrity_check').all().map((row) => Object.values(row)[0]), ['ok'])
    }
    assert.deepEqual(subjects(a), subjects(b))
    assert.equal(Number(b.db.prepare('SELECT count(*) AS n FROM pattern_embeddings').get().n), 1)
    // It can be installed again, and the rows of both are known to be the same ones.
    const again = await AgentDbSync.open({ db: b.db })
    t.after(() => again.close())
    assert.equal(again.status().pending, 0)
    await again.uninstall()
    assert.deepEqual(schemaOf(b.db), b.before)
  })
}
