'use strict'
// CertificateAuthority. Files and signatures are the addon's, on threads of their own; here are arguments and errors.

const path = require('node:path')
const native = require('./native.js')
const { fromNative, invalid, isArray, show } = require('./errors.js')
const { readOptions, checksOf, oneOf, count } = require('./options.js')
const { passphrase, isWellFormed } = require('./passphrase.js')

const ROLES = ['coordinator', 'agent', 'peer']

/** What stands in a SPIFFE name: nothing that means something in a path or a URI. */
function segment(longest) {
  const pattern = new RegExp(`^[A-Za-z0-9._-]{1,${longest}}$`)
  return (name, value) => {
    if (typeof value === 'string' && pattern.test(value) && value !== '.' && value !== '..') return value
    throw invalid(`${name} must be 1 to ${longest} characters of A-Z, a-z, 0-9, '.', '-' and '_', and not '.' or '..', got ${show(value)}`)
  }
}

const swarmName = segment(64)
const memberId = segment(128)

function texts(name, value) {
  if (!isArray(value)) throw invalid(`${name} must be an array of strings, got ${show(value)}`)
  const copy = Array.from(value)
  copy.forEach((item, index) => {
    if (typeof item !== 'string' || item === '') throw invalid(`${name}[${index}] must be a string that is not empty, got ${show(item)}`)
    if (!isWellFormed(item)) throw invalid(`${name}[${index}] is not well-formed Unicode: ${show(item)}`)
  })
  return copy
}

const OPEN = checksOf({ name: swarmName, validDays: count, passphrase })
const GRANTS = checksOf(Object.fromEntries(
  ['agentTypes', 'kinds', 'topics', 'databases'].map((list) => [list, (name, value) => texts(`grants.${name}`, value)]),
))
const ISSUE = checksOf({
  id: memberId,
  role: oneOf(...ROLES),
  hosts: texts,
  validMs: count,
  grants,
})

/** What an identity may do: up to four lists of names. */
function grants(name, value) {
  if (value === null || typeof value !== 'object' || isArray(value) !== false) throw invalid(`${name} must be an object, got ${show(value)}`)
  return readOptions(value, GRANTS, {}, 'grants')
}

function directoryPath(value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw invalid(`directory must be a path, got ${show(value)}`)
  // A change of the working directory meanwhile must not lead elsewhere.
  return path.resolve(value)
}

/** Only `open` has it. */
const OPENED = Symbol('opened')

class CertificateAuthority {
  #native
  #certificate
  #fingerprint

  constructor(token, opened) {
    if (token !== OPENED) throw invalid('a CertificateAuthority is made by CertificateAuthority.open(directory)')
    this.#native = opened
    this.#certificate = opened.certificate
    this.#fingerprint = opened.fingerprint
  }

  static async open(directory, options) {
    const target = directoryPath(directory)
    const o = readOptions(options, OPEN, {}, 'CertificateAuthority.open')
    try {
      return new CertificateAuthority(OPENED, await native.openAuthority(target, o.name, o.validDays ?? 0, o.passphrase))
    } catch (error) {
      throw fromNative(error)
    } finally {
      o.passphrase?.fill(0)
    }
  }

  static #nativeOf(value) {
    return typeof value === 'object' && value !== null && #native in value ? value.#native : undefined
  }

  /** The authority of the addon; undefined for what is no CertificateAuthority. */
  static native(value) {
    return CertificateAuthority.#nativeOf(value)
  }

  get certificate() {
    return this.#certificate
  }

  get fingerprint() {
    return this.#fingerprint
  }

  async issue(request) {
    const { id, role, hosts = [], validMs = 0, grants = {} } = readOptions(request, ISSUE, {}, 'CertificateAuthority.issue')
    if (id === undefined) throw invalid('id is required: who is to hold the certificate')
    if (role === undefined) throw invalid(`role is required: ${ROLES.map((x) => `'${x}'`).join(' or ')}`)
    const { agentTypes, kinds, topics, databases } = grants
    try {
      const issued = await this.#native.issue(id, ROLES[role], hosts, validMs, agentTypes, kinds, topics, databases)
      const { certificate, privateKey, ca, serial, notAfter } = issued
      return { certificate, privateKey, ca, id, role: ROLES[role], serial, notAfter }
    } catch (error) {
      throw fromNative(error)
    }
  }

  async revoke(idOrSerial, reason) {
    if (typeof idOrSerial !== 'string' || idOrSerial === '') throw invalid(`idOrSerial must be an id or a serial number, got ${show(idOrSerial)}`)
    if (reason !== undefined && typeof reason !== 'string') throw invalid(`reason must be a string, got ${show(reason)}`)
    if (reason !== undefined && !isWellFormed(reason)) throw invalid(`reason is not well-formed Unicode: ${show(reason)}`)
    try {
      await this.#native.revoke(idOrSerial, reason)
    } catch (error) {
      throw fromNative(error)
    }
  }

  async adopt(predecessor) {
    const before = CertificateAuthority.#nativeOf(predecessor)
    if (before === undefined) throw invalid(`predecessor must be a CertificateAuthority, got ${show(predecessor)}`)
    try {
      return await this.#native.adopt(before)
    } catch (error) {
      throw fromNative(error)
    }
  }

  async #certificates() {
    try {
      return await this.#native.list()
    } catch (error) {
      throw fromNative(error)
    }
  }

  async revoked() {
    const revoked = (await this.#certificates()).filter(({ revokedAt }) => revokedAt != null)
    return revoked.map(({ serial, id, revokedAt: at, reason }) => reason == null ? { serial, id, at } : { serial, id, at, reason })
  }

  async list() {
    return (await this.#certificates()).map(({ serial, id, role, notAfter, revokedAt, agentTypes, kinds, topics, databases }) => {
      const lists = Object.entries({ agentTypes, kinds, topics, databases }).filter(([, list]) => list != null)
      return { serial, id, role, notAfter, revoked: revokedAt != null, grants: Object.fromEntries(lists) }
    })
  }
}

const nativeAuthority = CertificateAuthority.native
// For the rest of the facade, not for users.
delete CertificateAuthority.native

module.exports = { CertificateAuthority, nativeAuthority, grants, memberId }
