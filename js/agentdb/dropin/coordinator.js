'use strict'
// SyncCoordinator with the shape of AgentDB's: brings a database and a client together, on demand or all the time.

const { failure, invalid, show } = require('../../errors.js')
const { callback, count, readOptions, checksOf } = require('../../options.js')
const { QUICClient } = require('./client.js')
const { QUICServer } = require('./server.js')
const { database } = require('./options.js')
const { settle } = require('./settle.js')

const CONFIG = checksOf({
  db: database,
  client(name, value) {
    if (value instanceof QUICClient) return value
    throw invalid(`${name} must be a QUICClient of this package, got ${show(value)}`)
  },
  server(name, value) {
    if (value instanceof QUICServer) return value
    throw invalid(`${name} must be a QUICServer of this package, got ${show(value)}`)
  },
  conflictStrategy(name, value) {
    if (value === 'latest-wins' || value === 'merge') return value
    throw invalid(`${name} must be 'latest-wins' or 'merge', which are one here (the later write wins, counts are added up), got ${show(value)}: nodes that decide otherwise would not agree`)
  },
  batchSize: count,
  autoSync(name, value) {
    if (typeof value === 'boolean') return value
    throw invalid(`${name} must be a boolean, got ${show(value)}`)
  },
  syncIntervalMs: count,
  onError: callback,
})

class SyncCoordinator {
  #config
  #state = { lastSyncAt: 0, lastEpisodeSync: 0, lastSkillSync: 0, lastEdgeSync: 0, totalItemsSynced: 0, totalBytesSynced: 0, syncCount: 0 }
  #running = false
  #timer = null

  constructor(config) {
    this.#config = readOptions(config, CONFIG, { autoSync: false, syncIntervalMs: 60_000 }, 'SyncCoordinator')
    if (this.#config.db === undefined) throw invalid('SyncCoordinator needs db')
    this.#config.client?.use(this.#config.db)
    if (this.#config.autoSync) this.#startAutoSync()
  }

  /** Both ways, until both sides have what the other had when it was called. Resolves also when it failed: `success` says so. */
  async sync(onProgress) {
    if (onProgress !== undefined) callback('onProgress', onProgress)
    if (this.#running) throw failure('INVALID_ARGUMENT', 'a sync is in progress already')
    if (this.#config.client === undefined) throw invalid('SyncCoordinator needs a client to sync with')
    this.#running = true
    const startTime = Date.now()
    const report = { success: false, startTime, endTime: startTime, durationMs: 0, itemsPushed: 0, itemsPulled: 0, conflictsResolved: 0, errors: [], bytesTransferred: 0 }
    try {
      onProgress?.({ phase: 'detecting', current: 0, total: 0 })
      const sync = await this.#config.client[Symbol.for('midstreamer.sync')]()
      onProgress?.({ phase: 'pushing', current: 0, total: 0 })
      const done = await settle(sync, 120_000, (current, total) => onProgress?.({ phase: 'pulling', current, total }))
      Object.assign(report, { success: true, itemsPushed: done.pushed, itemsPulled: done.pulled, conflictsResolved: done.conflicts, bytesTransferred: done.bytes })
      const now = Date.now()
      Object.assign(this.#state, { lastSyncAt: now, lastEpisodeSync: now, lastSkillSync: now, lastEdgeSync: now })
      this.#state.totalItemsSynced += done.pushed + done.pulled
      this.#state.totalBytesSynced += done.bytes
      delete this.#state.lastError
      onProgress?.({ phase: 'completed', current: done.pushed + done.pulled, total: done.pushed + done.pulled })
    } catch (error) {
      report.errors.push(error.message)
      this.#state.lastError = error.message
      onProgress?.({ phase: 'error', current: 0, total: 0, error: error.message })
    } finally {
      this.#running = false
      this.#state.syncCount += 1
    }
    report.endTime = Date.now()
    report.durationMs = report.endTime - startTime
    return report
  }

  /** Changes travel as they are made, whether or not somebody asks; this keeps the state and the reports up to date. */
  #startAutoSync() {
    if (this.#timer !== null) return
    const { syncIntervalMs, onError } = this.#config
    this.#timer = setInterval(async () => {
      if (this.#running) return
      const { success, errors } = await this.sync().catch((error) => ({ success: false, errors: [error.message] }))
      if (!success) onError?.(failure('CONNECTION', errors[0]))
    }, syncIntervalMs)
    this.#timer.unref?.()
  }

  stopAutoSync() {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  getSyncState() {
    return { ...this.#state }
  }

  getStatus() {
    return { isSyncing: this.#running, autoSyncEnabled: this.#timer !== null, state: this.getSyncState() }
  }
}

module.exports = { SyncCoordinator }
