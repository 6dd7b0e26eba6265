// Distilled patterns in AgentDB's ReasoningBank: found by its own search, and breaking nothing of it.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { PatternLearner, PatternLibrary } from '../index.mjs'
import { BetterSqlite3 } from './support/agentdb.mjs'

// By file: the package's entry wants an addon that this package is installed without.
const folder = new URL('../scripts/agentdb/node_modules/agentdb/dist/', import.meta.url)
const { createDatabase } = await import(new URL('db-fallback.js', folder).href)
const { ReasoningBank } = await import(new URL('controllers/ReasoningBank.js', folder).href)

/** AgentDB says on the console which database it has taken. */
async function quietly(work) {
  const { log } = console
  console.log = () => {}
  try {
    return await work()
  } finally {
    console.log = log
  }
}

/** As AgentDB's own, without a model: 384 numbers that depend on the text. */
const embedder = { embed: async (text) => Float32Array.from({ length: 384 }, (_, i) => Math.sin(text.charCodeAt(i % text.length) * (i + 1))) }

/** Not by getPatternStats(), whose timer would keep this process for five minutes. */
const count = (db) => db.prepare('SELECT COUNT(*) AS n FROM reasoning_patterns').get().n

async function taught() {
  const library = new PatternLibrary({ length: 8 })
  const learner = await PatternLearner.open({ library })
  for (let n = 0; n < 200; n++) {
    const values = Float64Array.from({ length: 8 }, (_, k) => k + Math.sin(n * k))
    const id = await learner.record({ patternType: 'rise', values, similarity: 0.9, confidence: 0.8, predicted: 0.01, context: { symbol: 'SPX', timeframe: '1d' }, at: n * 10 })
    await learner.resolve(id, n % 10 ? 0.01 : -0.005, n * 10 + 5)
  }
  return learner
}

test('AgentDB finds what was exported, also beside its own patterns', async () => {
  const learner = await taught()
  const patterns = await learner.distill()
  assert.ok(patterns.length > 0)
  assert.ok(patterns.every(({ samples, winRate, meanReturn, lowerBound }) => samples >= 20 && winRate > 0.8 && meanReturn > lowerBound && lowerBound >= 0))
  const db = await quietly(() => createDatabase(':memory:'))
  await assert.rejects(learner.exportTo(db), { code: 'SCHEMA', message: /no table reasoning_patterns/ })
  const bank = new ReasoningBank(db, embedder)
  assert.equal(await learner.exportTo(db), patterns.length)
  const numeric = await bank.searchPatterns({ taskEmbedding: Float32Array.from(patterns[0].values) })
  assert.equal(numeric[0].metadata.midstreamer.id, patterns[0].id)
  assert.ok(numeric[0].similarity > 0.999999)
  assert.deepEqual([numeric[0].taskType, numeric[0].uses, numeric[0].successRate], ['rise', patterns[0].samples, patterns[0].winRate])
  // With patterns of text there is one dimension for all, or AgentDB's search throws.
  db.exec('DELETE FROM reasoning_patterns')
  db.exec('DELETE FROM pattern_embeddings')
  await bank.storePattern({ taskType: 'code_review', approach: 'read it', successRate: 0.5 })
  for (let again = 0; again < 2; again++) assert.equal(await learner.exportTo(db), patterns.length)
  assert.equal(count(db), patterns.length + 1)
  const texts = await bank.searchPatterns({ taskEmbedding: await embedder.embed('code_review: read it') })
  assert.equal(texts[0].taskType, 'code_review')
  const filled = new Float32Array(384)
  filled.set(patterns[0].values)
  const found = await bank.searchPatterns({ taskEmbedding: filled, filters: { taskType: 'rise', tags: ['SPX'] } })
  assert.equal(found[0].metadata.midstreamer.id, patterns[0].id)
  assert.ok(found[0].similarity > 0.999999)
  db.exec('CREATE TABLE other (x)')
  db.exec('DROP TABLE pattern_embeddings')
  db.exec('CREATE TABLE pattern_embeddings (id TEXT, model TEXT, dims INTEGER, vector BLOB)')
  await assert.rejects(learner.exportTo(db), { code: 'SCHEMA', message: /pattern_id, embedding/ })
  await learner.close()
})

test('rows of a family that has lost its proof go, those of other learners stay', async () => {
  const learner = await taught()
  const db = await quietly(() => createDatabase(':memory:'))
  new ReasoningBank(db, embedder)
  const written = await learner.exportTo(db)
  assert.ok(written > 0)
  const foreign = JSON.stringify({ midstreamer: { id: 'x', patternType: 'of another learner' } })
  db.prepare('INSERT INTO reasoning_patterns (task_type, approach, success_rate, metadata) VALUES (?, ?, ?, ?)').run('other', 'its own', 0.5, foreign)
  // From here on it loses.
  for (let n = 200; n < 1400; n++) {
    const values = Float64Array.from({ length: 8 }, (_, k) => k + Math.sin(n * k))
    const id = await learner.record({ patternType: 'rise', values, similarity: 0.9, confidence: 0.8, predicted: 0.01, context: { symbol: 'SPX', timeframe: '1d' }, at: n * 10 })
    await learner.resolve(id, -0.01, n * 10 + 5)
  }
  assert.deepEqual(await learner.distill(), [])
  assert.equal(await learner.exportTo(db), 0)
  assert.equal(count(db), 1)
  await learner.close()
})

test("node:sqlite's handle does as well", async (t) => {
  const { DatabaseSync } = await import('node:sqlite').catch(() => ({}))
  if (DatabaseSync === undefined) return t.skip('this Node has no node:sqlite')
  const learner = await taught()
  const db = new DatabaseSync(':memory:')
  new ReasoningBank(db, embedder)
  const written = await learner.exportTo(db)
  assert.equal(await learner.exportTo(db), written)
  assert.equal(count(db), written)
  db.exec('BEGIN')
  await assert.rejects(learner.exportTo(db), { code: 'STORE', message: /transaction/ })
  db.exec('ROLLBACK')
  await learner.close()
})

test('what one learner has exported, another one finds', async (t) => {
  const { DatabaseSync } = await import('node:sqlite').catch(() => ({}))
  const learner = await taught()
  const patterns = await learner.distill()
  const open = { 'sql.js': () => quietly(() => createDatabase(':memory:')), 'better-sqlite3': BetterSqlite3 && (() => new BetterSqlite3(':memory:')), 'node:sqlite': DatabaseSync && (() => new DatabaseSync(':memory:')) }
  for (const [name, opened] of Object.entries(open)) {
    if (opened === undefined) {
      t.diagnostic(`this Node has no ${name}`)
      continue
    }
    const db = await opened()
    const library = new PatternLibrary({ length: 8 })
    const other = await PatternLearner.open({ library })
    await assert.rejects(other.importFrom(db), { code: 'SCHEMA' })
    const bank = new ReasoningBank(db, embedder)
    assert.equal(await other.importFrom(db), 0)
    // A row of text makes the bank's dimension 384; what it says is no shape.
    await bank.storePattern({ taskType: 'code_review', approach: 'read it', successRate: 0.5 })
    await learner.exportTo(db)
    bank.updatePatternStats(db.prepare("SELECT id FROM reasoning_patterns WHERE task_type = 'rise'").get().id, true, 1)
    for (let again = 0; again < 2; again++) assert.equal(await other.importFrom(db), patterns.length, name)
    assert.equal(library.size, patterns.length)
    for (const { id, values, meanOutcome, knownAt, patternType } of patterns) {
      const { values: found, meta } = library.get(id)
      assert.deepEqual([...found], [...values].map(Math.fround))
      assert.deepEqual([meta.patternType, meta.outcome, meta.outcomeAt, meta.endsAt], [patternType, meanOutcome, knownAt, knownAt])
    }
    // Never before it could be known.
    const [{ values, knownAt }] = patterns
    const ask = (at) => other.match(values, { symbol: 'SPX', timeframe: '1d', at })
    assert.equal((await ask(knownAt - 1)).matches.length, 0)
    assert.ok((await ask(knownAt)).predicted > 0)
    await other.close()
    db.close()
  }
  await learner.close()
})
