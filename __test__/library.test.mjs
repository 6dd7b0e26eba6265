// PatternLibrary against brute force: dtwBatch over everything that is in the library, sorted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dtwBatch, PatternLibrary } from '@neural-trader/midstreamer'
import { rejects, throws } from './support/assertions.mjs'
import { generator, integer, pick, series, walk } from './support/random.mjs'

/** What a library must be equal to: patterns in the order of adding, compared with everything. */
class Model {
  constructor(options) {
    this.options = options
    this.patterns = []
  }

  async search(query, { k = 10, maxDistance = Infinity, asOf } = {}) {
    const { length, ...options } = this.options
    const eligible = this.patterns.filter(({ meta }) => asOf === undefined || (Number.isFinite(meta?.endsAt) && meta.endsAt <= asOf))
    const distances = await dtwBatch(query, eligible.map(({ values }) => values), { ...options, maxDistance })
    return eligible
      .map(({ id, meta }, index) => ({ id, meta, index, distance: distances[index] }))
      .filter(({ distance }) => distance <= maxDistance && (distance < Infinity || maxDistance === Infinity))
      .sort((a, b) => a.distance - b.distance || a.index - b.index)
      .slice(0, k)
      .map(({ id, meta, distance }) => {
        const similarity = 1 / (1 + distance / length)
        return meta === undefined ? { id, distance, similarity } : { id, distance, similarity, meta }
      })
  }
}

function randomShape(random) {
  const shape = {
    length: integer(random, 1, 24),
    channels: pick(random, [undefined, undefined, 1, 2]),
    metric: pick(random, [undefined, 'absolute', 'squared', 'euclidean']),
    window: pick(random, [undefined, undefined, 0, 2, 100]),
    normalize: pick(random, [undefined, 'none', 'zscore', 'minmax']),
  }
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined))
}

function randomMeta(random) {
  return pick(random, [undefined, null, { endsAt: integer(random, 0, 9) }, { endsAt: integer(random, 0, 9) }, { endsAt: NaN }, { label: 'x' }])
}

function randomSearch(random, size) {
  const options = {
    k: pick(random, [undefined, 1, 2, 10, size + 5]),
    maxDistance: pick(random, [undefined, undefined, 0, 3, 100]),
    asOf: pick(random, [undefined, undefined, 0, 4, 9, Infinity, -Infinity]),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

test('search and searchSync equal brute force after any changes', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = generator(seed)
    const shape = randomShape(random)
    const row = shape.length * (shape.channels ?? 1)
    const library = new PatternLibrary(shape)
    const model = new Model(shape)
    let next = 0
    const pattern = () => {
      const meta = randomMeta(random)
      const values = pick(random, [
        () => series(random, row), () => new Float64Array(row).fill(integer(random, 0, 2)),
        () => model.patterns.at(-1)?.values ?? series(random, row),
      ])()
      return meta === undefined ? { id: `p${next++}`, values } : { id: `p${next++}`, values, meta }
    }
    for (let round = 0; round < 12; round++) {
      const change = integer(random, 0, 3)
      if (change === 0) {
        const one = pattern()
        library.add(one)
        model.patterns.push(one)
      } else if (change === 1) {
        const many = Array.from({ length: integer(random, 0, 300) }, pattern)
        library.add(many)
        model.patterns.push(...many)
      } else if (change === 2) {
        const many = Array.from({ length: integer(random, 0, 40) }, pattern)
        const data = new Float64Array(many.length * row)
        many.forEach(({ values }, i) => data.set(values, i * row))
        library.add({ ids: many.map(({ id }) => id), data, meta: many.map(({ meta }) => meta) })
        model.patterns.push(...many)
      } else {
        const [from, count] = [integer(random, 0, model.patterns.length), integer(random, 0, 250)]
        for (const { id } of model.patterns.splice(from, count)) assert.equal(library.remove(id), true)
        assert.equal(library.remove('p-1'), false)
      }
      assert.equal(library.size, model.patterns.length)
      const query = series(random, row)
      const options = randomSearch(random, library.size)
      const expected = await model.search(query, options)
      assert.deepEqual(library.searchSync(query, options), expected, `seed ${seed} ${JSON.stringify({ shape, options })}`)
      assert.deepEqual(await library.search(query, options), expected)
      const { candidates, prunedByBound, abandoned, computed, elapsedMs } = library.lastSearch
      assert.equal(candidates, prunedByBound + abandoned + computed)
      assert.ok(elapsedMs >= 0 && elapsedMs < 10_000)
    }
  }
})

test('a search sees the library as it was when it was called', async () => {
  const random = generator(7)
  const library = new PatternLibrary({ length: 64, normalize: 'zscore' })
  const patterns = Array.from({ length: 2000 }, (_, i) => ({ id: `p${i}`, values: walk(random, 64), meta: { i } }))
  library.add(patterns)
  const query = walk(random, 64)
  const before = library.searchSync(query, { k: 2000 })
  assert.equal(before.length, 2000)
  const search = library.search(query, { k: 2000 })
  for (const { id } of patterns.slice(0, 1500)) library.remove(id)
  library.add({ id: 'new', values: query })
  const [nearest] = library.searchSync(query, { k: 1 })
  assert.equal(nearest.id, 'new')
  assert.deepEqual(await search, before)
  assert.equal(library.size, 501)
})

test('bad arguments are errors that name them, and change nothing', async () => {
  const library = new PatternLibrary({ length: 3 })
  library.add({ id: 'there', values: [1, 2, 3] })
  const good = { id: 'good', values: [1, 2, 3] }
  throws(() => library.add([good, { id: 'there', values: [1, 2, 3] }]), 'INVALID_ARGUMENT', 'patterns[1].id', '"there"')
  throws(() => library.add([good, good]), 'INVALID_ARGUMENT', 'patterns[1].id', '"good"', 'twice')
  throws(() => library.add([good, { id: 'x', values: [1, NaN, 3] }]), 'NON_FINITE', 'patterns[1].values[1] is NaN')
  throws(() => library.add([good, { id: 'x', values: [1, 2] }]), 'LENGTH_MISMATCH', 'patterns[1].values holds 2 values', '3')
  throws(() => library.searchSync([1, 2]), 'LENGTH_MISMATCH', 'query holds 2 values', '3')
  await rejects(() => library.search([1, 2, Infinity]), 'NON_FINITE', 'query[2] is Infinity')
  assert.equal(library.size, 1)
})
