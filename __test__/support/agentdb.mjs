// AgentDB and the databases under it, as scripts/agentdb.mjs installs them, and databases for tests.

import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const folder = fileURLToPath(new URL('../../scripts/agentdb/node_modules', import.meta.url))
const require = createRequire(import.meta.url)
const major = Number(process.versions.node.split('.')[0])

/** A reason to skip everything, or false. */
export const missing = existsSync(join(folder, 'agentdb')) ? false : 'AgentDB is not installed: node scripts/agentdb.mjs'

/** The binary of better-sqlite3 11, where it was compiled. */
export const compiledBetterSqlite3 = join(folder, 'better-sqlite3', 'build', 'Release', 'better_sqlite3.node')

/** better-sqlite3 of this Node: 13 has binaries for Node 22 and later, 11 is compiled for the Node of the checkout. */
function betterSqlite3() {
  if (missing) return undefined
  if (major >= 22) return require(join(folder, 'better-sqlite3-13'))
  if (!existsSync(compiledBetterSqlite3)) return undefined
  const Database = require(join(folder, 'better-sqlite3'))
  try {
    new Database(':memory:').close()
    return Database
  } catch (error) {
    // Compiled for another Node.
    if (/NODE_MODULE_VERSION|was compiled against/.test(error.message)) return undefined
    throw error
  }
}

function nodeSqlite() {
  if (major < 22) return undefined
  const { DatabaseSync } = require('node:sqlite')
  const probe = new DatabaseSync(':memory:')
  const supported = typeof probe.isTransaction === 'boolean'
  probe.close()
  return supported ? DatabaseSync : undefined
}

export const BetterSqlite3 = betterSqlite3()
export const DatabaseSync = nodeSqlite()

/** AgentDB 1.6.1 or 3.0 as a namespace. */
export const agentdb = (version = 1) =>
  import(pathToFileURL(join(folder, version === 1 ? 'agentdb/dist/index.js' : 'agentdb-3/dist/src/index.js')).href)

export const sqlJs = (name = 'sql.js') => require(join(folder, name))()

/** AgentDB's own schema. */
export const schema = (version = 1) =>
  ['schema.sql', 'frontier-schema.sql'].map((file) => readFileSync(join(folder, version === 1 ? 'agentdb' : 'agentdb-3', 'dist/schemas', file), 'utf8'))

/** Ways to open a file, by the name of the driver, those that this Node has. */
export const drivers = {
  ...(BetterSqlite3 && { 'better-sqlite3': (file) => { const db = new BetterSqlite3(file); db.pragma('journal_mode = WAL'); return db } }),
  ...(DatabaseSync && { 'node:sqlite': (file) => { const db = new DatabaseSync(file); db.exec('PRAGMA journal_mode = WAL'); return db } }),
  ...(!missing && { 'sql.js': async (file) => quietly(async () => (await agentdb()).createDatabase(file)) }),
}

/** The first driver of this Node: all have sql.js. */
export const firstDriver = Object.keys(drivers)[0]

/** AgentDB prints what it uses. */
export async function quietly(call) {
  const log = console.log
  console.log = () => {}
  try {
    return await call()
  } finally {
    console.log = log
  }
}

/**
 * From now on, what a test opens last is closed first. The runner would close in the order of opening: directories before the
 * databases in them, which are written to until they are closed.
 */
function closeInReverse(t) {
  const ends = []
  t.after(async () => {
    const errors = []
    while (ends.length > 0) {
      try {
        await ends.pop()()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  })
  t.after = (end) => { ends.push(end) }
}

const reversed = new WeakSet()

/** A directory that is gone after the test, and after all that the test opens from now on. */
export async function directory(t) {
  if (!reversed.has(t)) {
    reversed.add(t)
    closeInReverse(t)
  }
  const path = await mkdtemp(join(tmpdir(), 'midstreamer-agentdb-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A database with AgentDB's schema. */
export async function database(t, driver = firstDriver, file = ':memory:') {
  const db = await drivers[driver](file)
  for (const sql of schema()) db.exec(sql)
  t.after(() => { try { db.close() } catch { /* a test has closed it */ } })
  return db
}

/** An embedder without a model: the same text, the same unit vector. */
export const embedder = {
  async embed(text) {
    const vector = new Float32Array(384)
    let state = 2166136261
    for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 16777619)
    let sum = 0
    for (let i = 0; i < vector.length; i++) {
      state = Math.imul(state ^ (state >>> 15), 2246822507) + i | 0
      vector[i] = (state >>> 0) / 2 ** 32 - 0.5
      sum += vector[i] ** 2
    }
    return vector.map((value) => value / Math.sqrt(sum))
  },
}

/** Until it holds; what it threw last after a minute. */
export async function eventually(check, timeoutMs = 60_000) {
  const end = performance.now() + timeoutMs
  for (;;) {
    try {
      const value = await check()
      if (value !== false && value !== undefined) return value
      if (performance.now() > end) throw new Error(`still ${value} after ${timeoutMs} ms: ${check}`)
    } catch (error) {
      if (performance.now() > end) throw error
    }
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}
