'use strict'
// QUICClient with the shape of AgentDB's: connects to a QUICServer of ours, for the database that it is given or that its
// SyncCoordinator has.

const { invalid } = require('../../errors.js')
const { callback, count, readOptions, checksOf } = require('../../options.js')
const { database, object, port, text, token } = require('./options.js')
const { databaseName, hold, identityOf, release } = require('./shared.js')
const { settle } = require('./settle.js')

const CONFIG = checksOf({
  serverHost: text,
  serverPort: port,
  authToken: token,
  tlsConfig: object,
  identity: object,
  db: database,
  database: text,
  keyring: object,
  timeoutMs: count,
  // One connection carries everything and dials again by itself: these three are taken and change nothing.
  poolSize: count,
  maxRetries(name, value) {
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw invalid(`${name} must be an integer >= 0`)
  },
  retryDelayMs: count,
})

const REQUEST = checksOf({
  type(name, value) {
    if (['episodes', 'skills', 'edges', 'full'].includes(value)) return value
    throw invalid(`${name} must be 'episodes', 'skills', 'edges' or 'full'`)
  },
  since(name, value) {
    if (Number.isFinite(value)) return value
    throw invalid(`${name} must be a number`)
  },
  filters: object,
  batchSize: count,
  onProgress: callback,
  data(name, value) {
    if (Array.isArray(value)) return value
    throw invalid(`${name} must be an array of rows`)
  },
})

class QUICClient {
  #config
  #identity
  #db
  #sync
  #requests = 0

  constructor(config) {
    this.#config = readOptions(config, CONFIG, { authToken: '', database: 'agentdb', timeoutMs: 30_000 }, 'QUICClient')
    if (this.#config.serverHost === undefined || this.#config.serverPort === undefined) throw invalid('QUICClient needs serverHost and serverPort')
    this.#identity = identityOf('QUICClient', this.#config)
    this.#db = this.#config.db
  }

  /** The database that a SyncCoordinator brings. */
  use(db) {
    database('db', db)
    if (this.#db !== undefined && this.#db !== db) throw invalid('this QUICClient replicates another database already')
    this.#db = db
  }

  async connect() {
    if (this.#sync !== undefined) return
    if (this.#db === undefined) throw invalid('a QUICClient needs a database: give it db, or give it to a SyncCoordinator with one')
    const { serverHost, serverPort, authToken, keyring, timeoutMs } = this.#config
    const host = serverHost.includes(':') && !serverHost.startsWith('[') ? `[${serverHost}]` : serverHost
    const sync = await hold(this.#db, databaseName(this.#config.database, authToken), keyring)
    try {
      await sync.connect({ address: `${host}:${serverPort}`, identity: this.#identity, connectTimeoutMs: timeoutMs })
    } catch (error) {
      await release(this.#db)
      throw error
    }
    this.#sync = sync
  }

  async disconnect() {
    if (this.#sync === undefined) return
    this.#sync = undefined
    await release(this.#db)
  }

  /** Sends what is new here, waits for what is new there, and says how much it was; rows of `type` come as `data`. */
  async sync(options = {}) {
    const { type = 'full', since = 0, onProgress } = readOptions(options, REQUEST, {}, 'QUICClient.sync')
    const begun = Date.now()
    this.#requests += 1
    try {
      onProgress?.({ phase: 'connecting' })
      await this.connect()
      onProgress?.({ phase: 'syncing' })
      const done = await settle(this.#sync, this.#config.timeoutMs, (itemsSynced, totalItems) => onProgress?.({ phase: 'processing', itemsSynced, totalItems }))
      onProgress?.({ phase: 'completed', itemsSynced: done.pulled, bytesTransferred: done.bytes })
      return { success: true, data: this.#read(type, since), itemsReceived: done.pulled, bytesTransferred: done.bytes, durationMs: Date.now() - begun }
    } catch (error) {
      if (error.code === 'INVALID_ARGUMENT') throw error
      onProgress?.({ phase: 'error', error: error.message })
      return { success: false, itemsReceived: 0, bytesTransferred: 0, durationMs: Date.now() - begun, error: error.message }
    }
  }

  /** AgentDB 3's: all changes of the database travel, whichever rows are named; these are looked up, so that none is missing. */
  async push(options) {
    const { type = 'full', data = [], onProgress } = readOptions(options, REQUEST, {}, 'QUICClient.push')
    const begun = Date.now()
    const table = { episodes: 'episodes', skills: 'skills', edges: 'skill_links' }[type]
    if (table === undefined) throw invalid("type must be 'episodes', 'skills' or 'edges'")
    this.#requests += 1
    try {
      await this.connect()
      const there = this.#db.prepare(`SELECT 1 FROM ${table} WHERE id = ?`)
      const failedItems = data.filter((row) => there.get(row?.id ?? null) === undefined)
      onProgress?.({ phase: 'pushing', totalItems: data.length })
      const done = await settle(this.#sync, this.#config.timeoutMs)
      const itemsPushed = data.length - failedItems.length
      onProgress?.({ phase: 'completed', itemsPushed, totalItems: data.length })
      const missing = failedItems.length === 0 ? {} : { failedItems, error: `${failedItems.length} rows are not in the database: insert them first` }
      return { success: failedItems.length === 0, itemsPushed, bytesTransferred: done.bytes, durationMs: Date.now() - begun, ...missing }
    } catch (error) {
      if (error.code === 'INVALID_ARGUMENT') throw error
      onProgress?.({ phase: 'error', error: error.message })
      return { success: false, itemsPushed: 0, bytesTransferred: 0, durationMs: Date.now() - begun, error: error.message, failedItems: data }
    }
  }

  #read(type, since) {
    const read = (table, column) => this.#db.prepare(`SELECT * FROM ${table} WHERE ${column} > ? ORDER BY ${column}, id`).all(since)
    const all = { episodes: () => read('episodes', 'ts'), skills: () => read('skills', 'updated_at'), edges: () => read('skill_links', 'id') }
    return type === 'full' ? { episodes: all.episodes(), skills: all.skills(), edges: all.edges() } : all[type]()
  }

  /** A round trip: connects if need be, and asks the other side for what it has. */
  async ping() {
    const begun = performance.now()
    try {
      await this.connect()
      await settle(this.#sync, this.#config.timeoutMs)
      return { success: true, latencyMs: performance.now() - begun }
    } catch (error) {
      return { success: false, latencyMs: performance.now() - begun, error: error.message }
    }
  }

  getStatus() {
    const { identity: _identity, tlsConfig: _tls, keyring: _keyring, db: _db, authToken, ...config } = this.#config
    const isConnected = this.#sync !== undefined && this.#sync.status().peers.some((peer) => peer.connected)
    return { isConnected, poolSize: 1, activeConnections: isConnected ? 1 : 0, totalRequests: this.#requests, config: { ...config, authToken: authToken === '' ? '' : '[hidden]' } }
  }

  /** For SyncCoordinator. */
  async [Symbol.for('midstreamer.sync')]() {
    await this.connect()
    return this.#sync
  }
}

module.exports = { QUICClient }
