/**
 * AgentDB and a SQLite driver: installed beside your program (npm install agentdb better-sqlite3), or, within this repository,
 * where its own tests have them.
 */
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const places = [import.meta.url, new URL('../../scripts/agentdb/package.json', import.meta.url)].map((place) => createRequire(place))

function find(load) {
  for (const require of places) {
    try {
      return load(require)
    } catch {
      // Not there, or not for this Node: the next one.
    }
  }
  return undefined
}

/** The driver that this Node has: its name, and what opens a file. */
export function driver() {
  const major = Number(process.versions.node.split('.')[0])
  // The newest ones are for Node 22 and later, and a binary for another Node must not even be tried.
  for (const name of major < 22 ? ['better-sqlite3'] : ['better-sqlite3-13', 'better-sqlite3']) {
    const found = find((require) => {
      const Database = require(name)
      new Database(':memory:').close()
      return { name: `better-sqlite3 ${require(`${name}/package.json`).version}`, open: (path) => new Database(path) }
    })
    if (found !== undefined) return found
  }
  const { DatabaseSync } = createRequire(import.meta.url)('node:sqlite')
  return { name: 'node:sqlite', open: (path) => new DatabaseSync(path) }
}

/** AgentDB's classes, without what they print. */
export async function agentDb() {
  const entry = find((require) => require.resolve('agentdb'))
  if (entry === undefined) throw new Error(`AgentDB is not installed: npm install agentdb better-sqlite3 (in a clone of the repository: node ${fileURLToPath(new URL('../../scripts/agentdb.mjs', import.meta.url))})`)
  const log = console.log
  console.log = () => {}
  try {
    return await import(pathToFileURL(entry).href)
  } finally {
    console.log = log
  }
}
