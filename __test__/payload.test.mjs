// Encoded values: what goes in comes back as it was, or is refused with its place.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import vm from 'node:vm'
import { throws } from './support/assertions.mjs'
import { generator } from './support/random.mjs'

const { decode, encode } = createRequire(import.meta.url)('../js/payload.js')

/** The golden bytes, which the Rust side is held to as well. */
const golden = JSON.parse(readFileSync(new URL('../tests/swarm/values.json', import.meta.url), 'utf8'))

/** What the fixture says in its own words: { $array, of }, { $number }, { $undefined }. */
function built(said) {
  if (said === null || typeof said !== 'object') return said
  if (said.$undefined) return undefined
  if (said.$number) return Number(said.$number)
  if (said.$array) return globalThis[said.$array].from(said.of, said.$array.startsWith('Big') ? BigInt : Number)
  if (Array.isArray(said)) return said.map(built)
  const object = {}
  for (const key of Object.keys(said)) own(object, key, built(said[key]))
  return object
}

function own(object, key, value) {
  Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true })
}

const roundTrip = (value) => decode(encode(value, 'payload'))

/** A value by hand, with the right lengths and no array. */
function ofJson(text) {
  const json = Buffer.from(text)
  const bytes = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8)
  bytes.writeUInt32LE(json.length, 0)
  json.copy(bytes, 8)
  return bytes
}

test('golden bytes, both ways', () => {
  assert.ok(golden.length > 40)
  for (const { name, value, hex } of golden) {
    const bytes = Buffer.from(hex, 'hex')
    assert.deepStrictEqual(decode(bytes), built(value), name)
    if (!name.endsWith('from a kernel')) assert.equal(encode(built(value), 'value').toString('hex'), hex, name)
  }
})

test('values come back', () => {
  const random = generator(7)
  const below = (n) => Math.floor(random() * n)
  const numbers = [0, -0, 1, -1, 0.1, 1e21, -1e-7, 2 ** 53, 2 ** -1074, Number.MAX_VALUE]
  const texts = ['', 'x', '\0', '\0\0', '\u00000', 'a\0', '\ud83d\udcc8', '\ud800', '"\\\n', '__proto__', 'toJSON', 'k'.repeat(100)]
  const arrays = [
    () => Float64Array.of(NaN, Infinity, -0, 1), () => Float32Array.of(0.5), () => new Uint8Array(below(20)), () => Int8Array.of(-1),
    () => Uint8ClampedArray.of(255), () => Int16Array.of(-2, 3), () => Uint16Array.of(9), () => Int32Array.of(1), () => new Uint32Array(0),
    () => BigInt64Array.of(-5n), () => BigUint64Array.of(2n ** 64n - 1n),
  ]
  const any = (depth) => {
    switch (below(depth === 0 ? 5 : 7)) {
      case 0: return numbers[below(numbers.length)]
      case 1: return texts[below(texts.length)]
      case 2: return [true, false, null][below(3)]
      case 3: return (random() - 0.5) * 10 ** below(300)
      case 4: return arrays[below(arrays.length)]()
      case 5: return Array.from({ length: below(6) }, () => any(depth - 1))
      default: {
        const object = {}
        for (let k = below(6); k > 0; k--) own(object, texts[below(texts.length)], any(depth - 1))
        return object
      }
    }
  }
  for (let k = 0; k < 3000; k++) {
    const value = any(5)
    const bytes = encode(value, 'payload')
    assert.equal(bytes.length % 8, 0)
    assert.deepStrictEqual(decode(bytes), value)
    assert.deepStrictEqual(decode(new Uint8Array(bytes)), value)
  }
})

test('undefined is a value of its own, and left out of objects', () => {
  assert.equal(roundTrip(undefined), undefined)
  assert.deepStrictEqual(roundTrip({ a: undefined, b: 1, c: undefined }), { b: 1 })
  assert.deepStrictEqual(roundTrip({ a: undefined }), {})
})

test('what would not come back as it is, is refused with its place', () => {
  class Price { constructor() { this.value = 1 } }
  const cycle = { items: [{}] }
  cycle.items[0].back = cycle.items
  const self = []
  self.push(self)
  const inside = (value) => ({ items: [0, 1, 2, { price: value }] })
  const cases = [
    [NaN, 'is NaN'], [Infinity, 'is Infinity'], [-Infinity, 'is -Infinity'], [5n, 'is the BigInt 5n'], [Symbol('s'), 'is Symbol(s)'],
    [() => 1, 'is a function'], [class {}, 'is a function'], [new Date(0), 'is a Date', 'getTime()'], [new Map(), 'is a Map'], [new Set(), 'is a Set'],
    [new Price(), 'is an object of class Price'], [new Error('no'), 'is an object of class Error'], [/x/, 'is an object of class RegExp'],
    [Object(1), 'is an object of class Number'], [Object('x'), 'is an object of class String'], [Promise.resolve(1), 'is a Promise', 'await'],
    [new ArrayBuffer(8), 'is an ArrayBuffer', 'Uint8Array'], [new SharedArrayBuffer(8), 'is a SharedArrayBuffer', 'Uint8Array'],
    [new DataView(new ArrayBuffer(8)), 'is a DataView', 'Uint8Array'], [new WeakMap(), 'is an object of class WeakMap'],
    [Object.create({ inherited: 1 }), 'is an object'], [new Proxy(new Date(0), {}), 'is an object of class Date'],
  ]
  for (const [value, ...texts] of cases) {
    throws(() => encode(value, 'payload'), 'INVALID_ARGUMENT', `payload ${texts[0]}`, ...texts.slice(1))
    throws(() => encode(inside(value), 'result'), 'INVALID_ARGUMENT', `result.items[3].price ${texts[0]}`)
  }
  throws(() => encode([1, undefined], 'payload'), 'INVALID_ARGUMENT', 'payload[1] is undefined')
  throws(() => encode([, 1], 'payload'), 'INVALID_ARGUMENT', 'payload[0] is undefined')
  throws(() => encode({ 'a b': [NaN] }, 'payload'), 'INVALID_ARGUMENT', 'payload["a b"][0] is NaN')
  throws(() => encode(cycle, 'payload'), 'INVALID_ARGUMENT', 'payload.items[0].back is payload.items again: a cycle')
  throws(() => encode(self, 'payload'), 'INVALID_ARGUMENT', 'payload[0] is payload again: a cycle')
  throws(() => encode({ a: 1, b: { a: 1 }, c: NaN }, 'payload'), 'INVALID_ARGUMENT', 'payload.c is NaN')
})

test('a typed array must have its buffer', () => {
  const detached = new Float64Array(4)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  throws(() => encode({ a: detached }, 'payload'), 'INVALID_ARGUMENT', 'payload.a is a Float64Array whose buffer is detached')
  // Resizable buffers exist from Node 20 on.
  if (typeof ArrayBuffer.prototype.resize === 'function') {
    const buffer = new ArrayBuffer(32, { maxByteLength: 64 })
    const fixed = new Uint8Array(buffer, 16, 16)
    const tracking = new Uint8Array(buffer, 8)
    buffer.resize(20)
    throws(() => encode([fixed], 'payload'), 'INVALID_ARGUMENT', 'payload[0] is a Uint8Array whose buffer is detached, or shorter')
    assert.deepStrictEqual(roundTrip(tracking), new Uint8Array(12))
    assert.deepStrictEqual(roundTrip({ get a() { buffer.resize(16); return tracking } }), { a: new Uint8Array(8) })
  }
  assert.deepStrictEqual(roundTrip(new Float64Array(0)), new Float64Array(0))
})

test('views are copied: of a part, shared, of a pool, with properties of their own', () => {
  const whole = Float64Array.of(1, 2, 3, 4)
  assert.deepStrictEqual(roundTrip(whole.subarray(1, 3)), Float64Array.of(2, 3))
  const shared = new Float32Array(new SharedArrayBuffer(8))
  shared[1] = 0.5
  const received = roundTrip({ shared })
  assert.deepStrictEqual(received, { shared: Float32Array.of(0, 0.5) })
  assert.ok(received.shared.buffer instanceof ArrayBuffer)
  assert.deepStrictEqual(roundTrip(Buffer.from('pool')), Uint8Array.from(Buffer.from('pool')))
  const odd = Object.defineProperties(Uint8Array.of(7), { length: { value: 100 }, byteLength: { value: 100 }, buffer: { value: null } })
  assert.deepStrictEqual(roundTrip([odd]), [Uint8Array.of(7)])
  class Series extends Float64Array {}
  assert.deepStrictEqual(roundTrip(Series.of(1)), Float64Array.of(1))
  const values = Float64Array.of(1)
  const bytes = encode(values, 'payload')
  values[0] = 2
  const decoded = decode(bytes)
  assert.deepStrictEqual(decoded, Float64Array.of(1))
  bytes.fill(0)
  assert.deepStrictEqual(decoded, Float64Array.of(1))
})

test('properties are read once, and only as JSON has them', () => {
  const reads = []
  const proxy = new Proxy({ a: 1, b: [2] }, { get(target, key) { reads.push(key); return target[key] } })
  assert.deepStrictEqual(roundTrip(proxy), { a: 1, b: [2] })
  assert.deepStrictEqual(reads, ['a', 'b'])
  let turns = 0
  assert.deepStrictEqual(roundTrip({ get x() { turns += 1; return turns === 1 ? 1 : NaN } }), { x: 1 })
  const hidden = Object.defineProperty({ seen: 1, [Symbol('s')]: NaN }, 'hidden', { value: NaN })
  assert.deepStrictEqual(roundTrip(hidden), { seen: 1 })
  assert.deepStrictEqual(roundTrip(Object.assign([1], { extra: NaN })), [1])
  throws(() => encode({ toJSON() { return 1 } }, 'payload'), 'INVALID_ARGUMENT', 'payload.toJSON is a function')
  assert.deepStrictEqual(roundTrip(vm.runInNewContext('({ a: [1, { b: Float64Array.of(2) }] })')), { a: [1, { b: Float64Array.of(2) }] })
  assert.deepStrictEqual(roundTrip(Object.assign(Object.create(null), { a: 1 })), { a: 1 })
})

test('a getter or a proxy that throws is a bad argument', () => {
  throws(() => encode({ a: [{ get b() { throw new Error('no such price') } }] }, 'payload'), 'INVALID_ARGUMENT', 'payload.a[0].b cannot be read: no such price')
  throws(() => encode({ a: { get b() { throw { toString: null } } } }, 'payload'), 'INVALID_ARGUMENT', 'payload.a.b cannot be read')
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  throws(() => encode({ proxy }, 'payload'), 'INVALID_ARGUMENT', 'payload.proxy cannot be read')
})

test('__proto__ is a key as any other', () => {
  const value = JSON.parse('{"__proto__": {"polluted": [1]}, "constructor": {"prototype": 2}}')
  own(value.__proto__, '__proto__', Float64Array.of(1))
  const back = roundTrip(value)
  assert.ok(Object.hasOwn(back, '__proto__'))
  assert.equal(Object.getPrototypeOf(back), Object.prototype)
  assert.deepStrictEqual(back, value)
  assert.deepStrictEqual(Object.getOwnPropertyDescriptor(back.__proto__, '__proto__').value, Float64Array.of(1))
  assert.equal({}.polluted, undefined)
})

test('depth and size have limits', () => {
  const nested = (depth) => { let value = []; for (let k = 1; k < depth; k++) value = [value]; return value }
  assert.deepStrictEqual(roundTrip(nested(512)), nested(512))
  throws(() => encode(nested(513), 'payload'), 'INVALID_ARGUMENT', 'nested more than 512 deep')
  throws(() => decode(ofJson('['.repeat(513) + ']'.repeat(513))), 'PROTOCOL', 'nested more than 512 deep')
  throws(() => decode(ofJson('{"a":'.repeat(1 << 20))), 'PROTOCOL', 'nested more than 512 deep')
  assert.equal(decode(ofJson(JSON.stringify('\\"' + '['.repeat(2000)))).length, 2002)

  const values = { a: new Float64Array(4) }
  const { length } = encode(values, 'payload')
  assert.equal(encode(values, 'payload', length).length, length)
  throws(() => encode(values, 'payload', length - 1), 'TOO_LARGE', `payload takes more than ${length - 1} bytes`)
  // 2^60 strings, of which none but the first few are written.
  let bomb = ['x']
  for (let k = 0; k < 60; k++) bomb = [bomb, bomb]
  throws(() => encode(bomb, 'payload', 1 << 20), 'TOO_LARGE', 'payload')
  throws(() => encode(new Array(2 ** 32 - 1).fill(0, 0, 10), 'payload', 1 << 20), 'INVALID_ARGUMENT', 'payload[10] is undefined')
  throws(() => encode(Array(1 << 20).fill(values.a), 'payload', 1 << 20), 'TOO_LARGE')
})

test('bytes that are no value are refused', () => {
  const good = encode(Float64Array.of(1), 'payload')
  const damaged = (at, ...bytes) => { const copy = Buffer.from(good); copy.set(bytes, at); return () => decode(copy) }
  for (let length = 0; length < good.length; length++) throws(() => decode(good.subarray(0, length)), 'PROTOCOL', 'is shorter than')
  throws(() => decode(Buffer.concat([good, Buffer.alloc(8)])), 'PROTOCOL', 'goes on after its end')
  throws(() => decode(Buffer.concat([ofJson('1'), Buffer.alloc(8)])), 'PROTOCOL', 'goes on after its end')
  throws(damaged(8, 11), 'PROTOCOL', 'unknown type 11')
  throws(damaged(12, 1), 'PROTOCOL', 'reserved')
  throws(damaged(16, 7), 'PROTOCOL', 'a Float64Array of 7 bytes')
  throws(damaged(16, ...Array(8).fill(0xf8)), 'PROTOCOL', 'shorter')
  throws(damaged(39, 1), 'PROTOCOL', 'padding')
  throws(damaged(24 + 7, 0x31), 'PROTOCOL', 'refers to the array "1", of 1')
  throws(damaged(24 + 1, ...Buffer.from('abcdefg')), 'PROTOCOL', 'stands nowhere')
  throws(damaged(24 + 1, 0xff), 'PROTOCOL', 'not UTF-8')
  throws(damaged(24, 0x78), 'PROTOCOL', 'not JSON')
  const two = encode([new Uint8Array(0), new Uint8Array(0)], 'payload')
  two[two.indexOf('1"')] = 0x30
  throws(() => decode(two), 'PROTOCOL', 'refers to the array "0"')
  for (const text of ['\\u0000', '\\u0000x', '\\u000000', '\\u0000 0', '\\u0000nan', '\\u0000-0', '\\u0000length']) {
    throws(() => decode(ofJson(`["${text}"]`)), 'PROTOCOL', 'refers to the array')
  }
  for (const text of ['[1,]', 'NaN', '1 2', '\ufeff1', "'x'", '[']) throws(() => decode(ofJson(text)), 'PROTOCOL', 'not JSON')
})

test('spoilt bytes give a value or the coded error', () => {
  const random = generator(11)
  const below = (n) => Math.floor(random() * n)
  for (let k = 0; k < 20_000; k++) {
    let bytes = Buffer.from(golden[below(golden.length)].hex, 'hex')
    for (let n = 1 + below(3); n > 0; n--) {
      switch (below(4)) {
        case 0: bytes[below(bytes.length)] ^= 1 << below(8); break
        case 1: bytes = bytes.subarray(0, below(bytes.length + 1)); break
        case 2: bytes = Buffer.concat([bytes, Buffer.alloc(below(17), below(256))]); break
        default: if (bytes.length >= 8) bytes.writeUInt32LE([0, 1, 2 ** 31, 2 ** 32 - 1][below(4)], below(bytes.length - 3))
      }
    }
    try {
      decode(bytes)
    } catch (error) {
      assert.equal(error.code, 'PROTOCOL', error.stack)
    }
  }
})
