/** One node of agentdb-sync.mjs: a process with an AgentDB database of its own, which does what it is told. */
import { Agent, AgentDbSync } from '@neural-trader/midstreamer'
import { agentDb, driver } from './database.mjs'

const { ReasoningBank, EmbeddingService } = await agentDb()
console.log = () => {} // AgentDB talks a lot
const [id, path] = process.argv.slice(2)

const db = driver().open(path)
db.exec('PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON')
const embedder = new EmbeddingService({ provider: 'mock', model: 'mock', dimension: 384 })
await embedder.initialize()
const bank = new ReasoningBank(db, embedder) // makes its tables

let agent, sync
const commands = {
  async connect(address, identity) {
    agent = await Agent.connect({ address, identity, type: 'reasoning-bank' })
    sync = await AgentDbSync.open({ db, database: 'desk-7' })
    await sync.attach(agent)
  },
  async store(count, scope) {
    for (let i = 0; i < count; i++) {
      await bank.storePattern({ taskType: 'reversal', approach: `${id}: fade gap number ${i} after three red bars`, successRate: 0, tags: ['gap'] })
    }
    const { rows, elapsedMs } = await sync.flush({ scope })
    return { rows, elapsedMs }
  },
  /** Resolves when the database has so many patterns. */
  async until(count) {
    const begun = Date.now()
    while (commands.count() !== count) {
      if (Date.now() - begun > 30_000) throw new Error(`${commands.count()} patterns instead of ${count}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  },
  count: () => Number(db.prepare('SELECT count(*) AS n FROM reasoning_patterns r JOIN pattern_embeddings e ON e.pattern_id = r.id').get().n),
  async search(text) {
    const found = await bank.searchPatterns({ task: text, taskEmbedding: await embedder.embed(`reversal: ${text}`), k: 1 })
    return found.map(({ approach, uses, successRate }) => ({ approach, uses, successRate }))
  },
  /** Ten trials of one pattern, known by its text: ids are each database's own. */
  async trials(approach, wins) {
    const { id: local } = db.prepare('SELECT id FROM reasoning_patterns WHERE approach = ?').get(approach)
    for (let i = 0; i < 10; i++) bank.updatePatternStats(Number(local), i < wins, i < wins ? 1 : 0)
    await sync.flush({ scope: 'members' })
  },
  stats(approach) {
    const { uses, success_rate: rate } = db.prepare('SELECT uses, success_rate FROM reasoning_patterns WHERE approach = ?').get(approach)
    return { uses: Number(uses), successRate: rate }
  },
  async remove(approach) {
    db.prepare('DELETE FROM reasoning_patterns WHERE approach = ?').run(approach)
    await sync.flush({ scope: 'relay' })
  },
  async close() {
    await sync.close()
    await agent.close()
    db.close()
    setImmediate(() => process.disconnect())
  },
}

process.on('message', async ({ name, args }) => {
  try {
    process.send({ answer: await commands[name](...args) })
  } catch (error) {
    process.send({ error: `${id}: ${error.stack ?? error}` })
  }
})
process.send({ answer: 'ready' })
