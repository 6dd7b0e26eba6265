// AgentDB 3.0 alpha: its own classes on both sides, and its own sql.js database, which keeps watch over its file.

import test from 'node:test'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { AgentDbSync, CertificateAuthority } from '@neural-trader/midstreamer'
import { agentdb, directory, drivers, embedder, eventually, firstDriver, missing, quietly, schema } from './support/agentdb.mjs'

// Else its createDatabase() takes the better-sqlite3 beside it, which another Node may have compiled.
process.env.AGENTDB_FORCE_SQLJS = '1'

/** It asks for passages and questions apart. */
const its = { embed: embedder.embed, embedPassage: embedder.embed, embedQuery: embedder.embed }

const openers = {
  'its own sql.js': async (file) => {
    const error = console.error
    console.error = () => {}
    try {
      const { createDatabase } = await agentdb(3)
      return await quietly(() => createDatabase(file))
    } finally {
      console.error = error
    }
  },
}
if (firstDriver !== 'sql.js') openers[firstDriver] = drivers[firstDriver]

for (const [name, opener] of Object.entries(openers)) {
  test(`${name}: patterns, episodes, skills and causes of one node are found by AgentDB 3 on the other`, { skip: missing, timeout: 180_000 }, async (t) => {
    const folder = await directory(t)
    const authority = await CertificateAuthority.open(join(folder, 'ca'))
    const { ReasoningBank, ReflexionMemory, SkillLibrary, CausalMemoryGraph } = await quietly(() => agentdb(3))
    const open = async (id) => {
      const db = await opener(join(folder, `${id}.db`))
      for (const sql of schema(3)) db.exec(sql)
      const bank = new ReasoningBank(db, its)
      const sync = await AgentDbSync.open({ db })
      t.after(async () => {
        await sync.close()
        db.close()
      })
      return { db, sync, bank, identity: await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] }) }
    }
    const [a, b] = [await open('a'), await open('b')]
    await b.sync.connect({ address: await a.sync.listen({ identity: a.identity }), identity: b.identity })
    const count = ({ db }, table) => Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get().n)

    // The numbers of the rows are other ones on b.
    await b.bank.storePattern({ taskType: 'other', approach: 'to number rows', successRate: 1 })
    const id = await a.bank.storePattern({ taskType: 'breakout', approach: 'wait for the second close', successRate: 0.5, tags: ['x'], metadata: { a: [1] } })
    await eventually(() => count(b, 'pattern_embeddings') === 2 && count(a, 'reasoning_patterns') === 2)
    const [found] = await b.bank.searchPatterns({ taskEmbedding: await embedder.embed('breakout: wait for the second close'), k: 1 })
    assert.deepEqual([found.approach, found.tags, found.metadata], ['wait for the second close', ['x'], { a: [1] }])
    for (let i = 0; i < 10; i++) {
      a.bank.updatePatternStats(id, true, 1)
      b.bank.updatePatternStats(found.id, false, 0)
    }
    await eventually(() => a.bank.getPattern(id).uses === 20 && b.bank.getPattern(found.id).uses === 20)
    assert.equal(a.bank.getPattern(id).successRate, b.bank.getPattern(found.id).successRate)

    const memory = ({ db }) => new ReflexionMemory(db, its)
    const episode = { sessionId: 's', task: 'roll the future', input: 'i', output: 'o', critique: 'a day early', reward: 0.25, success: false, latencyMs: 5, tokensUsed: 3, tags: ['y'], metadata: { m: 1 } }
    const cause = await quietly(() => memory(a).storeEpisode(episode))
    const effect = await quietly(() => memory(a).storeEpisode({ ...episode, task: 'close the book', reward: 1, success: true }))
    await eventually(() => count(b, 'episode_embeddings') === 2)
    const [retrieved] = await quietly(() => memory(b).retrieveRelevant({ task: 'roll the future', k: 5, onlyFailures: true }))
    assert.deepEqual([retrieved.task, retrieved.critique, retrieved.tags], ['roll the future', 'a day early', ['y']])

    const library = ({ db }) => new SkillLibrary(db, its)
    const skill = { name: 'roll', description: 'the future', signature: { inputs: {}, outputs: {} }, code: 'return 1', successRate: 1, uses: 0, avgReward: 0, avgLatencyMs: 0 }
    const rolled = await library(a).createSkill(skill)
    // What was counted comes right after its row, and the search leaves out what has no success yet.
    const [its3] = await eventually(async () => {
      const skills = await library(b).searchSkills({ task: 'roll the future', k: 1 })
      return skills.length === 1 && skills
    })
    assert.deepEqual([its3.name, its3.code], ['roll', 'return 1'])
    library(a).updateSkillStats(Number(rolled), true, 1, 10)
    library(b).updateSkillStats(Number(its3.id), true, 1, 10)
    await eventually(() => [a, b].every(({ db }) => Number(db.prepare('SELECT uses FROM skills').get().uses) === 2))

    await new CausalMemoryGraph(a.db).addCausalEdge({
      fromMemoryId: Number(cause), fromMemoryType: 'episode', toMemoryId: Number(effect), toMemoryType: 'episode', similarity: 0.5, uplift: 0.25, confidence: 0.75, sampleSize: 10, mechanism: 'it was early',
    })
    await eventually(() => count(b, 'causal_edges') === 1)
    const ends = ({ db }) => db.prepare("SELECT f.task AS source, e.task AS target, mechanism FROM causal_edges c JOIN episodes f ON f.id = c.from_memory_id JOIN episodes e ON e.id = c.to_memory_id").get()
    assert.deepEqual({ ...ends(b) }, { source: 'roll the future', target: 'close the book', mechanism: 'it was early' })
    assert.deepEqual([a.sync.status().parkedTables, b.sync.status().parkedTables, b.sync.status().pending], [[], [], 0])
    await a.sync.flush()
  })
}
