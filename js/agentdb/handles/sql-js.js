'use strict'
// AgentDB's wrapper around sql.js, and the sql.js Database itself. The database is in memory until it is saved, as a whole.
//
// The wrapper reads integers as doubles, so statements go to the Database within it. That binds a number as INTEGER or REAL by
// its value, and integers above 31 bits as text or doubles: where the type would be another one, a CAST says which.

const fs = require('node:fs')
const path = require('node:path')
const { Statements } = require('./statements.js')
const { OUTCOME, byMessage, isNested, wordsOf } = require('./outcome.js')

/** What a save may reset in releases of sql.js that close and open the database to export it. */
const PRAGMAS = ['foreign_keys', 'recursive_triggers', 'case_sensitive_like', 'defer_foreign_keys', 'ignore_check_constraints', 'temp_store', 'cache_size', 'synchronous']

/** Beside the file, while it is written anew. Only one is replicated from a file, so the name is free. */
const SAVE_SUFFIX = '-mqs-save'

/** sql.js frees a database's statements with it, or with an export. */
const FREED = /^(Statement closed|Database closed)/

class SqlJs {
  kind = 'sql.js'
  #wrapper
  #raw
  #statements
  #open = false
  #gentle
  /** Images that were taken of it, by whomever. */
  #saves = 0

  /** `wrapper` has `save()` and `filename`; null for a bare Database. */
  constructor(raw, wrapper) {
    this.#raw = raw
    this.#wrapper = wrapper
    this.#statements = new Statements((sql) => raw.prepare(sql), (statement) => statement.free())
  }

  /** The file, or null: in memory alone. */
  get path() {
    const file = this.#wrapper?.filename
    return typeof file === 'string' && file !== ':memory:' && file !== '' ? path.resolve(file) : null
  }

  get readonly() {
    return false
  }

  get isOpen() {
    return typeof this.#raw.db === 'number' ? this.#raw.db !== 0 : this.#raw.db !== null
  }

  define(number, sql) {
    this.#statements.define(number, sql)
  }

  forget() {
    this.#statements.forget()
  }

  query(number, values) {
    try {
      return this.#run(this.#statements.text(number), values)
    } catch (error) {
      return byMessage(error)
    }
  }

  #run(parsed, values) {
    const { pieces, order } = parsed
    let sql = pieces[0]
    const bound = []
    for (let i = 0; i < order.length; i++) {
      const value = values[order[i]]
      sql += placeholder(value) + pieces[i + 1]
      bound.push(bindable(value))
    }
    try {
      return this.#rows(sql, bound)
    } catch (error) {
      if (!FREED.test(wordsOf(error)) || !this.isOpen) throw error
      // Somebody has saved meanwhile; nothing was executed.
      this.#statements.clear()
      return this.#rows(sql, bound)
    }
  }

  #rows(sql, bound) {
    const statement = this.#statements.of(sql)
    try {
      statement.bind(bound)
      const rows = []
      while (statement.step()) rows.push(statement.get(null, { useBigInt: true }))
      return rows
    } finally {
      // After an error too: a statement that was not reset would hold the transaction.
      reset(statement)
    }
  }

  batch(sql) {
    try {
      this.#raw.exec(sql)
      return undefined
    } catch (error) {
      return byMessage(error)
    }
  }

  /** Nobody else has it open: there is no lock to wait for. */
  hurry() {}

  wait() {}

  /** Why the handle is the user's now; null when it is not. It does not say whether it is in a transaction: it is tried. */
  inUse() {
    if (!this.isOpen) return null
    try {
      this.#raw.exec('BEGIN')
      this.#raw.exec('COMMIT')
      return null
    } catch (error) {
      if (isNested(error)) return 'a transaction is open on the handle'
      throw error
    }
  }

  begin() {
    try {
      this.#raw.exec('BEGIN IMMEDIATE')
      this.#open = true
      return undefined
    } catch (error) {
      return isNested(error) ? OUTCOME.inUse + wordsOf(error) : byMessage(error)
    }
  }

  commit() {
    try {
      this.#raw.exec('COMMIT')
      this.#open = false
      return undefined
    } catch (error) {
      return byMessage(error)
    }
  }

  rollback() {
    if (!this.#open) return
    this.#open = false
    try {
      this.#raw.exec('ROLLBACK')
    } catch (error) {
      // It has ended by itself, which is what was wanted.
      if (!/no transaction is active/.test(wordsOf(error))) throw error
    }
  }

  /** A commit is in memory: save() brings it into the file. */
  get mustSave() {
    return this.path !== null
  }

  /**
   * Brings what is committed into the file. Throws while the user's transaction is open. AgentDB 1's own save() cuts the file
   * to nothing first, so that a crash in between would lose all of it: its file is replaced in one step instead. A wrapper
   * that keeps watch over its file (AgentDB 3) does that itself.
   */
  save() {
    this.#statements.clear()
    const image = this.#export()
    this.#saves += 1
    if (!this.#savesItself) return replaceFile(this.path, image)
    this.#raw.export = () => image
    try {
      this.#wrapper.save()
    } finally {
      delete this.#raw.export
    }
  }

  /**
   * The same, but the event loop does not wait for the disk: what is committed now is read before this returns. Resolves to
   * whether the file has it. It does not when something else has been saved meanwhile, which is newer and stays.
   */
  async saveAside() {
    if (this.#savesItself || Object.hasOwn(this.#raw, 'export')) {
      this.save()
      return true
    }
    this.#statements.clear()
    const image = this.#export()
    const turn = ++this.#saves
    // The user's own save() and close() come by here.
    const seen = (...args) => {
      this.#saves += 1
      delete this.#raw.export
      return this.#raw.export(...args)
    }
    const target = targetOf(this.path)
    const before = stampOf(target)
    const temporary = target + SAVE_SUFFIX
    this.#raw.export = seen
    try {
      await writeAside(temporary, image, modeOf(target))
      // From here on nothing comes in between.
      if (turn !== this.#saves || !this.isOpen || stampOf(target) !== before) return false
      fs.renameSync(temporary, target)
      return true
    } finally {
      if (this.#raw.export === seen) delete this.#raw.export
      fs.rmSync(temporary, { force: true })
    }
  }

  /** AgentDB 3: it refuses to write over a file that it does not know. */
  get #savesItself() {
    return this.#wrapper.fileState !== undefined
  }

  #export() {
    // Older releases would end the user's transaction and close the database to export it.
    this.#raw.exec('BEGIN IMMEDIATE')
    this.#raw.exec('COMMIT')
    this.#gentle ??= exportsGently(this.#raw)
    if (this.#gentle) return this.#raw.export()
    const before = PRAGMAS.map((name) => [name, this.#raw.exec(`PRAGMA ${name}`)[0]?.values[0][0]])
    const image = this.#raw.export()
    for (const [name, value] of before) if (value !== undefined) this.#raw.exec(`PRAGMA ${name} = ${value}`)
    // AgentDB 3 keeps statements by their text, and they are freed now.
    for (const cache of ['statementCache', 'activeStatements']) {
      if (this.#wrapper[cache] instanceof Map) this.#wrapper[cache].clear()
    }
    return image
  }

  release() {
    if (this.isOpen) this.#statements.forget()
  }
}

function reset(statement) {
  try {
    statement.reset()
  } catch (error) {
    // reset() repeats what step() has thrown already.
    if (FREED.test(wordsOf(error))) return
  }
}

/** Integers within 31 bits and fractions are bound as what they are. */
function placeholder(value) {
  if (typeof value === 'bigint') return isSmall(value) ? '?' : 'CAST(? AS INTEGER)'
  return typeof value === 'number' && Number.isInteger(value) ? 'CAST(? AS REAL)' : '?'
}

function bindable(value) {
  if (typeof value !== 'bigint') return value
  return isSmall(value) ? Number(value) : value.toString()
}

function isSmall(value) {
  return value >= -2147483648n && value <= 2147483647n
}

/** Whether an export leaves settings and statements alone, as from sql.js 1.16 on. */
function exportsGently(raw) {
  const probe = new raw.constructor()
  try {
    probe.exec('PRAGMA recursive_triggers = ON')
    probe.export()
    return probe.exec('PRAGMA recursive_triggers')[0].values[0][0] === 1
  } finally {
    probe.close()
  }
}

/** Where the file is; a link stays a link to the same place. */
function targetOf(file) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  return fs.existsSync(file) ? fs.realpathSync(file) : file
}

function modeOf(target) {
  return fs.existsSync(target) ? fs.statSync(target).mode & 0o777 : 0o666
}

/** What changes with whoever writes the file. */
function stampOf(target) {
  const stat = fs.statSync(target, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`
}

/** All of it or nothing, whenever the process ends. */
function replaceFile(file, image) {
  const target = targetOf(file)
  const temporary = target + SAVE_SUFFIX
  // Of a process that was ended while it saved.
  fs.rmSync(temporary, { force: true })
  try {
    const descriptor = fs.openSync(temporary, 'wx', modeOf(target))
    try {
      fs.writeFileSync(descriptor, image)
      fs.fsyncSync(descriptor)
    } finally {
      fs.closeSync(descriptor)
    }
    fs.renameSync(temporary, target)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
}

/** A file that is on the disk when this resolves. */
async function writeAside(temporary, image, mode) {
  await fs.promises.rm(temporary, { force: true })
  const file = await fs.promises.open(temporary, 'wx', mode)
  try {
    await file.writeFile(image)
    await file.sync()
  } finally {
    await file.close()
  }
}

function isRawSqlJs(db) {
  return typeof db.prepare === 'function' && typeof db.exec === 'function' && typeof db.export === 'function'
    && typeof db.getRowsModified === 'function'
}

/** AgentDB's wrapper: the Database is its field `db`. */
function isSqlJsWrapper(db) {
  return typeof db.prepare === 'function' && typeof db.exec === 'function' && typeof db.save === 'function'
    && typeof db.db === 'object' && db.db !== null && isRawSqlJs(db.db)
}

module.exports = { SqlJs, isRawSqlJs, isSqlJsWrapper }
