// Who has the database while rows arrive: another process with the write lock, the user's transaction, an open iterator.

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { BetterSqlite3, DatabaseSync, database, directory, drivers, eventually, missing } from './support/agentdb.mjs'
import { start } from './support/swarm/children.mjs'

/** Drivers whose files other processes may have open. */
const shared = Object.keys(drivers).filter((name) => name !== 'sql.js')

async function pair(t, driver) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const open = async (id) => {
    const file = join(folder, `${id}.db`)
    const db = await database(t, driver, file)
    const sync = await AgentDbSync.open({ db })
    t.after(() => sync.close())
    return { db, file, sync, identity: await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] }) }
  }
  const [a, b] = [await open('a'), await open('b')]
  await b.sync.connect({ address: await a.sync.listen({ identity: a.identity }), identity: b.identity })
  return { a, b }
}

const add = ({ db }, subject) => db.prepare("INSERT INTO facts(subject, predicate, object) VALUES(?, 'p', 'o')").run(subject)
const subjects = ({ db }) => db.prepare('SELECT subject FROM facts ORDER BY subject').all().map(({ subject }) => subject)

/** A process that has the same file open. */
function other(t, file, driver) {
  let heard = 0
  const child = start(t, '../sync/writer.mjs', { file, driver }, () => { heard += 1 })
  /** Resolves when it has done so. */
  const run = async (sql) => {
    const before = heard
    child.say({ sql })
    await eventually(() => heard > before)
  }
  return { ...child, run }
}

for (const driver of shared) {
  test(`${driver}: while another process has the write lock rows wait, and it is said who is in the way`, { skip: missing, timeout: 120_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    const writer = other(t, b.file, driver)
    await writer.run("BEGIN IMMEDIATE; INSERT INTO facts(subject, predicate, object) VALUES('of the other process', 'p', 'o')")
    for (let i = 0; i < 50; i++) add(a, `row ${String(i).padStart(2, '0')}`)
    const reason = await eventually(() => b.sync.status().blockedBy ?? false)
    assert.match(reason, /^another connection holds the write lock/)
    assert.deepEqual(subjects(b), [])
    await assert.rejects(a.sync.flush({ timeoutMs: 50 }), { code: 'TIMEOUT' })
    await assert.rejects(b.sync.flush({ timeoutMs: 50 }), { code: 'TIMEOUT', message: /write lock/ })
    // Nobody waited for it on the event loop.
    const started = performance.now()
    await new Promise((resolve) => { setImmediate(resolve) })
    assert.ok(performance.now() - started < 2_000)
    await writer.run('COMMIT')
    await eventually(() => { assert.deepEqual(subjects(a), subjects(b)); return subjects(a).length === 51 })
    assert.equal(b.sync.status().blockedBy, null)
    // What it writes is captured too: triggers are in the file.
    await writer.run("INSERT INTO facts(subject, predicate, object) VALUES('of the other process too', 'p', 'o')")
    await eventually(() => subjects(a).includes('of the other process too'))
    // A process that ends within its transaction takes its lock with it, and what it wrote there was never committed.
    await writer.run("BEGIN IMMEDIATE; INSERT INTO facts(subject, predicate, object) VALUES('never', 'p', 'o')")
    add(a, 'after')
    await writer.kill()
    await eventually(() => subjects(b).includes('after'))
    assert.deepEqual(subjects(a), subjects(b))
    assert.ok(!subjects(a).includes('never'))
  })

  test(`${driver}: a long transaction of the user sees and keeps what it should while rows arrive`, { skip: missing, timeout: 120_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    add(a, 'before')
    await eventually(() => subjects(b).length === 1)
    b.db.exec('BEGIN')
    add(b, 'in the transaction')
    for (let i = 0; i < 100; i++) add(a, `during ${i}`)
    await eventually(() => b.sync.status().blockedBy?.includes('a transaction is open'))
    assert.deepEqual(subjects(b), ['before', 'in the transaction'])
    b.db.exec('ROLLBACK')
    await eventually(() => subjects(b).length === 101)
    assert.deepEqual(subjects(a), subjects(b))
    assert.ok(!subjects(a).includes('in the transaction'))
  })
}

test('better-sqlite3: an open iterator goes on undisturbed, and rows arrive when it has ended', { skip: BetterSqlite3 === undefined && 'not on this Node', timeout: 120_000 }, async (t) => {
  const { a, b } = await pair(t, 'better-sqlite3')
  for (const subject of ['1', '2', '3']) add(b, subject)
  const rows = b.db.prepare('SELECT subject FROM facts ORDER BY subject').iterate()
  const seen = [rows.next().value.subject]
  for (let i = 0; i < 20; i++) add(a, `during ${i}`)
  await eventually(() => b.sync.status().blockedBy?.includes('an iterator is open'))
  seen.push(...[...rows].map(({ subject }) => subject))
  assert.deepEqual(seen, ['1', '2', '3'])
  await eventually(() => { assert.deepEqual(subjects(a), subjects(b)); return subjects(a).length === 23 })
  assert.equal(b.sync.status().blockedBy, null)
})

test('node:sqlite: an open iterator and rows that arrive do not disturb each other', { skip: DatabaseSync === undefined && 'not on this Node', timeout: 120_000 }, async (t) => {
  const { a, b } = await pair(t, 'node:sqlite')
  for (const subject of ['1', '2', '3']) add(b, subject)
  const rows = b.db.prepare('SELECT subject FROM facts ORDER BY id').iterate()
  const seen = [rows.next().value.subject]
  for (let i = 0; i < 20; i++) add(a, `during ${i}`)
  await eventually(async () => { await new Promise((resolve) => { setTimeout(resolve, 5) }); return a.sync.status().peers.some(({ behind }) => behind === 0) })
  for (const { subject } of rows) seen.push(subject)
  assert.deepEqual(seen.slice(0, 3), ['1', '2', '3'])
  assert.equal(new Set(seen).size, seen.length)
  await eventually(() => { assert.deepEqual(subjects(a), subjects(b)); return subjects(a).length === 23 })
})
