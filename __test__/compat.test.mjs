// The compat entry against the packages whose place it takes, run side by side on the same input.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as compat from '@neural-trader/midstreamer/compat'
import { loadPeers, whyNoNeuralTrader } from '../benches/js/peers.mjs'
import { throws } from './support/assertions.mjs'
import { generator, integer, pick, series, symbols, walk } from './support/random.mjs'

const { midstreamer, neuralTrader } = loadPeers()
const noBinary = whyNoNeuralTrader() ?? false

/** Prices, few values with many ties, noise around zero, and values large enough to saturate the integers of analyze. */
function values(random, length) {
  const kind = integer(random, 0, 3)
  if (kind < 2) return series(random, length)
  const scale = kind === 2 ? 1 : pick(random, [30, 1e3, 1e8, 1e12])
  return Float64Array.from({ length }, () => (random() - 0.4) * scale)
}

test('TemporalCompare computes what the midstreamer package does', () => {
  const random = generator(31)
  const ours = new compat.TemporalCompare(10)
  for (let round = 0; round < 3000; round++) {
    const a = values(random, integer(random, 1, 40))
    const b = values(random, integer(random, 1, 40))
    // Some values in common, or the subsequences would be empty.
    for (let k = 0; k < Math.min(a.length, b.length); k++) if (random() < 0.4) b[k] = a[k]
    assert.equal(ours.dtw(a, b), midstreamer.dtw(a, b), `round ${round}`)
    const theirs = midstreamer.analyze(a, b)
    const { dtw_distance, lcs_length, edit_distance, similarity_score } = theirs
    theirs.free()
    assert.deepEqual(ours.analyze(a, b), { dtw_distance, lcs_length, edit_distance, similarity_score }, `round ${round}`)
  }
})

test('TemporalCompare: symbols and text', () => {
  const random = generator(32)
  const ours = new compat.TemporalCompare()
  const characters = ['a', 'b', 'c', '\u00e4', '\u20ac', '\u{1f600}', '\u{1f601}', '\ud800', '\udc00', '\ufffd', '']
  for (let round = 0; round < 2000; round++) {
    const a = Int32Array.from(symbols(random, integer(random, 0, 60), 6), (x) => x - 3)
    const b = Int32Array.from(symbols(random, integer(random, 0, 60), 6), (x) => x - 3)
    assert.equal(ours.lcs(a, b), midstreamer.lcs(a, b), `round ${round}`)
    const [s, t] = [a, b].map((list) => Array.from(list, () => pick(random, characters)).join(''))
    assert.equal(ours.edit_distance(s, t), midstreamer.edit_distance(s, t), JSON.stringify([s, t]))
  }
  ours.free()
  if (Symbol.dispose) assert.equal(typeof ours[Symbol.dispose], 'function')
})

test('dtwDistanceRust and its twin compute what neural-trader does, ties included', { skip: noBinary }, () => {
  const random = generator(33)
  for (let round = 0; round < 3000; round++) {
    const a = values(random, integer(random, 1, 40))
    const b = values(random, integer(random, 1, 40))
    for (const name of ['dtwDistanceRust', 'dtwDistanceRustOptimized']) {
      assert.deepEqual(compat[name](a, b), neuralTrader[name](a, b), `${name} round ${round}`)
    }
  }
})

test('the batches compute what neural-trader does', { skip: noBinary }, () => {
  const random = generator(34)
  for (let round = 0; round < 400; round++) {
    const patternLength = integer(random, 1, 30)
    const pattern = values(random, random() < 0.7 ? patternLength : integer(random, 1, 30))
    const historical = values(random, patternLength * integer(random, 1, pick(random, [5, 150])))
    for (const name of ['dtwBatch', 'dtwBatchParallel', 'dtwBatchAdaptive']) {
      assert.deepEqual(compat[name](pattern, historical, patternLength), neuralTrader[name](pattern, historical, patternLength), `${name} round ${round}`)
    }
  }
})

test('invalid input throws where the originals return Infinity or end the process', () => {
  const ours = new compat.TemporalCompare()
  const good = walk(generator(35), 12)
  const empty = new Float64Array(0)
  const broken = Float64Array.of(1, NaN)
  for (const call of [ours.dtw, ours.analyze, compat.dtwDistanceRust, compat.dtwDistanceRustOptimized]) {
    throws(() => call.call(ours, empty, good), 'EMPTY_SERIES', 'a is empty')
    throws(() => call.call(ours, good, empty), 'EMPTY_SERIES', 'b is empty')
    throws(() => call.call(ours, broken, good), 'NON_FINITE', 'a[1] is NaN')
    throws(() => call.call(ours, good, Float64Array.of(-Infinity)), 'NON_FINITE', 'b[0] is -Infinity')
    throws(() => call.call(ours, good), 'INVALID_ARGUMENT', 'b must be')
    throws(() => call.call(ours, 'text', good), 'INVALID_ARGUMENT', 'a must be')
  }
  for (const call of [compat.dtwBatch, compat.dtwBatchParallel, compat.dtwBatchAdaptive]) {
    for (const length of [0, -1, 1.5, NaN, undefined, null, '4', Infinity]) throws(() => call(good, good, length), 'INVALID_ARGUMENT', 'patternLength')
    throws(() => call(good, good, 5), 'LENGTH_MISMATCH', 'historical holds 12 values', 'patternLength 5')
    throws(() => call(empty, good, 4), 'EMPTY_SERIES', 'pattern')
    throws(() => call(broken, good, 4), 'NON_FINITE', 'pattern[1] is NaN')
    throws(() => call(good, broken, 2), 'NON_FINITE', 'historical[1] is NaN')
    throws(() => call(good, empty, 4), 'EMPTY_SERIES', 'historical is empty')
    throws(() => call(good, undefined, 2), 'INVALID_ARGUMENT', 'historical')
  }
  for (const wrong of [[1], Float64Array.of(1), 'x', undefined]) {
    throws(() => ours.lcs(wrong, Int32Array.of(1)), 'INVALID_ARGUMENT', 'a must be an Int32Array')
    throws(() => ours.lcs(Int32Array.of(1), wrong), 'INVALID_ARGUMENT', 'b must be an Int32Array')
  }
  for (const wrong of [1, undefined, null, ['a']]) throws(() => ours.edit_distance('a', wrong), 'INVALID_ARGUMENT', 'b must be a string')
  // The one argument that the originals ignore whatever it is.
  for (const size of [-1, 0.5, NaN, 'x', null, undefined, {}]) assert.equal(new compat.TemporalCompare(size).dtw(good, good), 0)
  const large = new Float64Array(70_000)
  throws(() => compat.dtwDistanceRust(large, large), 'TOO_LARGE')
})
