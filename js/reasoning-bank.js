'use strict'
// Distilled patterns in AgentDB's ReasoningBank: rows of `reasoning_patterns` and `pattern_embeddings`, through the user's
// handle, recognised by their columns because other programs have tables of these names.

const { failure, invalid, show, MidstreamerError } = require('./errors.js')

const TABLES = [
  ['reasoning_patterns', ['id', 'task_type', 'approach', 'success_rate', 'uses', 'avg_reward', 'tags', 'metadata']],
  ['pattern_embeddings', ['pattern_id', 'embedding']],
]

/** Ours have this key in their metadata. */
const MARK = 'midstreamer'

function checkHandle(db) {
  if (db !== null && typeof db === 'object' && typeof db.prepare === 'function' && typeof db.exec === 'function') return
  throw invalid(`db must be an open database with prepare() and exec() (better-sqlite3, node:sqlite, or AgentDB's own), got ${show(db)}`)
}

function checkTables(db) {
  for (const [table, wanted] of TABLES) {
    const columns = new Set(db.prepare(`PRAGMA table_info(${table})`).all().map(({ name }) => name))
    const missing = wanted.filter((column) => !columns.has(column))
    if (missing.length === wanted.length && columns.size === 0) {
      throw failure('SCHEMA', `the database has no table ${table}: open it with AgentDB's ReasoningBank once, which makes it`)
    }
    if (missing.length > 0) throw failure('SCHEMA', `the table ${table} is not AgentDB's: it has no column ${missing.join(', ')}`)
  }
}

/** In one transaction, or not at all. */
function transact(db, work) {
  try {
    db.exec('BEGIN IMMEDIATE')
  } catch (error) {
    throw new MidstreamerError(`the database cannot begin a transaction: ${error.message}`, { code: 'STORE', cause: error })
  }
  try {
    const done = work()
    db.exec('COMMIT')
    return done
  } catch (error) {
    try {
      db.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself; the first error says why.
    }
    if (error instanceof MidstreamerError) throw error
    throw new MidstreamerError(`the patterns could not be written: ${error.message}`, { code: 'STORE', cause: error })
  }
}

/**
 * `values` in `dimension` numbers: zeros are added, which changes no cosine, or neighbours are averaged. AgentDB's search
 * throws when two vectors differ in length, so a bank needs one dimension.
 */
function embed(values, dimension) {
  const out = new Float32Array(dimension)
  if (values.length <= dimension) {
    out.set(values)
    return out
  }
  const step = values.length / dimension
  for (let i = 0; i < dimension; i++) {
    const start = i * step, end = start + step
    let sum = 0
    for (let j = Math.floor(start); j < Math.min(values.length, Math.ceil(end)); j++) {
      sum += values[j] * (Math.min(end, j + 1) - Math.max(start, j))
    }
    out[i] = sum / step
  }
  return out
}

/** Little-endian f32, as AgentDB has them, on every machine. */
function blob(vector) {
  const bytes = Buffer.alloc(vector.length * 4)
  vector.forEach((value, i) => bytes.writeFloatLE(value, i * 4))
  return bytes
}

/** Of the metadata of a row what is ours; undefined for the rows of others. */
function markOf(metadata) {
  try {
    const mark = JSON.parse(metadata)?.[MARK]
    return mark !== null && typeof mark === 'object' && typeof mark.id === 'string' ? mark : undefined
  } catch {
    // Not JSON, so not ours.
    return undefined
  }
}

function row(pattern, dimension) {
  const { id, patternType, values, samples, winRate, meanReturn, lowerBound, meanOutcome, knownAt, context } = pattern
  const { symbol, timeframe } = context ?? {}
  const percent = (value) => `${(value * 100).toFixed(3)} %`
  const approach = `${meanReturn > 0 ? 'Trade' : 'Watch'} the prediction of matches of ${patternType} that look like this: mean net return ${percent(meanReturn)}`
    + ` over ${samples} outcomes, at least ${percent(lowerBound)} by a bound for one look, in today's scale.`
  const metadata = {
    [MARK]: { id, patternType, samples, winRate, meanReturn, lowerBound, meanOutcome, knownAt, length: values.length, dimension },
    ...(symbol === undefined ? {} : { symbol }), ...(timeframe === undefined ? {} : { timeframe }),
  }
  return [patternType, approach, winRate, samples, meanReturn, JSON.stringify([MARK, ...[symbol, timeframe].filter((tag) => tag !== undefined)]), JSON.stringify(metadata)]
}

function readable(work) {
  try {
    return work()
  } catch (error) {
    if (error instanceof MidstreamerError) throw error
    throw new MidstreamerError(`the database cannot be read: ${error.message}`, { code: 'STORE', cause: error })
  }
}

/**
 * Adds the numeric patterns that learners have exported to a library, or brings those up to date that it has; returns how
 * many. AgentDB's own rows have no shape and no instant: they are not read. A pattern is known from the last outcome that
 * had a say in it, so that no match of the past sees it.
 */
function importPatterns(db, library, length) {
  checkHandle(db)
  const rows = readable(() => {
    checkTables(db)
    return db.prepare(`SELECT p.metadata AS metadata, p.uses AS uses, p.success_rate AS rate, p.avg_reward AS reward, e.embedding AS embedding
      FROM reasoning_patterns p JOIN pattern_embeddings e ON e.pattern_id = p.id WHERE p.metadata LIKE '%"${MARK}"%' ORDER BY p.id`).all()
  })
  const found = new Map()
  for (const { metadata, uses, rate, reward, embedding } of rows) {
    const mark = markOf(metadata)
    if (mark === undefined || mark.length !== length || typeof mark.patternType !== 'string' || !Number.isFinite(mark.meanOutcome) || !Number.isFinite(mark.knownAt)) continue
    const values = unblob(embedding, length)
    if (values === undefined) continue
    const { id, patternType, meanOutcome, knownAt, samples, meanReturn, lowerBound } = mark
    const agentdb = { uses: Number(uses), successRate: Number(rate), avgReward: Number(reward) }
    found.set(id, { id, values, meta: { patternType, outcome: meanOutcome, outcomeAt: knownAt, endsAt: knownAt, samples, meanReturn, lowerBound, agentdb } })
  }
  for (const id of found.keys()) library.remove(id)
  library.add([...found.values()])
  return found.size
}

/** The first `length` numbers of an embedding; undefined where it has fewer (averaged, so the shape is lost) or not finite ones. */
function unblob(bytes, length) {
  if (!(bytes instanceof Uint8Array) || bytes.byteLength < length * 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values = Float64Array.from({ length }, (_, i) => view.getFloat32(i * 4, true))
  return values.every(Number.isFinite) ? values : undefined
}

/**
 * Writes `patterns`; returns how many. Again, it updates: the rows of the families that the learner `knows` are replaced as a
 * whole, one by one where there are such, and those that have lost their proof go.
 */
function exportPatterns(db, patterns, knows) {
  checkHandle(db)
  readable(() => checkTables(db))
  return transact(db, () => {
    const ours = new Map()
    let all = []
    for (const { id, metadata } of db.prepare(`SELECT id, metadata FROM reasoning_patterns WHERE metadata LIKE '%"${MARK}"%'`).all()) {
      const mark = markOf(metadata)
      if (mark !== undefined) {
        all.push(id)
        if (typeof mark.patternType === 'string' && knows(mark.patternType)) ours.set(id, mark)
      }
    }
    const own = new Set(all)
    // The bank's dimension is that of the rows that others wrote, else that of the patterns.
    const others = db.prepare('SELECT pattern_id AS id, length(embedding) AS bytes FROM pattern_embeddings').all().filter(({ id }) => !own.has(id))
    const dimension = others.length > 0 ? Math.max(1, Math.floor(Number(others[0].bytes) / 4)) : Math.max(...patterns.map(({ values }) => values.length))
    const insert = db.prepare('INSERT INTO reasoning_patterns (task_type, approach, success_rate, uses, avg_reward, tags, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)')
    const update = db.prepare('UPDATE reasoning_patterns SET task_type = ?, approach = ?, success_rate = ?, uses = ?, avg_reward = ?, tags = ?, metadata = ? WHERE id = ?')
    const vector = db.prepare('INSERT OR REPLACE INTO pattern_embeddings (pattern_id, embedding) VALUES (?, ?)')
    for (const pattern of patterns) {
      const known = [...ours].find(([, mark]) => mark.id === pattern.id) ?? [...ours].find(([, mark]) => mark.patternType === pattern.patternType
        && !patterns.some(({ id }) => id === mark.id))
      let id
      if (known === undefined) {
        insert.run(...row(pattern, dimension))
        id = db.prepare('SELECT last_insert_rowid() AS id').get().id
      } else {
        id = known[0]
        ours.delete(id)
        update.run(...row(pattern, dimension), id)
      }
      vector.run(id, blob(embed(pattern.values, dimension)))
    }
    for (const id of ours.keys()) {
      db.prepare('DELETE FROM pattern_embeddings WHERE pattern_id = ?').run(id)
      db.prepare('DELETE FROM reasoning_patterns WHERE id = ?').run(id)
    }
    return patterns.length
  })
}

module.exports = { exportPatterns, importPatterns, embed }
