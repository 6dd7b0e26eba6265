'use strict'
// Prepared statements of the engine on the user's handle.
//
// A text crosses from the addon once and is known by a number from then on. Parameters may be numbered (?1) or not (?):
// the drivers bind numbered ones each in another way, so every text is rewritten to plain ones, with the order in which
// the values are to be given.

/** Prepared statements that are kept; the least recently used one goes first. */
const MOST_PREPARED = 256

/** Parts of a text in which a question mark is none of ours: strings, names in quotes or brackets, comments. Or a parameter. */
const TOKENS = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[^]*?\*\/|\?(\d*)/g

/**
 * `pieces` are the text between the parameters, `order` says which value stands at each: SQLite numbers a plain one after
 * the greatest number so far.
 */
function parse(sql) {
  const pieces = []
  const order = []
  let greatest = 0
  let from = 0
  for (const match of sql.matchAll(TOKENS)) {
    const number = match[1]
    if (number === undefined) continue
    const position = number === '' ? greatest + 1 : Number(number)
    if (position > greatest) greatest = position
    pieces.push(sql.slice(from, match.index))
    order.push(position - 1)
    from = match.index + match[0].length
  }
  pieces.push(sql.slice(from))
  return { pieces, order, inOrder: order.every((position, i) => position === i) }
}

class Statements {
  /** `prepare(sql)` makes a statement of the driver, `discard(statement)` frees one where the driver does not do so by itself. */
  constructor(prepare, discard = () => {}) {
    this.prepare = prepare
    this.discard = discard
    this.parsed = []
    this.prepared = new Map()
  }

  /** From now on this text has this number. */
  define(number, sql) {
    this.parsed[number] = parse(sql)
  }

  /** Numbers are given anew. */
  forget() {
    this.clear()
    this.parsed = []
  }

  clear() {
    for (const statement of this.prepared.values()) this.discard(statement)
    this.prepared.clear()
  }

  /** The text with this number. */
  text(number) {
    const parsed = this.parsed[number]
    if (parsed === undefined) throw new Error(`no statement has the number ${number}`)
    return parsed
  }

  /** The statement that was prepared from `sql`. */
  of(sql) {
    const { prepared } = this
    let statement = prepared.get(sql)
    if (statement !== undefined) {
      prepared.delete(sql)
    } else {
      statement = this.prepare(sql)
      if (prepared.size >= MOST_PREPARED) this.drop(prepared.keys().next().value)
    }
    prepared.set(sql, statement)
    return statement
  }

  drop(sql) {
    const statement = this.prepared.get(sql)
    if (statement === undefined) return
    this.prepared.delete(sql)
    this.discard(statement)
  }
}

/** The values in the order of the parameters. */
function arrange({ order, inOrder }, values) {
  return inOrder ? values : order.map((position) => values[position])
}

/** The text with plain parameters. */
function plain(parsed) {
  return (parsed.plain ??= parsed.pieces.join('?'))
}

module.exports = { Statements, arrange, plain }
