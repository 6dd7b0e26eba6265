// Why only the user's own handle touches the file: two copies of SQLite in one process lose each other's locks, and with them
// rows that were committed. First the loss itself, then that replication does nothing of the kind.

import test from 'node:test'
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, readFileSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { BetterSqlite3, DatabaseSync, compiledBetterSqlite3, database, directory, drivers, eventually, missing } from './support/agentdb.mjs'
import { start } from './support/swarm/children.mjs'

const COMMITS = 50

/** What opens a file with a second copy of SQLite in this process; undefined where there is none. */
async function secondSqlite(t) {
  if (BetterSqlite3 === undefined) return undefined
  if (DatabaseSync !== undefined) return (file) => new DatabaseSync(file)
  if (!existsSync(compiledBetterSqlite3)) return undefined
  // The same driver loaded from another path: the system takes it for another library, with locks of its own.
  const copy = join(await directory(t), 'better_sqlite3.node')
  copyFileSync(compiledBetterSqlite3, copy)
  return (file) => new BetterSqlite3(file, { nativeBinding: copy })
}

/** A process with the file open, as anybody's second process may have. */
async function process2(t, file) {
  let heard = 0
  const child = start(t, '../sync/writer.mjs', { file, driver: 'better-sqlite3' }, () => { heard += 1 })
  return async (sql) => {
    const before = heard
    child.say({ sql })
    await eventually(() => heard > before)
  }
}

const add = (db, subject) => db.prepare("INSERT INTO facts(subject, predicate, object) VALUES(?, 'p', 'o')").run(subject)
const subjects = (db) => db.prepare('SELECT subject FROM facts').all().map(({ subject }) => subject)
const known = BetterSqlite3 === undefined ? 'no better-sqlite3 on this Node' : process.platform !== 'linux' && 'the locks of POSIX, as Linux has them'

test('two copies of SQLite in one process hold one write lock at the same time, and committed rows are lost', { skip: missing || known, timeout: 60_000 }, async (t) => {
  const open = await secondSqlite(t)
  if (open === undefined) return t.skip('no second SQLite on this Node')
  const file = join(await directory(t), 'a.db')
  const first = await database(t, 'better-sqlite3', file)
  const second = open(file)
  const acknowledged = []
  for (let i = 0; i < COMMITS; i++) {
    first.exec('BEGIN IMMEDIATE')
    add(first, `first ${i}`)
    // With one copy, or in another process, this is SQLITE_BUSY.
    second.exec('BEGIN IMMEDIATE')
    add(second, `second ${i}`)
    second.exec('COMMIT')
    first.exec('COMMIT')
    acknowledged.push(`first ${i}`, `second ${i}`)
  }
  second.close()
  first.close()
  const there = new Set(subjects(new BetterSqlite3(file, { readonly: true })))
  const lost = acknowledged.filter((subject) => !there.has(subject))
  assert.ok(lost.length > 0, 'two copies of SQLite lost nothing: the hazard that replication is built around is gone')
  t.diagnostic(`${lost.length} of ${acknowledged.length} committed rows are lost`)
})

test('replication opens the file with no SQLite of its own, and rows of two processes and a peer all stay', { skip: missing || known, timeout: 120_000 }, async (t) => {
  const folder = realpathSync(await directory(t))
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const identity = (id) => authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] })
  const file = join(folder, 'a.db')
  const db = await database(t, 'better-sqlite3', file)
  const peer = await database(t, 'better-sqlite3', join(folder, 'b.db'))
  const open = () => readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return [file, `${file}-wal`, `${file}-shm`].includes(readlinkSync(`/proc/self/fd/${descriptor}`))
    } catch (error) {
      // The one that reads the folder is gone when it is looked at.
      if (error.code === 'ENOENT') return false
      throw error
    }
  }).length
  const before = open()
  assert.ok(before > 0)
  const here = await AgentDbSync.open({ db })
  t.after(() => here.close())
  const there = await AgentDbSync.open({ db: peer })
  t.after(() => there.close())
  await there.connect({ address: await here.listen({ identity: await identity('a') }), identity: await identity('b') })
  const other = await process2(t, file)
  for (let i = 0; i < COMMITS; i++) {
    const told = other(`INSERT INTO facts(subject, predicate, object) VALUES('process ${i}', 'p', 'o')`)
    add(db, `here ${i}`)
    add(peer, `peer ${i}`)
    await told
    assert.equal(open(), before, 'somebody else has opened the file')
  }
  const all = ['process', 'here', 'peer'].flatMap((who) => Array.from({ length: COMMITS }, (_, i) => `${who} ${i}`)).sort()
  await eventually(() => {
    assert.deepEqual(subjects(db).sort(), all)
    assert.deepEqual(subjects(peer).sort(), all)
    return true
  })
  assert.equal(db.pragma('integrity_check', { simple: true }), 'ok')
})

test('there is no SQLite in the addon', { skip: process.platform !== 'linux' && 'the name of the addon is another one' }, () => {
  const root = createRequire(import.meta.url).resolve('@neural-trader/midstreamer/package.json')
  const addons = readdirSync(join(root, '..')).filter((name) => name.endsWith('.node'))
  assert.ok(addons.length > 0)
  // In the header of every database file, and so in every library that reads one.
  for (const addon of addons) assert.ok(!readFileSync(join(root, '..', addon)).includes('SQLite format 3\0'), addon)
})
