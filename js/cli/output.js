'use strict'
// Where a command says things: results on stdout, as text or as JSON, and everything beside them on stderr.

const { hasColour, paint, printable } = require('./terminal.js')

/** JSON has no NaN and no infinities, and typed arrays are lists in it. */
function plain(key, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) return null
  if (typeof value === 'bigint') return String(value)
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value) : value
}

class Output {
  constructor({ json = false, stdout = process.stdout, stderr = process.stderr } = {}) {
    this.json = json
    this.stdout = stdout
    this.stderr = stderr
    this.paint = paint(!json && hasColour(stdout))
    this.paintError = paint(!json && hasColour(stderr))
  }

  /** The columns of a line; a pipe has no limit. */
  get width() {
    return this.stdout.isTTY ? this.stdout.columns || 80 : Infinity
  }

  /** The one document of a command, or the lines that say the same. */
  result(document, lines) {
    if (this.json) this.stdout.write(`${JSON.stringify(document, plain)}\n`)
    else this.stdout.write(`${[lines].flat().join('\n')}\n`)
  }

  /** One of many things that happen: a line of JSON, or of a log. `text` says it for people. */
  event(name, fields, text, level = 'info') {
    const at = new Date()
    if (this.json) {
      this.stdout.write(`${JSON.stringify({ at: at.getTime(), event: name, level, ...fields }, plain)}\n`)
      return
    }
    const { dim, red, yellow } = this.paint
    const mark = level === 'error' ? red : level === 'warn' ? yellow : dim
    this.stdout.write(`${dim(at.toISOString())} ${mark(level.padEnd(5))} ${printable(text)}\n`)
  }

  /** For people who look on; scripts that asked for JSON do not need it. */
  note(text) {
    if (!this.json) this.stderr.write(`${this.paintError.dim(printable(text))}\n`)
  }

  warn(text) {
    if (this.json) this.stderr.write(`${JSON.stringify({ warning: text })}\n`)
    else this.stderr.write(`${this.paintError.yellow('warning:')} ${printable(text)}\n`)
  }

  error(message, details) {
    if (this.json) this.stderr.write(`${JSON.stringify({ error: { message, ...details } }, plain)}\n`)
    else this.stderr.write(`${this.paintError.red('error:')} ${message.split('\n').map(printable).join('\n')}\n`)
  }
}

module.exports = { Output, plain }
