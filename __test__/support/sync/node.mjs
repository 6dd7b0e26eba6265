// A node with an AgentDB database in a process of its own, to be killed. argv: { id, file, driver, identity, address, direct },
// as JSON. `address` is a coordinator's, or with `direct` that of a node that listens.
//
// Lines in: { write: true | false } writes rows and trials until it is stopped, { state: true } asks what is in the database,
// { count: true } for its rows, { status: true } for the status. Lines out: { opened: state }, { connected: true },
// { flushed: rows }, { state }, { count }, { status }, { forked }, { warning }. Writes to a pipe are synchronous: what was said before a SIGKILL was said.
//
// What it writes is entered in `test_ledger` in the same transaction. That table is not replicated: so it is known exactly
// what every node has committed, however it ended.

import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { Agent, AgentDbSync } from '@neural-trader/midstreamer'
import { drivers, schema } from '../agentdb.mjs'

const BATCH = 8
const DIMENSIONS = 96

const { id, file, driver, identity, address, direct = false, flushMs = 10 } = JSON.parse(process.argv[2])
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
process.on('warning', ({ name, message }) => { if (name === 'MidstreamerWarning') say({ warning: message }) })

const db = await drivers[driver](file)
const all = (sql, ...values) => db.prepare(sql).all(...values)
if (all("SELECT 1 FROM sqlite_master WHERE name = 'test_ledger'").length === 0) {
  for (const sql of schema()) db.exec(sql)
  db.exec('CREATE TABLE test_ledger(name TEXT PRIMARY KEY, trials INTEGER)')
  db.exec("INSERT INTO test_ledger VALUES('', 0)")
  db.exec("INSERT INTO skills(name, description, signature) VALUES('shared', 'd', '{}')")
}

/** Names of the rows with their embeddings, and the ledger. */
function state() {
  const rows = all('SELECT e.id, task, embedding FROM episodes e LEFT JOIN episode_embeddings v ON v.episode_id = e.id ORDER BY task')
  const hash = createHash('sha256')
  let bare = 0
  for (const { task, embedding } of rows) {
    if (embedding === null || embedding.length < 4 * DIMENSIONS) bare += 1
    else hash.update(task).update(embedding)
  }
  const [{ uses, success_rate: rate }] = all("SELECT uses, success_rate FROM skills WHERE name = 'shared'")
  const ledger = all("SELECT name FROM test_ledger WHERE name <> '' ORDER BY name").map(({ name }) => name)
  const [{ trials }] = all("SELECT trials FROM test_ledger WHERE name = ''")
  return { names: rows.map(({ task }) => task), content: hash.digest('hex'), bare, uses: Number(uses), rate, ledger, trials: Number(trials) }
}

let last = Number(all('SELECT count(*) AS n FROM test_ledger')[0].n)
const life = `${id} ${process.pid}`

/** One transaction: some rows with their embeddings, a trial, and now and then one of the rows before is deleted. */
function write() {
  db.exec('BEGIN IMMEDIATE')
  for (let i = 0; i < BATCH; i++) {
    const name = `${life} ${last += 1}`
    db.prepare("INSERT INTO episodes(session_id, task, reward, success) VALUES('s', ?, 1, 1)").run(name)
    const [{ id: row }] = all('SELECT last_insert_rowid() AS id')
    const embedding = Buffer.from(Float32Array.from({ length: DIMENSIONS }, Math.random).buffer)
    db.prepare('INSERT INTO episode_embeddings(episode_id, embedding) VALUES(?, ?)').run(row, embedding)
    db.prepare('INSERT INTO test_ledger(name) VALUES(?)').run(name)
  }
  const [old] = all("SELECT name FROM test_ledger WHERE name LIKE ? ORDER BY random() LIMIT 1", `${life} %`)
  db.prepare('DELETE FROM episodes WHERE task = ?').run(old.name)
  db.prepare('DELETE FROM test_ledger WHERE name = ?').run(old.name)
  db.exec("UPDATE skills SET success_rate = (success_rate * uses + 1) / (uses + 1), uses = uses + 1 WHERE name = 'shared'")
  db.exec("UPDATE test_ledger SET trials = trials + 1 WHERE name = ''")
  db.exec('COMMIT')
}

say({ opened: state() })
const sync = await AgentDbSync.open({ db, flushMs })
sync.on('forked', (forked) => say({ forked }))
let writing = false

async function writeOn() {
  while (writing) {
    for (let i = 0; i < 4 && writing; i++) {
      write()
      await turn()
    }
    try {
      const { rows } = await sync.flush({ timeoutMs: 60_000 })
      say({ flushed: rows })
    } catch (error) {
      // The coordinator is away.
      if (error.code !== 'CONNECTION') throw error
      await sleep(50)
    }
  }
}

const commands = {
  async write(on) {
    writing = on
    if (on) await writeOn()
  },
  state: () => say({ state: state() }),
  count: () => say({ count: Number(all('SELECT count(*) AS n FROM episode_embeddings')[0].n) }),
  status: () => say({ status: sync.status() }),
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line))) commands[name](value)
  })
  // Whoever started it is gone.
  .on('close', () => process.exit(0))

if (direct) {
  await sync.connect({ address, identity, connectTimeoutMs: 60_000 })
} else {
  await sync.attach(await Agent.connect({ address, identity, connectTimeoutMs: 60_000 }))
}
say({ connected: true })
