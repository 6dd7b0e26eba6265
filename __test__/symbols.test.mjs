// LCS, Levenshtein and LCSS against the textbook, over every kind of sequence.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lcs, lcsAlign, lcsMatrix, lcss, lcsSync, levenshtein } from '@neural-trader/midstreamer'
import { close } from './support/assertions.mjs'
import * as oracle from './support/oracle.mjs'
import { generator, integer, pick, series, symbols } from './support/random.mjs'

/** The same symbols in every form that is accepted; equal symbols stay equal. */
const FORMS = {
  'Int32Array': (s) => Int32Array.from(s, (x) => x - 2),
  'Uint8Array': (s) => Uint8Array.from(s),
  'integers': (s) => s.map((x) => x - 2),
  'fractions': (s) => s.map((x) => x / 3 - 1),
  'beyond 32 bits': (s) => s.map((x) => (x - 2) * 2 ** 40),
  'strings': (s) => s.map((x) => `SIGNAL_${x}`),
  'text': (s) => String.fromCharCode(...s.map((x) => 0xd700 + 67 * x)),
}

test('every form of a sequence agrees with the textbook', async () => {
  const random = generator(11)
  for (let round = 0; round < 250; round++) {
    const alphabet = pick(random, [1, 2, 5, 40, 200])
    const a = symbols(random, integer(random, 0, 90), alphabet)
    const b = symbols(random, integer(random, 0, 90), alphabet)
    const [common, edits] = [oracle.lcs(a, b), oracle.levenshtein(a, b)]
    for (const [form, convert] of Object.entries(FORMS)) {
      const [x, y] = [convert(a), convert(b)]
      const label = `round ${round} ${form} ${alphabet}`
      assert.equal(lcsSync(x, y), common, label)
      assert.equal(await lcs(x, y), common, label)
      assert.equal(await levenshtein(x, y), edits, label)
      const found = await lcsAlign(x, y)
      assert.equal(found.length, common, label)
      assert.equal(found.similarity, Math.max(a.length, b.length) === 0 ? 1 : common / Math.max(a.length, b.length), label)
      assert.equal(found.positionsA.length, common, label)
      assert.equal(found.positionsB.length, common, label)
      for (let k = 0; k < common; k++) {
        assert.equal(a[found.positionsA[k]], b[found.positionsB[k]], label)
        if (k > 0) assert.ok(found.positionsA[k] > found.positionsA[k - 1] && found.positionsB[k] > found.positionsB[k - 1], label)
      }
    }
  }
})

test('numeric kinds mix freely and are compared by value', () => {
  assert.equal(lcsSync(Uint8Array.of(1, 2, 255), Int32Array.of(1, -2, 255)), 2)
  assert.equal(lcsSync(Int32Array.of(-1, 7), [4294967295, 7]), 1)
  assert.equal(lcsSync([0.5, -0, 3], [0, 3]), 2)
  assert.equal(lcsSync([-0], Int32Array.of(0)), 1)
  assert.equal(lcsSync([1e300, 2], Uint8Array.of(2)), 1)
  assert.equal(lcsSync([], Int32Array.of(1)), 0)
  assert.equal(lcsSync([], ['a']), 0)
  assert.equal(lcsSync([1, 2, 3, 4].slice(1), Int32Array.of(0, 2, 3).subarray(1)), 2)
})

test('text is compared by UTF-16 code units', async () => {
  assert.equal(await levenshtein('\u{1f600}', '\u{1f601}'), 1)
  assert.equal(await levenshtein('\ud83d', ''), 1)
  assert.equal(lcsSync('\u{1f600}', '\u{1f601}'), 1)
  assert.equal(lcsSync('e\u0301', '\u00e9'), 0)
})

test('lcsMatrix: ratios, diagonals, empty sequences', async () => {
  const random = generator(12)
  for (let round = 0; round < 25; round++) {
    const size = integer(random, 0, 12)
    const list = Array.from({ length: size }, () => symbols(random, integer(random, 0, 70), pick(random, [2, 5, 90])))
    for (const normalize of [undefined, 'max', 'min', 'dice', 'none']) {
      const matrix = await lcsMatrix(list, normalize && { normalize })
      assert.equal(matrix.size, size)
      assert.equal(matrix.data.length, size * size)
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          const [n, m] = [list[i].length, list[j].length]
          const length = oracle.lcs(list[i], list[j])
          const whole = { max: Math.max(n, m), min: Math.min(n, m), dice: (n + m) / 2 }[normalize ?? 'max']
          const expected = normalize === 'none' ? length : n + m === 0 || i === j ? 1 : whole === 0 ? 0 : length / whole
          close(matrix.data[i * size + j], expected, `${normalize} (${i}, ${j}) of lengths ${n}, ${m}`)
        }
      }
    }
  }
})

test('lcsMatrix of the signals of fifty strategies', async () => {
  const random = generator(13)
  const names = ['BUY', 'SELL', 'HOLD', 'STRONG_BUY', 'STRONG_SELL']
  const list = Array.from({ length: 50 }, () => Array.from({ length: 120 }, () => pick(random, names)))
  const { data } = await lcsMatrix(list)
  for (const [i, j] of [[0, 1], [3, 49], [48, 49], [20, 10]]) {
    assert.equal(data[i * 50 + j], oracle.lcs(list[i], list[j]) / 120)
  }
})

test('lcss agrees with the textbook', async () => {
  const random = generator(14)
  for (let round = 0; round < 300; round++) {
    const a = series(random, integer(random, 1, 60))
    const b = series(random, integer(random, 1, 60))
    const epsilon = pick(random, [0, 0.25, 1, 3, 1e6])
    const window = pick(random, [undefined, 0, 1, 5, 100])
    const options = window === undefined ? { epsilon } : { epsilon, window }
    assert.equal(await lcss(a, b, options), oracle.lcss(a, b, epsilon, window), `round ${round} ${JSON.stringify(options)}`)
  }
})
