'use strict'
// Keyring. Keys, files and ciphers are the addon's; here are arguments, memory and errors.

const path = require('node:path')
const native = require('./native.js')
const { failure, fromNative, invalid, show } = require('./errors.js')
const { readOptions, checksOf } = require('./options.js')
const { AUDIT_KEY } = require('./audit-key.js')
const { passphrase, isWellFormed } = require('./passphrase.js')
const { kindOf, refuseDetached, allocate, unshared, toSeries } = require('./series.js')

/** By how many bytes what is sealed is longer: header and tag. */
const OVERHEAD = 44

/** What one envelope holds at most, in bytes. */
const MOST_BYTES = 2 ** 30

/** What a context takes at most, in bytes of UTF-8. */
const LONGEST_CONTEXT = 65_536

const OPEN = checksOf({
  passphrase,
  create(name, value) {
    if (typeof value === 'boolean') return value
    throw invalid(`${name} must be a boolean, got ${show(value)}`)
  },
  audit(name, value) {
    if (typeof value?.[AUDIT_KEY] !== 'function') throw invalid(`${name} must be a Coordinator, got ${show(value)}`)
    if (value.auditLog() === null) throw invalid(`${name} needs a Coordinator with a dataDir: this one keeps no audit log`)
    return value
  },
})

function filePath(value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalid(`path must be a path, got ${show(value)}`)
  // A change of the working directory meanwhile must not lead elsewhere.
  return path.resolve(value)
}

/** What is there may be secret, and was perhaps only not encoded: no message shows it. */
function bytes(name, value) {
  if (kindOf(value) !== 'Uint8Array') throw invalid(`${name} must be a Uint8Array, got a value of type ${typeof value}`)
  refuseDetached(name, value)
  return unshared(name, value, Uint8Array)
}

/** No context is the empty one. */
function contextOf(value) {
  if (value === undefined) return ''
  if (typeof value !== 'string') throw invalid(`context must be a string, got ${show(value)}`)
  if (value.length > LONGEST_CONTEXT) throw invalid(`context has ${value.length} characters, more than the ${LONGEST_CONTEXT} bytes that it may take`)
  // Two that differ in half a character would become one.
  if (!isWellFormed(value)) throw invalid(`context is not well-formed Unicode: ${show(value)}`)
  return value
}

function idOf(value) {
  if (typeof value === 'string' && value !== '') return value
  throw invalid(`keyId must be the id of a key, got ${show(value)}`)
}

function room(name, size) {
  if (size > MOST_BYTES) throw failure('TOO_LARGE', `${name} takes ${size} bytes, more than the ${MOST_BYTES} that can be sealed at once`)
  return allocate(name, Uint8Array, size + OVERHEAD)
}

/** The call, with our errors. */
function now(call) {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

/** Only `open` has it. */
const OPENED = Symbol('opened')

class Keyring {
  #native
  #audit

  constructor(token, opened, audit) {
    if (token !== OPENED) throw invalid('a Keyring is made by Keyring.open(path)')
    this.#native = opened
    this.#audit = audit
  }

  /** A step that was made; it is made also when it cannot be written down, and then the caller has to know both. */
  async #told(step, keyId) {
    if (this.#audit === undefined) return
    try {
      await this.#audit[AUDIT_KEY](step, keyId)
    } catch (error) {
      throw failure(error.code ?? 'STORE', `the key ${keyId} has made the step '${step}', and the audit log does not have it: ${error.message}`)
    }
  }

  static async open(path, options) {
    const target = filePath(path)
    const o = readOptions(options, OPEN, {}, 'Keyring.open')
    try {
      return new Keyring(OPENED, await native.openKeyring(target, o.passphrase, o.create ?? true), o.audit)
    } catch (error) {
      throw fromNative(error)
    } finally {
      o.passphrase?.fill(0)
    }
  }

  /** The keyring of the addon; undefined for what is no Keyring. */
  static native(value) {
    return typeof value === 'object' && value !== null && #native in value ? value.#native : undefined
  }

  get currentKeyId() {
    return now(() => this.#native.currentKeyId)
  }

  keys() {
    return now(() => this.#native.keys()).map(({ id, state, createdAt }) => ({ id, state, createdAt }))
  }

  async generate() {
    const id = await this.#change('generate')
    await this.#told('generate', id)
    return id
  }

  async export(keyId, secret) {
    const id = idOf(keyId)
    const own = passphrase('passphrase', secret)
    try {
      const exported = await this.#change('export', id, own)
      await this.#told('export', id)
      return exported
    } finally {
      own.fill(0)
    }
  }

  async install(exported, secret) {
    const key = bytes('exported', exported)
    const own = passphrase('passphrase', secret)
    try {
      const id = await this.#change('install', key, own)
      await this.#told('install', id)
      return id
    } finally {
      own.fill(0)
    }
  }

  async use(keyId) {
    await this.#change('use', idOf(keyId))
    await this.#told('use', keyId)
  }

  async rotate() {
    const id = await this.#change('rotate')
    await this.#told('rotate', id)
    return id
  }

  async retire(keyId) {
    await this.#change('retire', idOf(keyId))
    await this.#told('retire', keyId)
  }

  async remove(keyId) {
    await this.#change('remove', idOf(keyId))
    await this.#told('remove', keyId)
  }

  async #change(step, ...args) {
    try {
      return await this.#native[step](...args)
    } catch (error) {
      throw fromNative(error)
    }
  }

  seal(plaintext, context) {
    const bound = contextOf(context)
    const plain = bytes('plaintext', plaintext)
    const out = room('plaintext', plain.length)
    now(() => this.#native.seal(plain, bound, out))
    return out
  }

  open(sealed, context) {
    const bound = contextOf(context)
    const closed = bytes('sealed', sealed)
    const out = allocate('sealed', Uint8Array, Math.max(0, closed.length - OVERHEAD))
    now(() => this.#native.open(closed, bound, out))
    return out
  }

  sealSeries(values, context) {
    const bound = contextOf(context)
    const series = toSeries('values', values)
    const out = room('values', series.length * 8)
    now(() => this.#native.sealSeries(series, bound, out))
    return out
  }

  openSeries(sealed, context) {
    const bound = contextOf(context)
    const closed = bytes('sealed', sealed)
    const out = allocate('sealed', Float64Array, Math.max(0, Math.floor((closed.length - OVERHEAD) / 8)))
    now(() => this.#native.openSeries(closed, bound, out))
    return out
  }

  reseal(sealed, context) {
    const bound = contextOf(context)
    const closed = bytes('sealed', sealed)
    return now(() => this.#native.reseal(closed, bound)) ?? sealed
  }
}

const nativeKeyring = Keyring.native
// For the rest of the facade, not for users.
delete Keyring.native

module.exports = { Keyring, nativeKeyring, contextOf }
