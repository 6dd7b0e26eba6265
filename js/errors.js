'use strict'
// The one error class of the package. Every message names the argument, the index and the value.

const CODES = new Set([
  'INVALID_ARGUMENT', 'EMPTY_SERIES', 'NON_FINITE', 'LENGTH_MISMATCH', 'TOO_LARGE', 'ABORTED',
  'TIMEOUT', 'CLOSED', 'NOT_FOUND', 'EXPIRED', 'NO_AGENT', 'TASK_FAILED', 'IDEMPOTENCY_MISMATCH', 'OVERLOADED',
  'UNAUTHENTICATED', 'FORBIDDEN', 'SESSION_REPLACED', 'CONNECTION', 'PROTOCOL',
  'STORE', 'CORRUPT', 'SCHEMA', 'FORKED', 'CLOCK_SKEW', 'DECRYPT', 'INTERNAL',
])

/** What failed where, of a task. */
const DETAILS = ['taskId', 'attempts', 'remoteError']

class MidstreamerError extends Error {
  constructor(message, options = {}) {
    if (options === null || typeof options !== 'object') throw invalid(`options of MidstreamerError must be an object, got ${show(options)}`)
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = options.code ?? 'INTERNAL'
    for (const name of DETAILS) if (options[name] !== undefined) this[name] = options[name]
  }
}
// On the prototype, as with the built-in errors: a name of its own would be printed with the fields.
Object.defineProperty(MidstreamerError.prototype, 'name', { value: 'MidstreamerError', configurable: true, writable: true })

function failure(code, message) {
  return new MidstreamerError(message, { code })
}

function invalid(message) {
  return failure('INVALID_ARGUMENT', message)
}

/** What the addon threw or rejected with, as our class; its stack is that of the caller, not of the addon. */
function fromNative(error) {
  if (error instanceof MidstreamerError) return error
  if (CODES.has(error?.code)) return failure(error.code, error.message)
  return new MidstreamerError(`internal error: ${error?.message ?? error}`, { code: 'INTERNAL', cause: error })
}

/** Array.isArray, which throws on a revoked Proxy; that one is neither an array nor anything else: undefined. */
function isArray(value) {
  try {
    return Array.isArray(value)
  } catch {
    return undefined
  }
}

/** A value for an error message: short, on one line, whatever it is. */
function show(value) {
  switch (typeof value) {
    case 'string': return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value)
    case 'number': return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint': return `${value}n`
    case 'function': return 'a function'
    case 'object': break
    default: return String(value)
  }
  if (value === null) return 'null'
  if (isArray(value)) return 'an array'
  // A hostile object may throw here, and the message must still be made.
  let name
  try { name = value.constructor?.name } catch { name = undefined }
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `an object of class ${name}` : 'an object'
}

module.exports = { MidstreamerError, failure, invalid, fromNative, isArray, show }
