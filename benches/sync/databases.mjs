/** A database with AgentDB's pattern tables, through whichever SQLite this Node has. */
import { driver } from '../../examples/agentdb-sync/database.mjs'

/** Dimensions of AgentDB's default embeddings. */
export const DIMENSIONS = 384

/** Which SQLite it is. */
export const engine = driver()

/** Opens a file as AgentDB's users do: WAL, foreign keys, the two tables of its ReasoningBank. */
export function openPatterns(path) {
  const db = engine.open(path)
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS reasoning_patterns(
      id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER DEFAULT (strftime('%s', 'now')), task_type TEXT NOT NULL, approach TEXT NOT NULL,
      success_rate REAL NOT NULL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, tags TEXT, metadata TEXT);
    CREATE TABLE IF NOT EXISTS pattern_embeddings(
      pattern_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL,
      FOREIGN KEY(pattern_id) REFERENCES reasoning_patterns(id) ON DELETE CASCADE);`)
  const pattern = db.prepare('INSERT INTO reasoning_patterns(task_type, approach, success_rate, tags, metadata) VALUES(?, ?, ?, ?, ?)')
  const embedding = db.prepare('INSERT INTO pattern_embeddings(pattern_id, embedding) VALUES(?, ?)')
  const begin = db.prepare('BEGIN')
  const commit = db.prepare('COMMIT')
  return {
    db,
    /** One pattern with its embedding, committed. */
    insert({ text, rate, metadata, vector }) {
      begin.run()
      const { lastInsertRowid } = pattern.run('bench', text, rate, '["bench"]', metadata)
      embedding.run(lastInsertRowid, vector)
      commit.run()
    },
    /** Several in one transaction, as AgentDB's batch insert. */
    insertMany(rows) {
      begin.run()
      for (const { text, rate, metadata, vector } of rows) {
        const { lastInsertRowid } = pattern.run('bench', text, rate, '["bench"]', metadata)
        embedding.run(lastInsertRowid, vector)
      }
      commit.run()
    },
  }
}

/** A generator of rows that are the same in every run: mulberry32. */
export function rows(seed) {
  let state = seed
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  let count = 0
  return () => {
    const vector = Float32Array.from({ length: DIMENSIONS }, () => next() - 0.5)
    const norm = Math.hypot(...vector)
    for (let i = 0; i < DIMENSIONS; i++) vector[i] /= norm
    count += 1
    return {
      text: `buy the ${Math.floor(next() * 1e6)} dip after a gap of ${next().toFixed(4)} when the trend of the last ${count % 90} bars holds`,
      rate: next(),
      metadata: JSON.stringify({ symbol: 'SPX', n: count }),
      vector: Buffer.from(vector.buffer),
    }
  }
}
