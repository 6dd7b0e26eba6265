// AgentDB's own classes on both sides: what one node stores by them, the other finds by them.

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { agentdb, database, directory, drivers, embedder, eventually, missing } from './support/agentdb.mjs'

/** SkillLibrary of AgentDB 1.6.1 binds `undefined`, which sql.js does not take. */
const able = Object.keys(drivers).filter((name) => name !== 'sql.js')

async function pair(t, driver) {
  const folder = await directory(t)
  const authority = await CertificateAuthority.open(join(folder, 'ca'))
  const open = async (id) => {
    const db = await database(t, driver, join(folder, `${id}.db`))
    db.exec('PRAGMA foreign_keys = ON')
    const sync = await AgentDbSync.open({ db })
    t.after(() => sync.close())
    return { db, sync, identity: await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] }) }
  }
  const [a, b] = [await open('a'), await open('b')]
  await b.sync.connect({ address: await a.sync.listen({ identity: a.identity }), identity: b.identity })
  return { a, b }
}

const one = (db, sql, ...values) => db.prepare(sql).get(...values)
const count = (db, table) => Number(one(db, `SELECT count(*) AS n FROM ${table}`).n)
const skill = (name, over = {}) => ({ name, description: `how to ${name}`, signature: { inputs: { series: 'number[]' }, outputs: {} }, successRate: 0.9, uses: 0, avgReward: 0, avgLatencyMs: 0, ...over })

for (const driver of able) {
  test(`${driver}: SkillLibrary finds on one node what it created on the other; links and trials of both are there`, { skip: missing, timeout: 120_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    const { SkillLibrary } = await agentdb()
    const [ofA, ofB] = [new SkillLibrary(a.db, embedder), new SkillLibrary(b.db, embedder)]
    // The numbers of the rows are other ones on b.
    await ofB.createSkill(skill('only to number rows', { successRate: 0 }))
    const entry = await ofA.createSkill(skill('time an entry', { code: 'return 1', metadata: { venue: 'x' } }))
    const trend = await ofA.createSkill(skill('read a trend'))
    ofA.linkSkills({ parentSkillId: entry, childSkillId: trend, relationship: 'prerequisite', weight: 0.75, metadata: { why: 'first' } })
    // What was counted comes right after its row, and the search leaves out what has no success yet.
    const known = 'skills WHERE success_rate > 0.8'
    await eventually(() => count(b.db, 'skill_links') === 1 && count(b.db, known) === 2 && count(b.db, 'skill_embeddings') === 3 && count(a.db, 'skills') === 3)
    const wanted = { task: 'time an entry\nhow to time an entry', k: 5 }
    const [mine] = (await ofA.searchSkills(wanted)).filter(({ name }) => name === 'time an entry')
    const [theirs] = (await ofB.searchSkills(wanted)).filter(({ name }) => name === 'time an entry')
    assert.deepEqual({ ...theirs, id: 0 }, { ...mine, id: 0 })
    assert.deepEqual([theirs.code, theirs.metadata], ['return 1', { venue: 'x' }])
    assert.notEqual(Number(theirs.id), Number(entry))
    const plan = ofB.getSkillPlan(theirs.id)
    assert.deepEqual(plan.prerequisites.map(({ name }) => name), ['read a trend'])
    // A link that is made again changes its weight, everywhere.
    ofB.linkSkills({ parentSkillId: theirs.id, childSkillId: plan.prerequisites[0].id, relationship: 'prerequisite', weight: 0.25 })
    await eventually(() => one(a.db, 'SELECT weight FROM skill_links').weight === 0.25)

    // Ten trials on each, at the same time: twenty, and the means are those of the twenty.
    for (let i = 0; i < 10; i++) {
      ofA.updateSkillStats(entry, true, 1, 100)
      ofB.updateSkillStats(theirs.id, i < 5, 0.5, 300)
    }
    const stats = (db) => one(db, "SELECT uses, success_rate, avg_reward, avg_latency_ms FROM skills WHERE name = 'time an entry'")
    for (const { db } of [a, b]) {
      await eventually(() => { assert.equal(Number(stats(db).uses), 20); return true })
      const { success_rate: rate, avg_reward: reward, avg_latency_ms: latency } = stats(db)
      for (const [value, expected] of [[rate, 15 / 20], [reward, 15 / 20], [latency, 200]]) assert.ok(Math.abs(value - expected) < 1e-9, `${value} instead of ${expected}`)
    }
    assert.deepEqual({ ...stats(a.db) }, { ...stats(b.db) })
  })

  test(`${driver}: ReflexionMemory retrieves episodes and critiques of the other node, and skills come of the episodes of both`, { skip: missing, timeout: 120_000 }, async (t) => {
    const { a, b } = await pair(t, driver)
    const { ReflexionMemory, SkillLibrary } = await agentdb()
    const [ofA, ofB] = [new ReflexionMemory(a.db, embedder), new ReflexionMemory(b.db, embedder)]
    const episode = (session, reward, success, critique) => ({
      sessionId: session, task: 'hedge the book', input: 'delta 0.4', output: 'sold futures against the basket', critique, reward, success, latencyMs: 40, tokensUsed: 7, tags: ['hedge'], metadata: { session },
    })
    for (let i = 0; i < 3; i++) {
      await ofA.storeEpisode(episode('a', 0.9, true))
      await ofB.storeEpisode(episode('b', 0.8, true))
    }
    await ofA.storeEpisode(episode('a', 0.1, false, 'too late'))
    for (const { db } of [a, b]) await eventually(() => count(db, 'episodes') === 7 && count(db, 'episode_embeddings') === 7)
    for (const memory of [ofA, ofB]) {
      assert.deepEqual((await memory.retrieveRelevant({ task: 'hedge the book', k: 10 })).map(({ sessionId }) => sessionId).sort(), ['a', 'a', 'a', 'a', 'b', 'b', 'b'])
      const stats = memory.getTaskStats('hedge the book')
      assert.equal(stats.totalAttempts, 7)
      assert.ok(Math.abs(stats.successRate - 6 / 7) < 1e-12 && Math.abs(stats.avgReward - 5.2 / 7) < 1e-9, JSON.stringify(stats))
    }
    const [failure] = await ofB.retrieveRelevant({ task: 'hedge the book', k: 1, onlyFailures: true })
    assert.deepEqual([failure.critique, failure.success, failure.tags, failure.metadata, failure.embedding.length], ['too late', false, ['hedge'], { session: 'a' }, 384])
    assert.match(await ofB.getCritiqueSummary({ task: 'hedge the book' }), /too late \(reward: 0\.10\)/)
    assert.match(await ofB.getSuccessStrategies({ task: 'hedge the book' }), /sold futures/)

    // A later critique, and what hangs on an episode goes with it.
    b.db.prepare("UPDATE episodes SET critique = 'too late by a day' WHERE critique = 'too late'").run()
    await eventually(() => count(a.db, "episodes WHERE critique = 'too late by a day'") === 1)
    const { created } = await new SkillLibrary(b.db, embedder).consolidateEpisodesIntoSkills({ minAttempts: 6, minReward: 0.7 })
    assert.equal(created, 1)
    const [skillOnA] = await eventually(async () => {
      const found = await new SkillLibrary(a.db, embedder).searchSkills({ task: 'hedge the book', k: 1 })
      return found.length === 1 && found
    })
    assert.deepEqual([skillOnA.name, Number(skillOnA.uses)], ['hedge the book', 6])
    a.db.prepare('DELETE FROM episodes WHERE reward < 0.5').run()
    await eventually(() => count(b.db, 'episodes') === 6 && count(b.db, 'episode_embeddings') === 6)
  })
}
