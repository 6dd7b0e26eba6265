'use strict'
// QUICServer with the shape of AgentDB's: listens, and replicates with whoever connects.

const { invalid } = require('../../errors.js')
const { readOptions, checksOf } = require('../../options.js')
const { database, object, port, text, token, unsupported } = require('./options.js')
const { databaseName, hold, identityOf, release } = require('./shared.js')

const CONFIG = checksOf({
  host: text,
  port,
  authToken: token,
  tlsConfig: object,
  identity: object,
  database: text,
  keyring: object,
  maxConnections: unsupported('a node takes 64 connections at most, each with a certificate of its own authority'),
  rateLimit: unsupported('a peer may have 8 MiB unacknowledged, and is held up beyond that; it is not cut off'),
})

/** The tables behind AgentDB's names for them, with the column that their requests count from. */
const TABLES = { episodes: ['episodes', 'ts'], skills: ['skills', 'updated_at'], edges: ['skill_links', 'id'] }

class QUICServer {
  #db
  #config
  #identity
  #sync
  #address = null
  #served = 0

  constructor(db, config = {}) {
    this.#db = database('db', db)
    this.#config = readOptions(config, CONFIG, { host: '0.0.0.0', port: 4433, authToken: '', database: 'agentdb' }, 'QUICServer')
    this.#identity = identityOf('QUICServer', this.#config)
  }

  /** host:port once it listens. */
  get address() {
    return this.#address
  }

  async start() {
    if (this.#sync !== undefined) return
    const { host, port: wanted, authToken, keyring } = this.#config
    const sync = await hold(this.#db, databaseName(this.#config.database, authToken), keyring)
    try {
      this.#address = await sync.listen({ listen: `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${wanted}`, identity: this.#identity })
    } catch (error) {
      await release(this.#db)
      throw error
    }
    this.#sync = sync
  }

  async stop() {
    if (this.#sync === undefined) return
    this.#sync = undefined
    this.#address = null
    await release(this.#db)
  }

  /**
   * What AgentDB's server answers to a request for rows, from the database itself: rows after `since`, at most `batchSize` at
   * once, and a cursor that goes on after them. Replication does not need it.
   */
  async processSyncRequest(clientId, request, authToken = '') {
    text('clientId', clientId)
    if (authToken !== this.#config.authToken) return { success: false, error: 'Authentication failed' }
    const { type, since = 0, batchSize = 1000 } = object('request', request)
    if (type !== 'full' && !Object.hasOwn(TABLES, type)) return { success: false, error: `Unknown sync type: ${type}` }
    if (!Number.isInteger(batchSize) || batchSize < 1) throw invalid('request.batchSize must be an integer >= 1')
    this.#served += 1
    const read = (name) => this.#rows(name, since, batchSize)
    if (type !== 'full') return read(type)
    const [episodes, skills, edges] = ['episodes', 'skills', 'edges'].map(read)
    const all = { episodes: episodes.data, skills: skills.data, edges: edges.data }
    return { success: true, data: all, count: episodes.count + skills.count + edges.count, hasMore: episodes.hasMore || skills.hasMore || edges.hasMore }
  }

  #rows(name, since, batchSize) {
    const [table, column] = TABLES[name]
    const rows = this.#db.prepare(`SELECT * FROM ${table} WHERE ${column} > ? ORDER BY ${column}, id LIMIT ?`).all(since, batchSize + 1)
    const hasMore = rows.length > batchSize
    let data = hasMore ? rows.slice(0, batchSize) : rows
    if (hasMore) {
      // Rows of one second belong together: a cursor between them would leave the others out.
      const cut = rows[batchSize][column]
      const whole = data.filter((row) => row[column] !== cut)
      data = whole.length > 0 ? whole : this.#db.prepare(`SELECT * FROM ${table} WHERE ${column} = ? ORDER BY id`).all(cut)
    }
    return { success: true, data, count: data.length, hasMore, ...(data.length > 0 && { nextCursor: data[data.length - 1][column] }) }
  }

  getStatus() {
    const { identity: _identity, tlsConfig: _tls, keyring: _keyring, authToken, ...config } = this.#config
    return {
      isRunning: this.#sync !== undefined,
      activeConnections: this.getConnections().length,
      totalRequests: this.#served,
      config: { ...config, authToken: authToken === '' ? '' : '[hidden]' },
      address: this.#address,
    }
  }

  getConnections() {
    return this.#sync === undefined ? [] : this.#sync.status().peers.filter((peer) => peer.connected)
  }
}

module.exports = { QUICServer }
