'use strict'
// CSV as RFC 4180 has it: a header, fields in quotes, a quote in a field doubled; LF or CRLF; a byte order mark is passed over.

const fs = require('node:fs')
const { failed, usage } = require('./exit.js')
const { show } = require('../errors.js')

/** What else a decimal number may look like is a mistake in a file of numbers. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/

const fault = (name, line, what) => failed(`${name}:${line}: ${what}`, 'CSV')

/**
 * Calls `onRow(fields, line)` for each row; `line` is where it begins, from 1. Lines with nothing in them are passed over.
 * `name` stands in messages.
 */
function readRows(text, name, separator, onRow) {
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0
  let line = 1
  while (at < text.length) {
    const began = line
    const fields = []
    let more = true
    while (more) {
      let field
      if (text[at] === '"') {
        const opened = line
        const parts = []
        at++
        for (;;) {
          const end = text.indexOf('"', at)
          if (end < 0) throw fault(name, opened, 'a quoted field that does not end')
          const part = text.slice(at, end)
          parts.push(part)
          line += part.split('\n').length - 1
          at = end + 1
          if (text[at] !== '"') break
          parts.push('"')
          at++
        }
        field = parts.join('')
        if (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r') throw fault(name, line, `${show(text[at])} after a quoted field`)
      } else {
        const from = at
        while (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r') at++
        field = text.slice(from, at)
      }
      fields.push(field)
      more = text[at] === separator
      if (more) at++
    }
    if (text[at] === '\r') at++
    if (text[at] === '\n') at++
    line++
    if (fields.length > 1 || fields[0] !== '') onRow(fields, began)
  }
}

/** The separator that the header has most of. */
function separatorOf(text) {
  const end = text.search(/\r|\n/)
  const header = end < 0 ? text : text.slice(0, end)
  return [',', ';', '\t'].reduce((best, mark) => (header.split(mark).length > header.split(best).length ? mark : best))
}

const DATE = /^(date|time|timestamp|datetime|day)$/i

/** The position of a column by its name; letters count alike only where that is not ambiguous. */
function columnAt(header, wanted, name) {
  const exact = header.indexOf(wanted)
  if (exact >= 0) return exact
  const alike = header.flatMap((title, i) => (title.toLowerCase() === wanted.toLowerCase() ? [i] : []))
  if (alike.length === 1) return alike[0]
  throw usage(`${name} has no column ${show(wanted)}; there are ${header.map((title) => show(title)).join(', ')}`)
}

/**
 * One column of numbers, with the column of dates if there is one.
 *
 * Returns `{ column, values, lines, dates }`: `lines[i]` is where row i stands in the file; `dates` is undefined or has a text a row.
 */
function readColumn(file, { column: wanted, dateColumn }) {
  let text
  try {
    text = fs.readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw failed(`the file cannot be read: ${error.message}`, 'STORE')
  }
  const name = file === '-' ? 'standard input' : file
  let header, column, date
  const values = []
  const lines = []
  const dates = []
  readRows(text, name, separatorOf(text), (fields, line) => {
    if (header === undefined) {
      header = fields.map((field) => field.trim())
      column = columnAt(header, wanted, name)
      date = dateColumn === undefined ? header.findIndex((title) => DATE.test(title)) : columnAt(header, dateColumn, name)
      return
    }
    if (fields.length !== header.length) throw fault(name, line, `${fields.length} fields, and the header has ${header.length}`)
    const field = fields[column].trim()
    if (field === '') throw fault(name, line, `no value in the column ${show(header[column])}`)
    const value = NUMBER.test(field) ? Number(field) : NaN
    if (!Number.isFinite(value)) throw fault(name, line, `${show(field)} in the column ${show(header[column])} is no finite number`)
    values.push(value)
    lines.push(line)
    if (date >= 0) dates.push(fields[date].trim())
  })
  if (header === undefined) throw fault(name, 1, 'the file is empty: a header is needed')
  if (values.length === 0) throw fault(name, 1, 'there is a header and no row')
  return { column: header[column], values: Float64Array.from(values), lines, dates: date >= 0 ? dates : undefined }
}

module.exports = { readRows, readColumn }
