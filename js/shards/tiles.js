'use strict'
// The upper triangle of a matrix of all pairs, cut into tiles as large as asked for. A tile is a rectangle of rows and
// columns, or a smaller triangle around the diagonal: rows [a, b) against columns [c, d), with a = c and b = d for the
// latter.

/** Values of one tile at most: what is written into the matrix in one turn of the event loop. */
const MAX_PAIRS = 2 ** 18

/** Bytes of the series of one tile, unless it is a single pair. */
const MAX_BYTES = 4 * 2 ** 20

/** Rows that share a vector, at most: cuts fall between such groups where there are many. */
const LANES = 8

class Tile {
  constructor(a, b, c, d) {
    this.a = a
    this.b = b
    this.c = c
    this.d = d
  }

  get isTriangle() {
    return this.a === this.c
  }

  get pairs() {
    const rows = this.b - this.a
    return this.isTriangle ? (rows * (rows - 1)) / 2 : rows * (this.d - this.c)
  }
}

class Tiles {
  /**
   * All pairs of what ends at `ends` in one run of values. `reach` is the most columns that a row is compared with, and
   * `bytes` those of a value on its way.
   */
  constructor(ends, bytes, reach = Infinity) {
    const size = ends.length
    // Of the first i: a few cells more for each, which is what a pair costs beside them.
    this.lengths = new Float64Array(size + 1)
    this.widths = new Float64Array(size + 1)
    this.bytes = new Float64Array(size + 1)
    for (let i = 0; i < size; i++) {
      const length = ends[i] - (i === 0 ? 0 : ends[i - 1])
      this.lengths[i + 1] = this.lengths[i] + length + 16
      this.widths[i + 1] = this.widths[i] + Math.min(length, reach) + 16
      this.bytes[i + 1] = this.bytes[i] + length * bytes + 16
    }
    this.maxPairs = MAX_PAIRS
    this.maxBytes = MAX_BYTES
    /** Not handed out yet. The last is next. */
    this.left = size < 2 ? [] : [new Tile(0, size, 0, size)]
    this.costLeft = size < 2 ? 0 : this.cost(this.left[0])
  }

  get isEmpty() {
    return this.left.length === 0
  }

  /** About how many cells it has. */
  cost({ a, b, c, d, isTriangle }) {
    const cells = (this.lengths[b] - this.lengths[a]) * (this.widths[d] - this.widths[c])
    return isTriangle ? cells / 2 : cells
  }

  #bytesOf({ a, b, c, d, isTriangle }) {
    return this.bytes[b] - this.bytes[a] + (isTriangle ? 0 : this.bytes[d] - this.bytes[c])
  }

  /** A tile of at most about so many cells; a single pair may have more. None when all are handed out. */
  take(cells) {
    while (this.left.length > 0) {
      const tile = this.left.pop()
      const cost = this.cost(tile)
      const { pairs } = tile
      const parts = Math.max(cost / cells, pairs / this.maxPairs, this.#bytesOf(tile) / this.maxBytes)
      if (parts <= 1 || pairs === 1) {
        this.costLeft -= cost
        return tile
      }
      this.#cut(tile, parts)
    }
    return undefined
  }

  /** It is to be handed out again, in smaller parts. False for a single pair. */
  shrink(tile) {
    if (tile.pairs === 1) return false
    this.maxBytes = Math.min(this.maxBytes, this.#bytesOf(tile)) / 2
    this.maxPairs = Math.ceil(Math.min(this.maxPairs, tile.pairs) / 2)
    this.left.push(tile)
    this.costLeft += this.cost(tile)
    return true
  }

  /** Puts smaller tiles in place of one, that which is next of about a part of so many. */
  #cut(tile, parts) {
    const { a, b, c, d } = tile
    this.costLeft -= this.cost(tile)
    if (tile.isTriangle) {
      const middle = between(a, b, 2)
      this.#put(a, middle, middle, b)
      this.#put(middle, b, middle, b)
      this.#put(a, middle, a, middle)
    } else if (b - a >= d - c) {
      const middle = between(a, b, parts)
      this.#put(middle, b, c, d)
      this.#put(a, middle, c, d)
    } else {
      const middle = between(c, d, parts)
      this.#put(a, b, middle, d)
      this.#put(a, b, c, middle)
    }
  }

  #put(a, b, c, d) {
    const tile = new Tile(a, b, c, d)
    if (tile.pairs === 0) return
    this.left.push(tile)
    this.costLeft += this.cost(tile)
  }
}

/** Where [start, end) is cut so that what comes first is one of `parts`, but never less than a quarter. */
function between(start, end, parts) {
  const length = end - start
  const first = length / Math.min(Math.max(parts, 2), 4)
  return start + (length >= 4 * LANES ? Math.ceil(first / LANES) * LANES : Math.max(1, Math.floor(first)))
}

module.exports = { Tiles }
