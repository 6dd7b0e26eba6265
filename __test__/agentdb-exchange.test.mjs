// The bytes in which values cross between the engine and a driver.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'
import { generator, integer, pick } from './support/random.mjs'

const { Exchange } = createRequire(import.meta.url)('../js/agentdb/exchange.js')

/** What the engine reads: rows, by the layout in src/node/sync/exchange.rs. */
function read(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 8
  const value = () => {
    const tag = bytes[at++]
    if (tag === 0) return null
    if (tag <= 2) {
      at += 8
      return tag === 1 ? view.getBigInt64(at - 8, true) : view.getFloat64(at - 8, true)
    }
    const from = at + 4
    at = from + view.getUint32(at, true)
    return tag === 3 ? bytes.toString('utf8', from, at) : Uint8Array.from(bytes.subarray(from, at))
  }
  const rows = Array.from({ length: view.getUint32(0, true) }, () => Array.from({ length: view.getUint32(4, true) }, value))
  assert.equal(at, bytes.length)
  return rows
}

const VALUES = [null, 0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), -0, 1e300, 5e-324, '', 'plain', 'na\u00efve \u{1f600} \u4e2d', 'nul\0inside', new Uint8Array(0), Uint8Array.of(0, 255, 3)]

test('rows of every kind of value, also more than there was room for', () => {
  const random = generator(1)
  const exchange = new Exchange()
  const first = exchange.bytes.length
  for (let round = 0; round < 200; round++) {
    const columns = integer(random, 1, 9)
    const long = () => pick(random, [...VALUES, 'x\u00e9'.repeat(integer(random, 0, 9000)), new Uint8Array(integer(random, 0, 20_000)).fill(7)])
    const rows = Array.from({ length: integer(random, 0, 12) }, () => Array.from({ length: columns }, long))
    const length = exchange.put(rows)
    assert.deepEqual(read(exchange.bytes.subarray(0, length)), rows)
  }
  assert.ok(exchange.bytes.length > first)
})

test('parameters are read as they were written, and blobs are not copied', () => {
  const exchange = new Exchange()
  // Parameters have no number of columns: one row without that word.
  const row = [...VALUES, 'y'.repeat(100_000)]
  const length = exchange.put([row])
  exchange.bytes.copyWithin(4, 8, length)
  exchange.view.setUint32(0, row.length, true)
  const values = exchange.values()
  assert.deepEqual(values.map((value) => (value instanceof Uint8Array ? Uint8Array.from(value) : value)), row)
  assert.equal(values.find((value) => value instanceof Uint8Array).buffer, exchange.bytes.buffer)
})

test('room that is made keeps what was asked for', () => {
  const exchange = new Exchange()
  exchange.bytes.write('kept', 0)
  exchange.room(exchange.bytes.length + 1, 4)
  assert.equal(exchange.bytes.toString('latin1', 0, 4), 'kept')
  const { bytes } = exchange
  exchange.room(bytes.length, 4)
  assert.equal(exchange.bytes, bytes)
})
