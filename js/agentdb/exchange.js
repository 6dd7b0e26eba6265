'use strict'
// Values between the engine and the drivers, as bytes in one piece of memory that both sides see. An array of JavaScript values
// costs the addon a call for each of them; here both sides read and write memory. The layout is in src/node/sync/exchange.rs.

const FIRST_BYTES = 64 * 1024

const TAG = Object.freeze({ null: 0, integer: 1, real: 2, text: 3, blob: 4 })

class Exchange {
  constructor() {
    this.replace(FIRST_BYTES)
  }

  replace(length) {
    // Of its own, not a part of the pool of small buffers.
    this.bytes = Buffer.allocUnsafeSlow(length)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, length)
  }

  /** From now on there are at least so many bytes; what is in the first `kept` of them stays. */
  room(length, kept = 0) {
    if (length <= this.bytes.length) return
    const before = this.bytes
    this.replace(Math.max(length, 2 * before.length))
    before.copy(this.bytes, 0, 0, kept)
  }

  /** The parameters that the engine has written. Blobs are views: they hold until the next call. */
  values() {
    const { bytes, view } = this
    const values = new Array(view.getUint32(0, true))
    let at = 4
    for (let i = 0; i < values.length; i++) {
      switch (bytes[at++]) {
        case TAG.null:
          values[i] = null
          break
        case TAG.integer:
          values[i] = view.getBigInt64(at, true)
          at += 8
          break
        case TAG.real:
          values[i] = view.getFloat64(at, true)
          at += 8
          break
        case TAG.text: {
          const end = at + 4 + view.getUint32(at, true)
          values[i] = bytes.toString('utf8', at + 4, end)
          at = end
          break
        }
        default: {
          const end = at + 4 + view.getUint32(at, true)
          values[i] = bytes.subarray(at + 4, end)
          at = end
        }
      }
    }
    return values
  }

  /** Writes rows for the engine; the bytes that they take. */
  put(rows) {
    let at = 8
    this.view.setUint32(0, rows.length, true)
    this.view.setUint32(4, rows.length === 0 ? 0 : rows[0].length, true)
    for (const row of rows) for (const value of row) at = this.#put(value, at)
    return at
  }

  #put(value, at) {
    // A character takes three bytes at most: one outside the first plane is two of a string's, and takes four.
    this.room(at + 9 + (typeof value === 'string' ? 3 * value.length : value?.length ?? 0), at)
    const { bytes, view } = this
    switch (typeof value) {
      case 'bigint':
        bytes[at] = TAG.integer
        view.setBigInt64(at + 1, value, true)
        return at + 9
      case 'number':
        bytes[at] = TAG.real
        view.setFloat64(at + 1, value, true)
        return at + 9
      case 'string': {
        const length = bytes.write(value, at + 5, 'utf8')
        bytes[at] = TAG.text
        view.setUint32(at + 1, length, true)
        return at + 5 + length
      }
      default:
        if (value === null) {
          bytes[at] = TAG.null
          return at + 1
        }
        bytes[at] = TAG.blob
        view.setUint32(at + 1, value.length, true)
        bytes.set(value, at + 5)
        return at + 5 + value.length
    }
  }
}

module.exports = { Exchange }
