'use strict'
// What people read: colours where they are wanted, tables, numbers with units. Nothing that came over the network reaches
// the terminal with control characters in it.

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

/** https://no-color.org: any value that is not empty. */
function hasColour(stream, environment = process.env) {
  return stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb'
}

/** Functions that colour a text, or leave it as it is. */
function paint(enabled) {
  const entries = Object.entries(CODES).map(([name, code]) => [name, enabled ? (text) => `\x1b[${code}m${text}\x1b[0m` : (text) => String(text)])
  return Object.fromEntries(entries)
}

const CONTROL = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/** On one line and without what could move the cursor. */
function printable(value) {
  return String(value).replace(CONTROL, '?')
}

const COLOURS = /\x1b\[\d+m/g

/** Columns of a text. Wide characters count as one: a table may be crooked then, and nothing else. */
function widthOf(text) {
  return Array.from(text.replace(COLOURS, '')).length
}

function pad(text, width, right) {
  const blank = ' '.repeat(Math.max(0, width - widthOf(text)))
  return right ? blank + text : text + blank
}

/** At most so many columns of a text without colours. */
function cut(text, width) {
  const letters = Array.from(text)
  if (letters.length <= width) return text
  return width < 4 ? letters.slice(0, Math.max(0, width)).join('') : `${letters.slice(0, width - 2).join('')}..`
}

/**
 * Lines of a table. `columns`: { title, right, priority, most }; rows hold texts. Where it is wider than `width`, the columns with
 * the highest priority number go first, and what is left is cut.
 */
function table(columns, rows, { width = Infinity, paint: { dim } = paint(false) } = {}) {
  const widths = columns.map(({ title, most = Infinity }, i) =>
    rows.reduce((widest, row) => Math.max(widest, Math.min(most, widthOf(row[i]))), widthOf(title)))
  let shown = columns.map((_, i) => i)
  const total = () => shown.reduce((sum, i) => sum + widths[i] + 2, -2)
  while (total() > width && shown.length > 1) {
    const worst = shown.reduce((a, b) => ((columns[b].priority ?? 0) >= (columns[a].priority ?? 0) ? b : a))
    shown = shown.filter((i) => i !== worst)
  }
  if (total() > width) widths[shown[0]] = width
  const line = (cells) => shown.map((i) => {
    const text = widthOf(cells[i]) > widths[i] ? cut(cells[i].replace(COLOURS, ''), widths[i]) : cells[i]
    return pad(text, widths[i], columns[i].right)
  }).join('  ').trimEnd()
  return [dim(line(columns.map(({ title }) => title))), ...rows.map(line)]
}

/** 1234567 as 1,234,567. */
function count(number) {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Milliseconds with three digits that count. */
function millis(ms) {
  if (!Number.isFinite(ms)) return '-'
  if (ms < 1) return `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : age(ms)
}

const STEPS = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]]

/** A span of time in its two largest units. */
function age(ms) {
  const at = STEPS.findIndex(([, size]) => ms >= size)
  if (at < 0) return '0 s'
  const [unit, size] = STEPS[at]
  const rest = STEPS[at + 1]
  const second = rest === undefined ? 0 : Math.floor((ms % size) / rest[1])
  return `${Math.floor(ms / size)} ${unit}${second > 0 ? ` ${second} ${rest[0]}` : ''}`
}

function bytes(number) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = number
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

module.exports = { hasColour, paint, printable, widthOf, pad, cut, table, count, millis, age, bytes }
