// Bad input of every kind: the right result or the coded error, and never the end of the process.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import vm from 'node:vm'
import * as midstreamer from '@neural-trader/midstreamer'
import { rejects, throws } from './support/assertions.mjs'

const {
  correlationMatrix, dtw, dtwAlign, dtwBatch, dtwMatrix, dtwNearest, dtwSync, elastic, elasticBatch, lagMatrix,
  lcs, lcsAlign, lcsMatrix, lcss, lcsSync, levenshtein, MidstreamerError, subsequenceSearch,
} = midstreamer

const good = Float64Array.of(1, 2, 3)

/** Every function that takes series, as a function of one of them; the name is what errors call it. */
const TAKES_SERIES = [
  ['a', (x, options) => dtw(x, good, options)],
  ['b', (x, options) => dtw(good, x, options)],
  ['a', (x, options) => dtwAlign(x, good, options)],
  ['b', (x, options) => dtwAlign(good, x, options)],
  ['query', (x, options) => dtwBatch(x, [good], options)],
  ['candidates[1]', (x, options) => dtwBatch(good, [good, x], options)],
  ['query', (x, options) => dtwNearest(x, [good], options)],
  ['candidates[1]', (x, options) => dtwNearest(good, [good, x], options)],
  ['query', (x, options) => subsequenceSearch(x, new Float64Array(20), options)],
  ['series', (x, options) => subsequenceSearch([1], x, options)],
  ['series[1]', (x, options) => dtwMatrix([good, x], options)],
  ['series[1]', (x, options) => lagMatrix([good, x], options)],
  ['series[1]', (x, options) => correlationMatrix([good, x], options)],
  ['series[0]', (x, options) => correlationMatrix([x, x], { ...options, method: 'pearson' })],
  ['a', (x, options) => lcss(x, good, { epsilon: 1, ...options })],
  ['b', (x, options) => lcss(good, x, { epsilon: 1, ...options })],
  ['a', (x, options) => elastic('msm', x, good, options)],
  ['b', (x, options) => elastic('msm', good, x, options)],
  ['query', (x, options) => elasticBatch('msm', x, [good], options)],
  ['candidates[1]', (x, options) => elasticBatch('msm', good, [good, x], options)],
]

/** The same for sequences. */
const TAKES_SEQUENCES = [
  ['a', (x) => lcs(x, [1, 2])],
  ['b', (x) => lcs([1, 2], x)],
  ['a', (x) => lcsAlign(x, [1, 2])],
  ['b', (x) => levenshtein([1, 2], x)],
  ['sequences[1]', (x) => lcsMatrix([[1, 2], x])],
]

function detached(array) {
  structuredClone(array, { transfer: [array.buffer] })
  return array
}

async function everySeries(make, code, ...texts) {
  for (const [name, call] of TAKES_SERIES) await rejects(() => call(make()), code, name, ...texts)
  throws(() => dtwSync(make(), good), code, 'a', ...texts)
  throws(() => dtwSync(good, make()), code, 'b', ...texts)
}

test('an empty series', async () => {
  for (const empty of [[], new Float64Array(0), new Float32Array(0)]) await everySeries(() => empty, 'EMPTY_SERIES', 'empty')
})

test('NaN and infinities, by index', async () => {
  for (const [value, shown] of [[NaN, 'NaN'], [Infinity, 'Infinity'], [-Infinity, '-Infinity']]) {
    for (const Type of [Float64Array, Float32Array, Array]) {
      await everySeries(() => Type.from([1, 2, 3, value, 5]), 'NON_FINITE', `[3] is ${shown}`)
    }
  }
  const long = new Float64Array(5000)
  long[4321] = NaN
  await rejects(() => dtw(long, good), 'NON_FINITE', 'a[4321] is NaN')
  await rejects(() => dtwBatch(good, { data: long.slice(), length: 50 }), 'NON_FINITE', 'candidates.data[4321] is NaN')
  await rejects(() => dtwBatch(good, { data: Float32Array.from(long), length: 50 }), 'NON_FINITE', 'candidates.data[4321] is NaN')
})

test('values that are no numbers', async () => {
  const holed = [1, 2, 3]
  delete holed[1]
  for (const [list, shown] of [
    [[1, '2', 3], '[1] must be a number, got "2"'], [[1, null, 3], '[1] must be a number, got null'],
    [[1, 2, undefined], '[2] must be a number, got undefined'], [[1n], '[0] must be a number, got 1n'],
    [[[1]], '[0] must be a number, got an array'], [[{}], '[0] must be a number, got an object'],
    [[true], '[0] must be a number, got true'], [[new Date(0)], '[0] must be a number, got an object of class Date'],
    [[Symbol('x')], '[0] must be a number, got Symbol(x)'],
    [holed, '[1] must be a number, but the array has a hole there'],
  ]) await everySeries(() => list, 'INVALID_ARGUMENT', shown)
})

test('things that are no series', async () => {
  for (const thing of [
    undefined, null, 5, 'abc', true, {}, { length: 2 }, new Map(), new Int32Array(2), new Uint8Array(2), new BigInt64Array(2),
    new ArrayBuffer(16), new DataView(new ArrayBuffer(16)), () => {}, Symbol('x'), 5n, new Date(), Promise.resolve([1]),
    Object.create(Float64Array.prototype), new Proxy(new Float64Array(2), {}),
  ]) await everySeries(() => thing, 'INVALID_ARGUMENT')
})

test('a sparse array that claims billions of values', async () => {
  const sparse = []
  sparse.length = 4_000_000_000
  await everySeries(() => sparse, 'INVALID_ARGUMENT', 'hole')
  for (const [name, call] of TAKES_SEQUENCES) await rejects(() => call(sparse), 'INVALID_ARGUMENT', name, 'hole')
})

test('a detached buffer is named as such', async () => {
  await everySeries(() => detached(new Float64Array(4)), 'INVALID_ARGUMENT', 'detached')
  await everySeries(() => detached(new Float32Array(4)), 'INVALID_ARGUMENT', 'detached')
  for (const [name, call] of TAKES_SEQUENCES) {
    await rejects(() => call(detached(new Int32Array(4))), 'INVALID_ARGUMENT', name, 'detached')
    await rejects(() => call(detached(new Uint8Array(4))), 'INVALID_ARGUMENT', name, 'detached')
  }
  await rejects(() => dtwBatch(good, { data: detached(new Float64Array(4)), length: 2 }), 'INVALID_ARGUMENT', 'candidates.data', 'detached')
})

test('Float32Array, number[], offsets, shared memory and other realms give the same results', async () => {
  const values = [1.5, 2.25, -3, 8, 0.125]
  const other = Float64Array.of(2, 2, 1)
  const expected = dtwSync(Float64Array.from(values), other)
  const padded = [99, ...values, 99]
  const shared = new Float64Array(new SharedArrayBuffer(8 * 7))
  shared.set(padded)
  const shared32 = new Float32Array(new SharedArrayBuffer(4 * 7))
  shared32.set(padded)
  class Subclass extends Float64Array {}
  const forms = [
    values, Object.freeze([...values]), Float32Array.from(values), Float64Array.from(padded).subarray(1, 6),
    Float32Array.from(padded).subarray(1, 6), shared.subarray(1, 6), shared32.subarray(1, 6), Subclass.from(values),
    vm.runInNewContext(`Float64Array.of(${values})`), vm.runInNewContext(`[${values}]`),
  ]
  for (const form of forms) {
    assert.equal(dtwSync(form, other), expected)
    assert.equal(dtwSync(other, form), expected)
    assert.equal(await dtw(form, other), expected)
    assert.deepEqual(await dtwBatch(other, [form, values]), Float64Array.of(expected, expected))
    assert.equal((await dtwMatrix([other, form])).data[1], expected)
  }
  for (const data of [shared.subarray(1, 6), shared32.subarray(1, 6), Float32Array.from(values)]) {
    assert.deepEqual(await dtwBatch([1], { data, length: 5 }), Float64Array.of(dtwSync([1], values)))
  }
  const integers = new Int32Array(new SharedArrayBuffer(16))
  integers.set([9, 1, 2, 9])
  assert.equal(lcsSync(integers.subarray(1, 3), [1, 2]), 2)
  assert.equal(lcsSync(vm.runInNewContext('Int32Array.of(1, 2)'), vm.runInNewContext('[1, 2]')), 2)
})

test('unknown options are named, with the nearest known one', async () => {
  for (const [, call] of TAKES_SERIES) await rejects(() => call(good, { windwo: 3 }), 'INVALID_ARGUMENT', '"windwo"', 'did you mean "window"?')
  throws(() => dtwSync(good, good, { windwo: 3 }), 'INVALID_ARGUMENT', '"windwo"', 'did you mean "window"?')
  throws(() => dtwSync(good, good, { maxdistance: 3 }), 'INVALID_ARGUMENT', 'did you mean "maxDistance"?')
  throws(() => dtwSync(good, good, { xyz: undefined }), 'INVALID_ARGUMENT', '"xyz"', 'metric, window')
  throws(() => dtwSync(good, good, { signal: new AbortController().signal }), 'INVALID_ARGUMENT', '"signal"')
  throws(() => dtwSync(good, good, { constructor: 1 }), 'INVALID_ARGUMENT', '"constructor"')
  throws(() => dtwSync(good, good, Object.create({ inherited: 1 })), 'INVALID_ARGUMENT', '"inherited"')
  throws(() => lcsSync('a', 'b', { window: 1 }), 'INVALID_ARGUMENT', '"window"', 'lcsSync')
  await rejects(() => lcs('a', 'b', { normalize: 'max' }), 'INVALID_ARGUMENT', '"normalize"')
  await rejects(() => lcsMatrix(['a'], { window: 1 }), 'INVALID_ARGUMENT', '"window"')
  await rejects(() => dtw(good, good, { k: 1 }), 'INVALID_ARGUMENT', '"k"')
  await rejects(() => dtw(good, good, { onProgress() {} }), 'INVALID_ARGUMENT', '"onProgress"')
  await rejects(() => dtwMatrix([good], { method: 'dtw' }), 'INVALID_ARGUMENT', '"method"')
})

test('an option of another function or measure is omitted when it is undefined', async () => {
  assert.equal(dtwSync([1], [3], { signal: undefined, k: undefined, epsilon: undefined }), 2)
  assert.equal(await dtw([1], [3], { onProgress: undefined }), 2)
  assert.equal(lcsSync('ab', 'b', { signal: undefined }), 1)
  const options = { window: undefined, g: undefined, penalty: undefined, gap: 0, epsilon: undefined, cost: undefined, gamma: undefined }
  assert.equal(await elastic('erp', [1, 2, 3], [1, 3], options), 2)
  await rejects(() => elastic('erp', good, good, { g: null }), 'INVALID_ARGUMENT', '"g"')
})

test('properties that others put on Object.prototype are no options', async () => {
  Object.defineProperty(Object.prototype, 'stranger', { value: 1, enumerable: true, configurable: true })
  Object.defineProperty(Object.prototype, 'window', { value: 'x', enumerable: true, configurable: true })
  try {
    assert.equal(dtwSync([0, 1], [1, 1], { metric: 'squared' }), 1)
    assert.equal(vm.runInNewContext('Object.prototype.stranger = 1; f([1], [3], { window: 0 })', { f: dtwSync }), 2)
    throws(() => dtwSync(good, good, { windwo: 1 }), 'INVALID_ARGUMENT', '"windwo"')
  } finally {
    delete Object.prototype.stranger
    delete Object.prototype.window
  }
  assert.equal(dtwSync([1], [3], Object.assign(Object.create(null), { window: 0 })), 2)
})

test('a revoked Proxy', async () => {
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable([], {})
    revoke()
    return proxy
  }
  await everySeries(revoked, 'INVALID_ARGUMENT')
  for (const [name, call] of TAKES_SEQUENCES) await rejects(() => call(revoked()), 'INVALID_ARGUMENT', name)
  for (const call of [dtwMatrix, lagMatrix, correlationMatrix, lcsMatrix]) await rejects(() => call(revoked()), 'INVALID_ARGUMENT')
  await rejects(() => dtwBatch(good, revoked()), 'INVALID_ARGUMENT', 'candidates')
  await rejects(() => dtw(good, [revoked()]), 'INVALID_ARGUMENT', 'b[0]')
  await rejects(() => dtw(good, good, revoked()), 'INVALID_ARGUMENT', 'options')
  await rejects(() => dtw(good, good, { signal: revoked() }), 'INVALID_ARGUMENT', 'signal')
  throws(() => dtwSync(good, good, revoked()), 'INVALID_ARGUMENT', 'options')
})

/** A list whose second entry takes the memory of the first when it is read. */
function treacherous(first, second) {
  return Object.defineProperty([first, null], 1, { get() { detached(first); return second } })
}

test('a getter that detaches what was read before', async () => {
  for (const make of [() => Float64Array.of(1, 2, 3), () => Float32Array.of(1, 2, 3)]) {
    for (const call of [(list) => dtwBatch(good, list), dtwMatrix, (list) => elasticBatch('msm', good, list)]) {
      await rejects(() => call(treacherous(make(), [1])), 'INVALID_ARGUMENT', '[0]', 'detached')
    }
  }
  const symbols = Int32Array.of(1, 2)
  const taking = Object.defineProperty([1, 2], 1, { get() { if (symbols.length > 0) detached(symbols); return 2 } })
  await rejects(() => lcsMatrix([symbols, taking]), 'INVALID_ARGUMENT', 'sequences[0]', 'detached')
  const first = Float64Array.of(1, 2, 3)
  const row = Object.defineProperty([1, 2, 3], 1, { get() { if (first.length > 0) detached(first); return 2 } })
  await rejects(() => dtwBatch(good, [row, first]), 'INVALID_ARGUMENT', 'candidates[1]', 'detached')
})

test('rows of a list that change their length while it is read', { skip: typeof ArrayBuffer.prototype.resize !== 'function' && 'no resizable ArrayBuffer' }, async () => {
  const buffer = new ArrayBuffer(32, { maxByteLength: 64 })
  const first = new Float64Array(buffer)
  const list = Object.defineProperty([first, null], 1, { get() { buffer.resize(16); return [1] } })
  await rejects(() => dtwBatch(good, list), 'INVALID_ARGUMENT', 'candidates[0] changed its length')
})

test('options that are no object', async () => {
  // Also those whose content is no property: it would be passed over.
  const passedOver = [new Map([['window', 0]]), new Set(['window']), Promise.resolve({ window: 0 }), new Date(), Object('window'), new Float64Array()]
  for (const options of [null, [], 5, 'window', true, Symbol('x'), () => {}, 5n, ...passedOver]) {
    throws(() => dtwSync(good, good, options), 'INVALID_ARGUMENT', 'options of dtwSync must be an object')
    await rejects(() => dtw(good, good, options), 'INVALID_ARGUMENT', 'options of dtw must be an object')
    await rejects(() => lcs('a', 'b', options), 'INVALID_ARGUMENT', 'options')
    await rejects(() => lcss(good, good, options), 'INVALID_ARGUMENT', 'options')
    await rejects(() => elastic('msm', good, good, options), 'INVALID_ARGUMENT', 'options')
  }
})

test('option values outside their domain', async () => {
  const bad = {
    window: [-1, 1.5, NaN, Infinity, '3', null, 2 ** 53, [], true],
    maxDistance: [-1, NaN, '3', null, -Infinity],
    channels: [0, -1, 1.5, NaN, Infinity, '2', null, 2 ** 53],
    metric: ['Absolute', 'manhattan', 0, null, '', ['squared'], 'constructor'],
    normalize: ['z-score', 1, null, true],
    signal: [null, {}, 'abort', new AbortController(), { aborted: false }],
  }
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      await rejects(() => dtw(good, good, { [name]: value }), 'INVALID_ARGUMENT', `${name} must be`)
      if (name !== 'signal') throws(() => dtwSync(good, good, { [name]: value }), 'INVALID_ARGUMENT', `${name} must be`)
    }
  }
  for (const k of [0, -1, 1.5, NaN, Infinity, '1', null]) await rejects(() => dtwNearest(good, [good], { k }), 'INVALID_ARGUMENT', 'k must be')
  for (const onProgress of [null, 1, {}]) await rejects(() => dtwMatrix([good], { onProgress }), 'INVALID_ARGUMENT', 'onProgress must be')
  for (const method of ['DTW', 0, null]) await rejects(() => correlationMatrix([good], { method }), 'INVALID_ARGUMENT', 'method must be')
  for (const normalize of ['zscore', 0, null]) await rejects(() => lcsMatrix(['a'], { normalize }), 'INVALID_ARGUMENT', 'normalize must be')
  for (const epsilon of [undefined, -1, NaN, Infinity, '1', null]) await rejects(() => lcss(good, good, { epsilon }), 'INVALID_ARGUMENT', 'epsilon')
  await rejects(() => lcss(good, good), 'INVALID_ARGUMENT', 'epsilon')
})

test('large and undefined options are fine', async () => {
  assert.equal(dtwSync([1, 2], [2, 3], { window: Number.MAX_SAFE_INTEGER, maxDistance: Number.MAX_VALUE }), 2)
  assert.equal(dtwSync([1, 2], [2, 3], { window: undefined, metric: undefined, maxDistance: undefined }), 2)
  assert.equal(await dtw([1, 2], [2, 3], { signal: undefined }), 2)
  assert.equal((await dtwNearest([1], [[1], [2]], { k: Number.MAX_SAFE_INTEGER })).length, 2)
  assert.equal(dtwSync([1, 2], [2, 3], Object.freeze({})), 2)
  assert.equal(await lcss([1], [1], { epsilon: 0, window: Number.MAX_SAFE_INTEGER }), 1)
})

test('getters of options are read once, inherited ones too', () => {
  let reads = 0
  class Options {
    get window() {
      reads++
      return reads === 1 ? 0 : -1
    }
  }
  assert.equal(dtwSync([0, 1, 2], [1, 2, 2], new Options()), 2)
  assert.equal(reads, 1)
})

test('what a getter throws belongs to whoever passed it', async () => {
  const mine = new Error('mine')
  const options = { get window() { throw mine } }
  assert.throws(() => dtwSync(good, good, options), (error) => error === mine)
  await assert.rejects(dtw(good, good, options), (error) => error === mine)
})

test('values that are no multiple of channels or length', async () => {
  throws(() => dtwSync([1, 2, 3], [1, 2], { channels: 2 }), 'LENGTH_MISMATCH', 'a holds 3 values', 'channels 2')
  await rejects(() => dtw([1, 2], [1, 2, 3], { channels: 2 }), 'LENGTH_MISMATCH', 'b holds 3 values')
  await rejects(() => dtwBatch([1, 2], [[1, 2], [1, 2, 3]], { channels: 2 }), 'LENGTH_MISMATCH', 'candidates[1] holds 3 values')
  await rejects(() => dtwMatrix([[1, 2], [1]], { channels: 2 }), 'LENGTH_MISMATCH', 'series[1] holds 1 values')
  await rejects(() => dtwBatch([1], { data: new Float64Array(7), length: 2 }), 'LENGTH_MISMATCH', 'candidates.data holds 7 values', 'length 2')
  await rejects(() => dtwBatch([1, 2], { data: new Float64Array(6), length: 2 }, { channels: 2 }), 'LENGTH_MISMATCH', 'channels 2')
  await rejects(() => elasticBatch('msm', [1], { data: new Float64Array(7), length: 2 }), 'LENGTH_MISMATCH')
  await rejects(() => correlationMatrix([[1, 2], [1, 2], [1, 2, 3]], { method: 'pearson' }), 'LENGTH_MISMATCH', 'series[2] holds 3 values', 'series[0] 2')
})

test('candidates that are none', async () => {
  for (const call of [(c) => dtwBatch(good, c), (c) => dtwNearest(good, c), (c) => elasticBatch('erp', good, c)]) {
    for (const thing of [undefined, null, 5, 'x', {}, new Float64Array(4), new Set([good]), { data: [1, 2], length: 1 }, { data: new Int32Array(2), length: 1 }]) {
      await rejects(() => call(thing), 'INVALID_ARGUMENT', 'candidates')
    }
    for (const length of [0, -1, 1.5, NaN, Infinity, '2', undefined, null, 2 ** 53]) {
      await rejects(() => call({ data: new Float64Array(4), length }), 'INVALID_ARGUMENT', 'candidates.length must be')
    }
    await rejects(() => call({ data: new Float64Array(4), length: Number.MAX_SAFE_INTEGER }), 'LENGTH_MISMATCH')
  }
  for (const call of [dtwMatrix, lagMatrix, correlationMatrix]) {
    for (const thing of [undefined, null, 5, {}, good, 'ab']) await rejects(() => call(thing), 'INVALID_ARGUMENT', 'series')
  }
  for (const thing of [undefined, null, 5, {}, 'ab', Int32Array.of(1)]) await rejects(() => lcsMatrix(thing), 'INVALID_ARGUMENT', 'sequences')
})

test('no candidates, no results', async () => {
  for (const none of [[], { data: new Float64Array(0), length: 5 }]) {
    assert.deepEqual(await dtwBatch(good, none), new Float64Array(0))
    assert.deepEqual(await dtwNearest(good, none, { k: 3 }), [])
    assert.deepEqual(await elasticBatch('twe', good, none), new Float64Array(0))
  }
  assert.deepEqual(await lcsMatrix([]), { size: 0, data: new Float64Array(0) })
})

test('sequences: items and kinds', async () => {
  for (const [name, call] of TAKES_SEQUENCES) {
    for (const thing of [undefined, null, 5, {}, new Float64Array(2), new Uint32Array(2), new Set(), [null], [{}], [[1]], [1n], [true], [undefined]]) {
      await rejects(() => call(thing), 'INVALID_ARGUMENT', name)
    }
    await rejects(() => call([1, NaN]), 'NON_FINITE', `${name}[1] is NaN`)
    await rejects(() => call([0.5, -Infinity, 1]), 'NON_FINITE', `${name}[1] is -Infinity`)
    await rejects(() => call([1, '2', 3]), 'INVALID_ARGUMENT', `${name}[1] must be a number, got "2"`)
    await rejects(() => call([1, , 3]), 'INVALID_ARGUMENT', `${name}[1] must be a number, but the array has a hole there`)
    for (const item of [2n, Symbol('x'), Object.create(null), { valueOf() { throw new Error('asked') } }]) {
      await rejects(() => call([1, item, 3]), 'INVALID_ARGUMENT', `${name}[1] must be a number`)
    }
    await rejects(() => call('text'), 'INVALID_ARGUMENT', 'one kind')
    await rejects(() => call(['x']), 'INVALID_ARGUMENT', 'one kind')
  }
  await rejects(() => lcs(['x', 1], ['x']), 'INVALID_ARGUMENT', 'a[1] must be a string, got 1')
  await rejects(() => lcs('x', ['x']), 'INVALID_ARGUMENT', 'one kind')
  await rejects(() => lcs('x', []), 'INVALID_ARGUMENT', 'one kind')
  await rejects(() => lcsMatrix(['x', 'y', ['z']]), 'INVALID_ARGUMENT', 'sequences[2] is an array of strings but sequences[0] is a string')
  throws(() => lcsSync([1], ['1']), 'INVALID_ARGUMENT', 'one kind')
  throws(() => lcsSync(Int32Array.of(1), 'x'), 'INVALID_ARGUMENT', 'one kind')
})

test('elastic: measures, parameters of others, domains', async () => {
  for (const measure of ['dtw', 'ERP', '', undefined, null, 3, {}, 'constructor', '__proto__']) {
    await rejects(() => elastic(measure, good, good), 'INVALID_ARGUMENT', 'measure must be')
    await rejects(() => elasticBatch(measure, good, [good]), 'INVALID_ARGUMENT', 'measure must be')
  }
  const own = { ddtw: [], wdtw: ['g'], adtw: ['penalty'], erp: ['gap'], edr: ['epsilon'], msm: ['cost'], twe: ['nu', 'lambda'], 'soft-dtw': ['gamma'] }
  const all = Object.values(own).flat()
  for (const [measure, names] of Object.entries(own)) {
    const required = measure === 'edr' ? { epsilon: 1 } : {}
    for (const name of all) {
      const call = (value) => () => elastic(measure, good, good, { ...required, [name]: value })
      if (!names.includes(name)) {
        await rejects(call(1), 'INVALID_ARGUMENT', JSON.stringify(name), `'${measure}'`)
        await rejects(() => elasticBatch(measure, good, [good], { ...required, [name]: 1 }), 'INVALID_ARGUMENT', JSON.stringify(name))
        continue
      }
      for (const value of [NaN, Infinity, -Infinity, '1', null]) await rejects(call(value), 'INVALID_ARGUMENT', `${name} must be`)
      if (name === 'gap') await assert.doesNotReject(call(-5))
      else await rejects(call(-0.5), 'INVALID_ARGUMENT', `${name} must be`)
      if (name === 'gamma') {
        for (const value of [0, 1e-300, 1e308]) {
          await rejects(call(value), 'INVALID_ARGUMENT', `gamma must be a number from 1e-150 to 1e150, got ${value}`)
        }
      }
      else await assert.doesNotReject(call(0))
    }
    for (const window of [-1, 0.5, NaN]) await rejects(() => elastic(measure, good, good, { ...required, window }), 'INVALID_ARGUMENT', 'window must be')
  }
  await rejects(() => elastic('edr', good, good), 'INVALID_ARGUMENT', 'epsilon')
  await rejects(() => elastic('edr', good, good, {}), 'INVALID_ARGUMENT', "elastic measure 'edr' needs options.epsilon, got undefined")
})

test('ddtw needs three values', async () => {
  await rejects(() => elastic('ddtw', [1, 2], good), 'INVALID_ARGUMENT', 'a has 2 values')
  await rejects(() => elastic('ddtw', good, [1]), 'INVALID_ARGUMENT', 'b has 1 values')
  await rejects(() => elasticBatch('ddtw', [1, 2], [good]), 'INVALID_ARGUMENT', 'query has 2 values')
  await rejects(() => elasticBatch('ddtw', good, [good, [1, 2]]), 'INVALID_ARGUMENT', 'candidates[1] has 2 values')
  await rejects(() => elasticBatch('ddtw', good, { data: good, length: 1 }), 'INVALID_ARGUMENT', 'candidates[0] has 1 values')
})

test('work beyond the limits is TOO_LARGE at once', async () => {
  const started = performance.now()
  const one = [1]
  const many = new Array(11_586).fill(one)
  for (const call of [dtwMatrix, lagMatrix, correlationMatrix, lcsMatrix]) await rejects(() => call(many), 'TOO_LARGE', '11586')
  const long = new Float64Array(70_000)
  await rejects(() => dtwAlign(long, long), 'TOO_LARGE', 'a and b: 70000 x 70000 = 4900000000 cells are more than the limit of 4000000000')
  await rejects(() => dtwAlign(long, long, { channels: 1, window: 50_000 }), 'TOO_LARGE', 'a and b: 70000 x 70000, of which in window 50000 ')
  await rejects(() => lcsAlign(new Int32Array(1e6).fill(1), new Int32Array(1e6).fill(2)), 'TOO_LARGE', 'a and b of 1000000 and 1000000 symbols', '1000000000000 cells')
  await rejects(() => lagMatrix([long, long]), 'TOO_LARGE')
  await rejects(() => correlationMatrix([long, long]), 'TOO_LARGE')
  assert.ok(performance.now() - started < 10_000)
})

test('missing arguments', async () => {
  for (const [name, call] of Object.entries(midstreamer)) {
    if (call === MidstreamerError || ['version', 'initialize'].includes(name)) continue
    const isClass = /^[A-Z]/.test(name)
    if (isClass) throws(() => new call(), 'INVALID_ARGUMENT')
    else if (name.endsWith('Sync')) throws(() => call(), 'INVALID_ARGUMENT')
    else await rejects(() => call(), 'INVALID_ARGUMENT')
  }
})

test('errors carry the stack of the caller', async () => {
  function namedCaller() {
    return dtwSync([NaN], good)
  }
  async function namedAsyncCaller() {
    return await dtw([NaN], good)
  }
  assert.throws(namedCaller, (error) => error.stack.includes('namedCaller'))
  await assert.rejects(namedAsyncCaller(), (error) => error.stack.includes('namedAsyncCaller'))
})

test('MidstreamerError: fields and inspection', () => {
  const cause = new Error('why')
  const error = new MidstreamerError('what', { code: 'ABORTED', cause })
  assert.ok(error instanceof Error)
  assert.deepEqual([error.name, error.message, error.code, error.cause], ['MidstreamerError', 'what', 'ABORTED', cause])
  assert.equal(String(error), 'MidstreamerError: what')
  assert.equal(new MidstreamerError('what').code, 'INTERNAL')
  assert.ok(!('cause' in new MidstreamerError('what')))
  for (const options of [null, 5, 'x']) throws(() => new MidstreamerError('what', options), 'INVALID_ARGUMENT', 'options of MidstreamerError')
})
