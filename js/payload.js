'use strict'
// Encoded values: JSON with typed arrays anywhere, which travel as raw bytes. The layout is in docs/protocol.md; the
// other half is src/protocol/value.

const { MidstreamerError, failure, invalid, isArray, show } = require('./errors.js')

/** The most containers inside one another. */
const MAX_DEPTH = 512
/** Without a limit by the caller: below the longest string of V8. */
const MAX_BYTES = 2 ** 28
/** Length of the JSON text and number of arrays. */
const HEAD_BYTES = 8
/** Type, 0 and length in bytes. */
const ENTRY_BYTES = 16

/** Position = type on the wire. */
const ARRAY_TYPES = [
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array,
]
const TYPE_BY_NAME = new Map(ARRAY_TYPES.map((type, number) => [type.name, number]))
const UINT8 = ARRAY_TYPES.indexOf(Uint8Array)

// The built-in accessors, whatever properties a typed array has been given.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype)
const accessor = (name) => Function.prototype.call.bind(Object.getOwnPropertyDescriptor(typedArray, name).get)
const nameOf = accessor(Symbol.toStringTag)
const bufferOf = accessor('buffer')
const offsetOf = accessor('byteOffset')
const bytesOf = accessor('byteLength')
/** Throws when the buffer is detached, or was made too short for the view. */
const validate = Function.prototype.call.bind(typedArray.keys)

const padded = (bytes) => Math.ceil(bytes / 8) * 8

// --------------------------------------------------------------------------------------------------------- encode

/**
 * `value` as a Buffer of at most `maxBytes`. `name` is what errors call the value. Every property is read once; typed
 * arrays are copied. What would not come back as it is gets INVALID_ARGUMENT with its path.
 */
function encode(value, name, maxBytes = MAX_BYTES) {
  if (value === undefined) return Buffer.alloc(HEAD_BYTES)
  const writer = new Writer(name, Math.min(maxBytes, MAX_BYTES))
  try {
    writer.write(value)
  } catch (error) {
    if (error instanceof MidstreamerError) throw error
    // A getter or a proxy of the caller's.
    throw new MidstreamerError(`${writer.path()} cannot be read: ${messageOf(error)}`, { code: 'INVALID_ARGUMENT', cause: error })
  }
  return assemble(writer)
}

class Writer {
  constructor(name, maxBytes) {
    this.name = name
    this.maxBytes = maxBytes
    this.json = ''
    this.views = []
    // The containers that lead to the current value, and the keys that were taken in them.
    this.depth = 0
    this.containers = []
    this.keys = []
  }

  write(value) {
    switch (typeof value) {
      case 'string':
        this.json += quote(value.charCodeAt(0) === 0 ? `\0${value}` : value)
        return
      case 'number':
        if (!Number.isFinite(value)) throw this.refusal(`is ${value}`)
        this.json += Object.is(value, -0) ? '-0' : value
        return
      case 'boolean':
        this.json += value ? 'true' : 'false'
        return
      case 'object':
        if (value === null) this.json += 'null'
        else this.#object(value)
        return
      case 'bigint': throw this.refusal(`is the BigInt ${value}n: send a string, or a BigInt64Array`)
      case 'undefined': throw this.refusal('is undefined: send null')
      default: throw this.refusal(`is ${show(value)}`)
    }
  }

  #object(value) {
    if (ArrayBuffer.isView(value)) {
      this.#view(value)
      return
    }
    const list = Array.isArray(value)
    if (!list && !isPlain(value)) throw this.refusal(`is ${classOf(value)}`)
    for (let k = 0; k < this.depth; k++) {
      if (this.containers[k] === value) throw this.refusal(`is ${k === 0 ? this.name : this.path(k)} again: a cycle`)
    }
    if (this.depth === MAX_DEPTH) throw this.refusal(`is nested more than ${MAX_DEPTH} deep`)
    // One object may stand at many places: what grows is the text, so that is watched.
    if (this.json.length > this.maxBytes) throw tooLarge(this)
    this.containers[this.depth++] = value
    if (list) this.#list(value)
    else this.#record(value)
    this.depth -= 1
  }

  #list(list) {
    const at = this.depth - 1
    const length = list.length
    for (let k = 0; k < length; k++) {
      this.json += k === 0 ? '[' : ','
      if ((k & 0xffff) === 0xffff && this.json.length > this.maxBytes) throw tooLarge(this)
      this.keys[at] = k
      this.write(list[k])
    }
    this.json += length === 0 ? '[]' : ']'
  }

  #record(object) {
    const at = this.depth - 1
    let separator = '{'
    for (const key of Object.keys(object)) {
      this.keys[at] = key
      const value = object[key]
      if (value === undefined) continue
      this.json += `${separator}${quote(key)}:`
      separator = ','
      this.write(value)
    }
    this.json += separator === '{' ? '{}' : '}'
  }

  #view(view) {
    const name = nameOf(view)
    const type = TYPE_BY_NAME.get(name)
    if (type === undefined) {
      throw this.refusal(`is ${name === undefined ? 'a DataView: send a Uint8Array of its bytes' : `a ${name}: send a Float32Array`}`)
    }
    if (bytesOf(view) === 0) {
      try {
        validate(view)
      } catch {
        throw this.refusal(`is a ${name} whose buffer is detached, or shorter than the view`)
      }
    }
    this.json += `"\\u0000${this.views.length}"`
    this.views.push({ type, view })
    if ((this.views.length + 1) * ENTRY_BYTES > this.maxBytes) throw tooLarge(this)
  }

  /** Where in the value we are, or were `depth` containers deep. */
  path(depth = this.depth) {
    return this.name + this.keys.slice(0, depth).map((key) => {
      return typeof key === 'number' ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${show(key)}]`
    }).join('')
  }

  refusal(what) {
    return invalid(`${this.path()} ${what}`)
  }
}

/** The text as JSON. Most are short and need no escape. */
function quote(text) {
  return text.length < 64 && !/[\0-\x1f"\\\ud800-\udfff]/.test(text) ? `"${text}"` : JSON.stringify(text)
}

function isPlain(object) {
  const prototype = Object.getPrototypeOf(object)
  if (prototype === Object.prototype || prototype === null) return true
  // The Object.prototype of another realm.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'hasOwnProperty')
}

function classOf(object) {
  const tag = Object.prototype.toString.call(object).slice(8, -1)
  switch (tag) {
    case 'Date': return 'a Date: send its getTime() or toISOString()'
    case 'ArrayBuffer':
    case 'SharedArrayBuffer': return `a${tag === 'ArrayBuffer' ? 'n' : ''} ${tag}: send a Uint8Array of it`
    case 'Promise': return 'a Promise: await it'
    case 'Map': return 'a Map: send Object.fromEntries(map) or [...map]'
    case 'Set': return 'a Set: send [...set]'
    default: return `${show(object)}: only plain objects, arrays and typed arrays can be sent`
  }
}

function messageOf(error) {
  try {
    return String(error?.message ?? error)
  } catch {
    return 'an error that cannot be shown'
  }
}

function tooLarge(writer) {
  return failure('TOO_LARGE', `${writer.name} takes more than ${writer.maxBytes} bytes when encoded`)
}

/** No code of the caller's runs from here on, so lengths stay what they are. */
function assemble(writer) {
  const { json, views, maxBytes } = writer
  const jsonBytes = Buffer.byteLength(json)
  const arraysAt = HEAD_BYTES + views.length * ENTRY_BYTES + padded(jsonBytes)
  let total = arraysAt
  for (const { view } of views) total += padded(bytesOf(view))
  if (total > maxBytes) throw tooLarge(writer)

  const out = Buffer.allocUnsafe(total)
  out.writeUInt32LE(jsonBytes, 0)
  out.writeUInt32LE(views.length, 4)
  const jsonAt = HEAD_BYTES + views.length * ENTRY_BYTES
  out.write(json, jsonAt, jsonBytes, jsonBytes === json.length ? 'latin1' : 'utf8')
  zero(out, jsonAt + jsonBytes, arraysAt)
  for (let k = 0, entry = HEAD_BYTES, at = arraysAt; k < views.length; k++, entry += ENTRY_BYTES) {
    const { type, view } = views[k]
    const bytes = bytesOf(view)
    out.writeUInt32LE(type, entry)
    out.writeUInt32LE(0, entry + 4)
    out.writeUInt32LE(bytes % 2 ** 32, entry + 8)
    out.writeUInt32LE(Math.floor(bytes / 2 ** 32), entry + 12)
    // Every platform of this package is little-endian.
    if (bytes > 0) out.set(type === UINT8 ? view : new Uint8Array(bufferOf(view), offsetOf(view), bytes), at)
    zero(out, at + bytes, at + padded(bytes))
    at += padded(bytes)
  }
  return out
}

/** The padding: seven bytes at most, where a call of `fill` would take longer. */
function zero(bytes, from, to) {
  for (let k = from; k < to; k++) bytes[k] = 0
}

// --------------------------------------------------------------------------------------------------------- decode

/** The value of the bytes, with arrays of its own. Bytes that are no value: PROTOCOL. */
function decode(bytes) {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < HEAD_BYTES) throw damaged('is shorter than its head')
  const jsonBytes = buffer.readUInt32LE(0)
  const count = buffer.readUInt32LE(4)
  const jsonAt = HEAD_BYTES + count * ENTRY_BYTES
  const arraysAt = jsonAt + padded(jsonBytes)
  if (arraysAt > buffer.length) throw damaged('is shorter than its JSON text and its list of arrays')
  checkZero(buffer, jsonAt + jsonBytes, arraysAt)
  const entries = count === 0 ? NO_ENTRIES : readEntries(buffer, count, arraysAt)
  if (count === 0 && arraysAt !== buffer.length) throw damaged('goes on after its end')
  if (jsonBytes === 0) {
    if (count !== 0) throw damaged('is undefined and has arrays')
    return undefined
  }
  // Most values that carry an array are one.
  if (count === 1 && jsonBytes === ONE_ARRAY.length && buffer.latin1Slice(jsonAt, jsonAt + jsonBytes) === ONE_ARRAY) {
    return copyOf(buffer, entries[0])
  }

  // Fewer characters cannot be nested too deep.
  if (jsonBytes > 2 * MAX_DEPTH) checkDepth(buffer, jsonAt, jsonAt + jsonBytes)
  const text = buffer.toString('utf8', jsonAt, jsonAt + jsonBytes)
  // What is not UTF-8 has become that character, which may also have been there.
  if (text.includes('\ufffd') && !Buffer.from(text).equals(buffer.subarray(jsonAt, jsonAt + jsonBytes))) throw damaged('is not UTF-8')
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw damaged(`is not JSON: ${error.message}`)
  }
  if (count === 0 && !text.includes('\\u0000')) return value
  const resolver = new Resolver(buffer, entries)
  value = resolver.resolve(value)
  if (resolver.used !== count) throw damaged('has an array that stands nowhere')
  return value
}

const NO_ENTRIES = []
/** The text of a value that is an array. */
const ONE_ARRAY = '"\\u00000"'

/** An array of its own. */
function copyOf(buffer, { type, at, bytes }) {
  const start = buffer.byteOffset + at
  // Twice as fast for short ones as a slice of the buffer; only what was not read from an aligned place needs that.
  if (start % type.BYTES_PER_ELEMENT === 0) return new type(new type(buffer.buffer, start, bytes / type.BYTES_PER_ELEMENT))
  return new type(buffer.buffer.slice(start, start + bytes))
}

function damaged(what) {
  return failure('PROTOCOL', `an encoded value ${what}`)
}

function checkZero(buffer, from, to) {
  for (let k = from; k < to; k++) if (buffer[k] !== 0) throw damaged('has padding that is not zero')
}

/** Type, start and bytes of every array, all of them inside the buffer. */
function readEntries(buffer, count, arraysAt) {
  const entries = []
  let at = arraysAt
  for (let k = 0, entry = HEAD_BYTES; k < count; k++, entry += ENTRY_BYTES) {
    const type = ARRAY_TYPES[buffer.readUInt32LE(entry)]
    if (type === undefined) throw damaged(`has an array of the unknown type ${buffer.readUInt32LE(entry)}`)
    if (buffer.readUInt32LE(entry + 4) !== 0) throw damaged('has an array with a reserved field')
    const bytes = buffer.readUInt32LE(entry + 8) + buffer.readUInt32LE(entry + 12) * 2 ** 32
    if (bytes % type.BYTES_PER_ELEMENT !== 0) throw damaged(`has a ${type.name} of ${bytes} bytes`)
    if (at + padded(bytes) > buffer.length) throw damaged('is shorter than its arrays')
    checkZero(buffer, at + bytes, at + padded(bytes))
    entries.push({ type, at, bytes })
    at += padded(bytes)
  }
  if (at !== buffer.length) throw damaged('goes on after its end')
  return entries
}

/** JSON.parse has no limit, and a bracket in the text is an object of forty times its size in memory. */
function checkDepth(buffer, from, to) {
  let depth = 0
  let quoted = false
  for (let k = from; k < to; k++) {
    const byte = buffer[k]
    if (quoted) {
      if (byte === 0x5c) k += 1
      else if (byte === 0x22) quoted = false
    } else if (byte === 0x22) quoted = true
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1
      if (depth > MAX_DEPTH) throw damaged(`is nested more than ${MAX_DEPTH} deep`)
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1
  }
}

/** Puts arrays and texts where their stand-ins are. */
class Resolver {
  constructor(buffer, entries) {
    this.buffer = buffer
    this.entries = entries
    this.used = 0
  }

  resolve(value) {
    if (typeof value === 'string') return value.charCodeAt(0) === 0 ? this.#standIn(value) : value
    if (value === null || typeof value !== 'object') return value
    if (isArray(value)) {
      for (let k = 0; k < value.length; k++) {
        const element = value[k]
        if (typeof element === 'string' || typeof element === 'object') value[k] = this.resolve(element)
      }
    } else {
      // All are own properties, __proto__ too: JSON.parse defines them.
      for (const key of Object.keys(value)) {
        const property = value[key]
        if (typeof property === 'string' || typeof property === 'object') value[key] = this.resolve(property)
      }
    }
    return value
  }

  #standIn(text) {
    if (text.charCodeAt(1) === 0) return text.slice(1)
    switch (text) {
      case '\0NaN': return NaN
      case '\0Infinity': return Infinity
      case '\0-Infinity': return -Infinity
    }
    const index = Number(text.slice(1))
    const entry = this.entries[index]
    if (entry === undefined || `\0${index}` !== text) throw damaged(`refers to the array ${show(text.slice(1))}, of ${this.entries.length}`)
    this.entries[index] = undefined
    this.used += 1
    return copyOf(this.buffer, entry)
  }
}

module.exports = { encode, decode }
