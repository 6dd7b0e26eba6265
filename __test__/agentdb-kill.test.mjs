// SIGKILL: of nodes in the middle of batches that go both ways, of the coordinator, and of a node that is being filled. Every
// process keeps a ledger of what it has committed, so what must be there in the end is known exactly.

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AgentDbSync, CertificateAuthority, Coordinator } from '@neural-trader/midstreamer'
import { database, directory, drivers, eventually, firstDriver, missing } from './support/agentdb.mjs'
import { generator, integer } from './support/random.mjs'
import { start } from './support/swarm/children.mjs'

const LIMIT_MS = 120_000

/** A process with a database: what it has said last, by kind. */
function node(t, options) {
  const heard = {}
  const child = start(t, '../sync/node.mjs', options, (line) => {
    for (const [kind, value] of Object.entries(JSON.parse(line))) {
      heard[kind] = value
      heard[`${kind}s`] = (heard[`${kind}s`] ?? 0) + 1
    }
  })
  let failed
  child.ended.then(({ signal, errors }) => { if (signal !== 'SIGKILL') failed = new Error(`${options.id} has ended: ${errors}`) })
  /** The last of its kind, once there are more than `before`. */
  const said = async (kind, before = 0) => {
    await eventually(() => failed !== undefined || (heard[`${kind}s`] ?? 0) > before, LIMIT_MS)
    if (failed !== undefined) throw failed
    return heard[kind]
  }
  const next = (kind) => said(kind, heard[`${kind}s`])
  return {
    ...child,
    heard,
    said,
    next,
    ask(kind) {
      const answer = next(kind)
      child.say({ [kind]: true })
      return answer
    },
  }
}

/** Of a test: what it waits for is limited first, and then it says for what. */
const LIMIT_OF_ALL_MS = 2 * LIMIT_MS

/** Until all have the same, and that is what their ledgers say. */
async function converged(nodes) {
  await eventually(async () => {
    const states = await Promise.all(nodes.map(({ ask }) => ask('state')))
    const written = states.flatMap(({ ledger }) => ledger).sort()
    const trials = states.reduce((sum, { trials: its }) => sum + its, 0)
    for (const { names, content, bare, uses, rate } of states) {
      assert.equal(bare, 0, 'rows without their embedding')
      assert.deepEqual([...names].sort(), written)
      assert.equal(content, states[0].content)
      assert.deepEqual([uses, rate], [trials, states[0].rate])
    }
    assert.ok(Math.abs(states[0].rate - 1) < 1e-9)
    return true
  }, LIMIT_MS)
  for (const { heard } of nodes) assert.equal(heard.forked, undefined)
}

async function authority(t) {
  const folder = await directory(t)
  const made = await CertificateAuthority.open(join(folder, 'ca'))
  return { folder, issue: (id, role = 'agent') => made.issue({ id, role, hosts: ['127.0.0.1'] }) }
}

for (const driver of new Set([firstDriver, 'sql.js'])) {
  test(`${driver}: nodes that are killed while rows go both ways lose nothing, and count exactly`, { skip: missing, timeout: LIMIT_OF_ALL_MS }, async (t) => {
    const random = generator(driver.length)
    const { folder, issue } = await authority(t)
    const coordinator = await Coordinator.start({ dataDir: join(folder, 'coordinator'), identity: await issue('coordinator', 'coordinator') })
    t.after(() => coordinator.close())
    const of = async (id, its) => ({ id, file: join(folder, `${id}.db`), driver: its, identity: await issue(id), address: coordinator.address })
    const options = [await of('a', driver), await of('b', firstDriver)]
    const nodes = options.map((its) => node(t, its))
    for (const { said, say } of nodes) {
      await said('connected')
      say({ write: true })
    }
    for (const victim of driver === 'sql.js' ? [0, 0] : [0, 1, 0]) {
      // Both have sent something since the last one, and are at it.
      await Promise.all(nodes.map(({ next }) => next('flushed')))
      await sleep(integer(random, 0, 150))
      await nodes[victim].kill()
      nodes[victim] = node(t, options[victim])
      await nodes[victim].said('connected')
      nodes[victim].say({ write: true })
    }
    await Promise.all(nodes.map(({ next }) => next('flushed')))
    for (const { say } of nodes) say({ write: false })
    await converged(nodes)
  })
}

test('a coordinator that is killed is started again on its directory, and everything goes on', { skip: missing, timeout: LIMIT_OF_ALL_MS }, async (t) => {
  const random = generator(3)
  const { folder, issue } = await authority(t)
  const identity = await issue('coordinator', 'coordinator')
  let address
  const coordinate = () => new Promise((resolve) => {
    const options = { listen: address ?? '127.0.0.1:0', dataDir: join(folder, 'coordinator'), identity }
    const child = start(t, 'coordinator.mjs', options, (line) => {
      address = JSON.parse(line).ready
      resolve(child)
    })
  })
  let coordinator = await coordinate()
  const options = await Promise.all(['a', 'b'].map(async (id) => ({ id, file: join(folder, `${id}.db`), driver: firstDriver, identity: await issue(id), address })))
  const nodes = options.map((its) => node(t, its))
  for (const { said, say } of nodes) {
    await said('connected')
    say({ write: true })
  }
  for (let round = 0; round < 2; round++) {
    await Promise.all(nodes.map(({ next }) => next('flushed')))
    await sleep(integer(random, 0, 150))
    await coordinator.kill()
    coordinator = await coordinate()
  }
  await Promise.all(nodes.map(({ next }) => next('flushed')))
  for (const { say } of nodes) say({ write: false })
  await converged(nodes)
  // One that comes now has everything from the coordinator alone.
  for (const { kill } of nodes) await kill()
  const late = node(t, { ...options[0], file: join(folder, 'c.db'), id: 'c', identity: await issue('c') })
  const { state: { names, content } } = nodes[0].heard
  await eventually(async () => {
    const state = await late.ask('state')
    assert.deepEqual([...state.names].sort(), [...names].sort())
    assert.equal(state.content, content)
    return true
  }, LIMIT_MS)
})

test('a first sync that is cut goes on where it was, and no more than a chunk comes twice', { skip: missing, timeout: LIMIT_OF_ALL_MS }, async (t) => {
  const ROWS = 2_000
  const CHUNK_BYTES = 256 * 1024
  const { folder, issue } = await authority(t)
  const db = await database(t, firstDriver, join(folder, 'full.db'))
  const random = generator(5)
  db.exec('BEGIN')
  const [row, vector] = ["INSERT INTO episodes(id, session_id, task, reward, success) VALUES(?, 's', ?, 1, 1)", 'INSERT INTO episode_embeddings(episode_id, embedding) VALUES(?, ?)'].map((sql) => db.prepare(sql))
  for (let id = 1; id <= ROWS; id++) {
    row.run(id, `row ${id}`)
    vector.run(id, Buffer.from(Float32Array.from({ length: 384 }, random).buffer))
  }
  db.exec('COMMIT')
  const sync = await AgentDbSync.open({ db })
  t.after(() => sync.close())
  const address = await sync.listen({ identity: await issue('full', 'peer') })
  const of = async (id) => ({ id, file: join(folder, `${id}.db`), driver: firstDriver, identity: await issue(id, 'peer'), address, direct: true })
  const has = async (its, rows) => eventually(async () => (await its.ask('count')) >= rows, LIMIT_MS)

  const whole = node(t, await of('whole'))
  await has(whole, ROWS)
  const { bytesIn: all } = await whole.ask('status')
  assert.ok(all > ROWS * 384 * 2, `${all} bytes`)

  let again, before
  for (let attempt = 1; ; attempt++) {
    const options = await of(`cut-${attempt}`)
    const cut = node(t, options)
    await has(cut, ROWS / 4)
    await cut.kill()
    again = node(t, options)
    before = (await again.said('opened')).names.length
    if (before > 0 && before < ROWS) break
    // Before sql.js had saved anything, or after the last row on a busy machine: that was no cut.
    assert.ok(attempt < 10, `${before} rows were there when it was cut`)
    await again.kill()
  }
  await has(again, ROWS)
  const { bytesIn: rest } = await again.ask('status')
  const most = all * (ROWS - before) / ROWS + CHUNK_BYTES
  assert.ok(rest <= most, `${rest} bytes for ${ROWS - before} rows, at most ${most}`)
  t.diagnostic(`cut at ${before} of ${ROWS} rows: ${all} bytes at once, ${rest} afterwards`)
  const [one, other] = await Promise.all([again, whole].map(({ ask }) => ask('state')))
  assert.deepEqual([one.bare, one.content], [0, other.content])
})
