// What statements on the user's handle give, on every driver: exact values, errors by kind, nothing left behind.

import test from 'node:test'
import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { BetterSqlite3, directory, drivers, missing, quietly, agentdb, sqlJs } from './support/agentdb.mjs'

const { handleOf } = createRequire(import.meta.url)('../js/agentdb/handles')

/** A handle, and a function that runs a text on it. */
function open(db) {
  const handle = handleOf('db', db)
  let last = 0
  return { handle, run: (sql, ...values) => { handle.define(++last, sql); return handle.query(last, values) } }
}

for (const [name, make] of Object.entries(drivers)) {
  test(`${name}: values are exact in both directions`, { skip: missing }, async () => {
    const db = await make(':memory:')
    const { handle, run } = open(db)
    assert.equal(handle.kind, name)
    for (const [value, type] of [
      [0n, 'integer'], [-1n, 'integer'], [2147483648n, 'integer'], [9007199254740993n, 'integer'],
      [9223372036854775807n, 'integer'], [-9223372036854775808n, 'integer'],
      [1, 'real'], [1.5, 'real'], [2 ** 40, 'real'], [1e300, 'real'], ['', 'text'], ['x\u{1F600}', 'text'], [null, 'null'],
    ]) {
      assert.deepEqual(run('SELECT typeof(?1), ?1, ?1', value), [[type, value, value]], String(value))
    }
    const [[blob, type]] = run('SELECT ?2, typeof(?2) WHERE ?1 = 7', 7n, new Uint8Array([0, 255]))
    assert.deepEqual([[...blob], type], [[0, 255], 'blob'])
    // Question marks in texts, names and comments are no parameters.
    assert.deepEqual(run('SELECT \'?1\' /* ? */, ? AS "a?", [b?] FROM (SELECT 1 AS [b?]) -- ?', 5n), [['?1', 5n, 1n]])
    db.close()
  })

  test(`${name}: transactions, errors and changes of the schema`, { skip: missing }, async () => {
    const db = await make(':memory:')
    const { handle, run } = open(db)
    assert.equal(handle.batch('CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE); CREATE TABLE u(x)'), undefined)
    assert.deepEqual(run('INSERT INTO t(b) VALUES(?1) RETURNING a', 'x'), [[1n]])
    assert.match(run('INSERT INTO t(b) VALUES(?1)', 'x'), /^C/)
    // Refused is a statement that is not to be had; failed, what the database itself cannot do.
    assert.match(run('SELECT * FROM nothing'), /^C.*nothing/)
    assert.match(run("SELECT json_extract('{', '$')"), /^C/)
    db.exec('PRAGMA query_only = 1')
    assert.match(run("INSERT INTO u VALUES('read only')"), /^F/)
    db.exec('PRAGMA query_only = 0')
    handle.hurry()
    handle.hurry()
    handle.wait()
    assert.equal(handle.begin(), undefined)
    run('INSERT INTO t(b) VALUES(?)', 'y')
    handle.rollback()
    handle.define(900, 'SELECT count(*) FROM t')
    assert.deepEqual(handle.query(900, []), [[1n]])
    assert.equal(handle.batch('ALTER TABLE t ADD COLUMN c'), undefined)
    assert.deepEqual(handle.query(900, []), [[1n]])
    // The user's transaction is not ours.
    db.exec('BEGIN')
    db.exec("INSERT INTO u VALUES('mine')")
    assert.match(handle.begin(), /^I/)
    db.exec('COMMIT')
    assert.equal(handle.begin(), undefined)
    assert.equal(handle.commit(), undefined)
    assert.deepEqual(run('SELECT x FROM u'), [['mine']])
    db.close()
    assert.equal(handle.isOpen, false)
    assert.throws(() => handleOf('db', db), { code: 'INVALID_ARGUMENT', message: /closed/ })
  })
}

test('better-sqlite3: an open iterator, a lock elsewhere, and the settings of the handle', { skip: BetterSqlite3 === undefined && 'not on this Node' }, async (t) => {
  const file = join(await directory(t), 'a.db')
  const db = new BetterSqlite3(file, { timeout: 1234 })
  db.pragma('journal_mode = WAL')
  db.exec('CREATE TABLE t(a); INSERT INTO t VALUES(1), (2)')
  const { handle } = open(db)
  const rows = db.prepare('SELECT a FROM t').iterate()
  rows.next()
  assert.match(handle.begin(), /^I/)
  rows.return()
  const other = new BetterSqlite3(file)
  other.exec('BEGIN IMMEDIATE')
  const started = performance.now()
  assert.match(handle.begin(), /^B/)
  assert.ok(performance.now() - started < 1000, 'nobody waits for the lock')
  other.exec('ROLLBACK')
  other.close()
  assert.equal(handle.begin(), undefined)
  assert.equal(handle.commit(), undefined)
  assert.equal(db.pragma('busy_timeout', { simple: true }), 1234)
  assert.equal(db.prepare('SELECT a FROM t').get().a, 1)
  db.close()
})

for (const release of ['sql.js', 'sql.js-1.13']) {
  test(`${release}: a save replaces the file as a whole and leaves the handle as it was`, { skip: missing }, async (t) => {
    const SQL = await sqlJs(release)
    const file = join(await directory(t), 'a.db')
    const wrapper = await quietly(async () => (await agentdb()).createDatabase(':memory:'))
    wrapper.db = new SQL.Database()
    wrapper.filename = file
    wrapper.exec('PRAGMA foreign_keys = ON; CREATE TABLE t(a)')
    const { handle, run } = open(wrapper)
    run('INSERT INTO t VALUES(?1)', 9007199254740993n)
    assert.equal(existsSync(file), false)
    wrapper.exec('BEGIN')
    assert.throws(() => handle.save(), /transaction/)
    wrapper.exec('COMMIT')
    handle.save()
    assert.equal(wrapper.db.exec('PRAGMA foreign_keys')[0].values[0][0], 1)
    assert.deepEqual(run('SELECT a FROM t'), [[9007199254740993n]])
    const again = open(await quietly(async () => (await agentdb()).createDatabase(file)))
    assert.deepEqual(again.run('SELECT a FROM t'), [[9007199254740993n]])
  })
}

test('sql.js: a save that waits for the disk elsewhere gives way to the user\'s own, and to a transaction', { skip: missing }, async (t) => {
  const file = join(await directory(t), 'a.db')
  const wrapper = await quietly(async () => (await agentdb()).createDatabase(file))
  const { handle } = open(wrapper)
  const inFile = async () => open(await quietly(async () => (await agentdb()).createDatabase(file))).run('SELECT a FROM t')
  wrapper.exec('CREATE TABLE t(a); INSERT INTO t VALUES(1)')
  assert.equal(await handle.saveAside(), true)
  assert.deepEqual(await inFile(), [[1n]])

  wrapper.exec('UPDATE t SET a = 2')
  const older = handle.saveAside()
  wrapper.exec('UPDATE t SET a = 3')
  wrapper.save()
  assert.equal(await older, false)
  assert.deepEqual(await inFile(), [[3n]])

  // Whoever else has written the file is not written over either.
  const image = handle.saveAside()
  writeFileSync(file, wrapper.db.export())
  assert.equal(await image, false)

  wrapper.exec('UPDATE t SET a = 4')
  const last = handle.saveAside()
  wrapper.close()
  assert.equal(await last, false)
  assert.deepEqual(await inFile(), [[4n]])
  assert.deepEqual(readdirSync(join(file, '..')), ['a.db'])

  const other = open(await quietly(async () => (await agentdb()).createDatabase(file)))
  assert.equal(other.handle.inUse(), null)
  other.handle.batch('BEGIN')
  assert.match(other.handle.inUse(), /transaction/)
  await assert.rejects(other.handle.saveAside(), /transaction/)
  assert.deepEqual(await inFile(), [[4n]])
})

test('what is no handle is refused by name', () => {
  for (const db of [undefined, null, 5, 'x', [], {}, () => {}, { prepare() {}, exec() {} }]) {
    assert.throws(() => handleOf('db', db), { code: 'INVALID_ARGUMENT', message: /^db must be a better-sqlite3/ })
  }
})
