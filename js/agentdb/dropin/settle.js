'use strict'
// One round of both directions, for classes that ask for one: what is new here is there, and what was new there is here.

const { setTimeout: sleep } = require('node:timers/promises')
const { failure } = require('../../errors.js')

/** How often to look whether everything has come; only while somebody waits. */
const LOOK_MS = 5

/** @returns {Promise<{ pushed: number, pulled: number, conflicts: number, bytes: number }>} what was moved meanwhile */
async function settle(sync, timeoutMs, onProgress) {
  const before = sync.status()
  const { rows } = await sync.flush({ scope: 'relay', timeoutMs })
  const begun = performance.now()
  for (;;) {
    const now = sync.status()
    const waits = now.peers.filter((peer) => peer.connected).reduce((sum, peer) => sum + peer.missing, 0)
    const pulled = now.appliedRows - before.appliedRows
    if (waits === 0) return { pushed: rows, pulled, conflicts: now.conflicts - before.conflicts, bytes: now.bytesIn + now.bytesOut - before.bytesIn - before.bytesOut }
    onProgress?.(pulled, pulled + waits)
    if (performance.now() - begun > timeoutMs) throw failure('TIMEOUT', `${waits} rows had not come within ${timeoutMs} ms`)
    await sleep(LOOK_MS)
  }
}

module.exports = { settle }
