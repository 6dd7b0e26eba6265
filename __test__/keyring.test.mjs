// Keyring: what seals and opens, what a key may become, who may read the file, and what two processes do to it at once.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Keyring, PatternLibrary } from '@neural-trader/midstreamer'
import { coded, rejects, throws } from './support/assertions.mjs'

/** A directory that is gone after the test. */
async function scratch(t) {
  const folder = await mkdtemp(join(tmpdir(), 'midstreamer-keyring-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const bytes = (text) => new TextEncoder().encode(text)
const text = (array) => new TextDecoder().decode(array)
const states = (ring) => Object.fromEntries(ring.keys().map(({ id, state }) => [id, state]))

/** Runs a module with arguments in a process of its own. */
function start(program, ...args) {
  return spawn(process.execPath, ['--input-type=module', '-e', program, ...args], { cwd: import.meta.dirname ?? new URL('.', import.meta.url).pathname })
}

test('what was sealed is what opens', async (t) => {
  const ring = await Keyring.open(join(await scratch(t), 'ring'))
  assert.match(ring.currentKeyId, /^[0-9a-f]{16}$/)
  for (const size of [0, 1, 255, 65_536, 1_000_003]) {
    const plain = Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251)
    const sealed = ring.seal(plain, 'desk/AAPL')
    assert.equal(Object.getPrototypeOf(sealed), Uint8Array.prototype)
    assert.equal(sealed.length, size + 44)
    assert.deepEqual(ring.open(sealed, 'desk/AAPL'), plain)
    assert.notDeepEqual(ring.seal(plain, 'desk/AAPL'), sealed, 'no two are alike')
  }
  // A part of a larger buffer, shared memory, a Buffer: only what is in the view counts.
  const whole = bytes('--secret--')
  const shared = new Uint8Array(new SharedArrayBuffer(6))
  shared.set(whole.subarray(2, 8))
  for (const view of [whole.subarray(2, 8), shared, Buffer.from('secret')]) {
    assert.equal(text(ring.open(Buffer.from(ring.seal(view)))), 'secret')
  }
  // No context is the empty one.
  assert.equal(text(ring.open(ring.seal(whole, ''))), '--secret--')
  assert.equal(text(ring.open(ring.seal(whole, undefined), '')), '--secret--')
})

test('series come back to the bit, and only as series', async (t) => {
  const ring = await Keyring.open(join(await scratch(t), 'ring'))
  const values = Float64Array.of(1.1, -0, 5e-324, Number.MAX_VALUE, -1 / 3)
  const sealed = ring.sealSeries(values, 'x')
  const opened = ring.openSeries(sealed, 'x')
  assert.ok(opened instanceof Float64Array)
  assert.deepEqual(new BigUint64Array(opened.buffer), new BigUint64Array(values.buffer))
  assert.deepEqual(ring.openSeries(ring.sealSeries([1, 2.5])), Float64Array.of(1, 2.5))
  assert.deepEqual(ring.openSeries(ring.sealSeries(Float32Array.of(0.1))), Float64Array.of(Math.fround(0.1)))
  throws(() => ring.open(sealed, 'x'), 'DECRYPT', 'openSeries')
  for (const size of [0, 7, 8]) throws(() => ring.openSeries(ring.seal(new Uint8Array(size))), 'DECRYPT', 'open()')
  throws(() => ring.sealSeries([1, 2, NaN]), 'NON_FINITE', 'values[2] is NaN')
  throws(() => ring.sealSeries(Float64Array.of(Infinity)), 'NON_FINITE', 'values[0]')
  throws(() => ring.sealSeries([]), 'EMPTY_SERIES', 'values')
  throws(() => ring.sealSeries([1, '2']), 'INVALID_ARGUMENT', 'values[1]')
  throws(() => ring.sealSeries('12'), 'INVALID_ARGUMENT', 'values')
})

test('whatever was changed, cut or moved stays closed', async (t) => {
  const folder = await scratch(t)
  const ring = await Keyring.open(join(folder, 'ring'))
  const sealed = ring.seal(bytes('a strategy'), 'desk')
  for (let at = 0; at < sealed.length; at++) {
    for (const bit of [1, 0x80]) {
      const changed = sealed.slice()
      changed[at] ^= bit
      throws(() => ring.open(changed, 'desk'), 'DECRYPT')
    }
  }
  for (let length = 0; length < sealed.length; length++) throws(() => ring.open(sealed.subarray(0, length), 'desk'), 'DECRYPT')
  throws(() => ring.open(Uint8Array.of(...sealed, 0), 'desk'), 'DECRYPT')
  for (const context of [undefined, '', 'Desk', 'desk ', 'desk\0']) throws(() => ring.open(sealed, context), 'DECRYPT')
  const other = await Keyring.open(join(folder, 'other'))
  throws(() => other.open(sealed, 'desk'), 'DECRYPT', ring.currentKeyId)
  assert.equal(text(ring.open(sealed, 'desk')), 'a strategy')
})

test('a key is installed, current, retired, removed', async (t) => {
  const path = join(await scratch(t), 'ring')
  const before = Date.now()
  const ring = await Keyring.open(path)
  const first = ring.currentKeyId
  const [{ createdAt, ...rest }, ...others] = ring.keys()
  assert.deepEqual([rest, others], [{ id: first, state: 'current' }, []])
  assert.ok(createdAt >= before && createdAt <= Date.now())
  const early = ring.seal(bytes('early'))

  const second = await ring.generate()
  assert.deepEqual(states(ring), { [first]: 'current', [second]: 'installed' })
  assert.equal(ring.currentKeyId, first)
  await rejects(() => ring.retire(first), 'INVALID_ARGUMENT', first, 'current')
  await rejects(() => ring.remove(first), 'INVALID_ARGUMENT', first, 'current')
  await rejects(() => ring.remove(second), 'INVALID_ARGUMENT', second, 'retire it first')
  assert.equal(await ring.use(second), undefined)
  assert.deepEqual(states(ring), { [first]: 'retired', [second]: 'current' })
  await ring.use(second)
  await ring.retire(first)
  await ring.use(first)
  assert.deepEqual(states(ring), { [first]: 'current', [second]: 'retired' }, 'the way back')
  await ring.use(second)
  const third = await ring.rotate()
  assert.equal(ring.currentKeyId, third)
  assert.deepEqual(states(ring), { [first]: 'retired', [second]: 'retired', [third]: 'current' })
  assert.equal(text(ring.open(early)), 'early')
  assert.deepEqual(states(await Keyring.open(path)), states(ring))

  // Sealed anew, lazily: what is under the current key already is returned as it is.
  const renewed = ring.reseal(early)
  assert.notEqual(renewed, early)
  assert.equal(ring.reseal(renewed), renewed)
  const series = ring.sealSeries([1, 2], 'x')
  await ring.rotate()
  assert.deepEqual(ring.openSeries(ring.reseal(series, 'x'), 'x'), Float64Array.of(1, 2))
  throws(() => ring.reseal(series, 'y'), 'DECRYPT')
  throws(() => ring.reseal(bytes('no envelope')), 'DECRYPT')

  await ring.remove(first)
  throws(() => ring.open(early), 'DECRYPT', first)
  assert.equal(text(ring.open(renewed)), 'early')
  for (const step of ['use', 'retire', 'remove']) {
    await rejects(() => ring[step](first), 'NOT_FOUND', first)
    await rejects(() => ring[step]('nobody'), 'NOT_FOUND', 'keyId')
  }
  await rejects(() => ring.export(first, 'x'), 'NOT_FOUND', first)
})

test('three nodes change their key, and at no moment can one of them not read', async (t) => {
  const folder = await scratch(t)
  const nodes = await Promise.all([0, 1, 2].map((n) => Keyring.open(join(folder, `ring-${n}`), n === 1 ? { passphrase: 'node' } : undefined)))
  const old = nodes[0].currentKeyId
  const first = await nodes[0].export(old, 'between us')
  for (const node of nodes.slice(1)) {
    assert.equal(await node.install(first, bytes('between us')), old)
    await node.use(old)
  }
  const kept = []
  const everybodyReads = () => {
    for (const node of nodes) kept.push(node.seal(bytes('a strategy'), 'desk'))
    for (const node of nodes) for (const sealed of kept) assert.equal(text(node.open(sealed, 'desk')), 'a strategy')
  }
  everybodyReads()
  const fresh = await nodes[0].generate()
  everybodyReads()
  const exported = await nodes[0].export(fresh, 'between us')
  for (const node of nodes) {
    assert.equal(await node.install(exported, 'between us'), fresh)
    everybodyReads()
  }
  for (const step of [(node) => node.use(fresh), (node) => node.retire(old)]) {
    for (const node of nodes) {
      await step(node)
      everybodyReads()
    }
  }
  const renewed = kept.map((sealed) => nodes[2].reseal(sealed, 'desk'))
  for (const node of nodes) await node.remove(old)
  for (const node of nodes) for (const sealed of renewed) assert.equal(text(node.open(sealed, 'desk')), 'a strategy')
  for (const node of nodes) throws(() => node.open(kept[0], 'desk'), 'DECRYPT', old)
  const created = nodes.map((node) => node.keys().find(({ id }) => id === fresh).createdAt)
  assert.deepEqual(created, [created[0], created[0], created[0]])
})

test('an exported key opens with its passphrase, whole', async (t) => {
  const folder = await scratch(t)
  const ring = await Keyring.open(join(folder, 'ring'))
  const other = await Keyring.open(join(folder, 'other'))
  const id = ring.currentKeyId
  const exported = await ring.export(id, 'open sesame')
  assert.ok(exported instanceof Uint8Array)
  assert.notDeepEqual(await ring.export(id, 'open sesame'), exported)
  await rejects(() => other.install(exported, 'open sesam'), 'DECRYPT', 'passphrase')
  for (const length of [0, 1, 50, exported.length - 1]) await rejects(() => other.install(exported.subarray(0, length), 'open sesame'), 'DECRYPT')
  for (const at of [0, 4, 20, 30, 45, exported.length - 1]) {
    const changed = exported.slice()
    changed[at] ^= 1
    await rejects(() => other.install(changed, 'open sesame'), 'DECRYPT')
  }
  assert.equal(other.keys().length, 1)
  assert.equal(await other.install(exported, 'open sesame'), id)
  assert.equal(states(other)[id], 'installed')
  await other.use(id)
  // Again: nothing changes.
  assert.equal(await other.install(exported, 'open sesame'), id)
  assert.equal(states(other)[id], 'current')
  assert.equal(text(other.open(ring.seal(bytes('hello')))), 'hello')
})

test('arguments: every mistake is named, and nothing secret is in a message', async (t) => {
  const folder = await scratch(t)
  const path = join(folder, 'ring')
  throws(() => new Keyring(), 'INVALID_ARGUMENT', 'Keyring.open')
  for (const bad of [undefined, null, 5, '', 'a\0b', ['a']]) await rejects(() => Keyring.open(bad), 'INVALID_ARGUMENT', 'path')
  for (const bad of ['', new Uint8Array(), 5, null, ['hunter2'], '\ud800']) await rejects(() => Keyring.open(path, { passphrase: bad }), 'INVALID_ARGUMENT', 'passphrase')
  await rejects(() => Keyring.open(path, { pasphrase: 'a' }), 'INVALID_ARGUMENT', 'did you mean "passphrase"')
  await rejects(() => Keyring.open(path, null), 'INVALID_ARGUMENT', 'options')
  await rejects(() => Keyring.open(join(folder, 'none', 'ring')), 'STORE')
  assert.deepEqual(await readdir(folder), [], 'none of them has made anything')
  const ring = await Keyring.open(path)
  for (const bad of ['hunter2', ['hunter2'], 5, null, undefined, new Float64Array(2), new ArrayBuffer(8)]) {
    const quiet = (error) => coded('INVALID_ARGUMENT')(error) && !error.message.includes('hunter2')
    assert.throws(() => ring.seal(bad), quiet)
    assert.throws(() => ring.open(bad), quiet)
    assert.throws(() => ring.openSeries(bad), quiet)
    assert.throws(() => ring.reseal(bad), quiet)
    await assert.rejects(() => ring.install(bad, 'x'), quiet)
    if (typeof bad !== 'string') await assert.rejects(() => ring.export(ring.currentKeyId, bad), quiet)
  }
  const sealed = ring.seal(bytes('x'))
  for (const bad of [5, null, {}, 'x'.repeat(65_537), '\u20ac'.repeat(30_000), '\ud800']) {
    throws(() => ring.seal(bytes('x'), bad), 'INVALID_ARGUMENT', 'context')
    throws(() => ring.open(sealed, bad), 'INVALID_ARGUMENT', 'context')
    throws(() => ring.sealSeries([1], bad), 'INVALID_ARGUMENT', 'context')
    throws(() => ring.openSeries(sealed, bad), 'INVALID_ARGUMENT', 'context')
  }
  for (const bad of [undefined, '', 5, null, {}]) {
    for (const step of ['use', 'retire', 'remove']) await rejects(() => ring[step](bad), 'INVALID_ARGUMENT', 'keyId')
    await rejects(() => ring.export(bad, 'x'), 'INVALID_ARGUMENT', 'keyId')
  }
  const gone = bytes('gone')
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  throws(() => ring.seal(gone), 'INVALID_ARGUMENT', 'plaintext', 'detached')
  assert.equal(ring.keys().length, 1)
})

test('no key is shown by anything', async (t) => {
  const path = join(await scratch(t), 'ring')
  const ring = await Keyring.open(path)
  const { keys: [{ key }] } = JSON.parse(await readFile(path, 'utf8'))
  assert.match(key, /^[0-9a-f]{64}$/)
  const raw = Buffer.from(key, 'hex')
  const shown = [
    inspect(ring, { showHidden: true, depth: 20, getters: true }), JSON.stringify(ring), `${ring}`, inspect(ring.keys()), inspect(Object.getOwnPropertyDescriptors(ring)),
    inspect(await ring.export(ring.currentKeyId, 'x'), { maxArrayLength: null }),
  ]
  await writeFile(path, (await readFile(path, 'utf8')).slice(0, -60))
  for (const call of [() => ring.seal(raw), () => ring.keys()]) assert.throws(call, (error) => shown.push(inspect(error)) > 0)
  for (const part of shown) {
    assert.ok(!part.includes(key.slice(0, 12)), part)
    assert.ok(!part.includes(Array.from(raw.subarray(0, 4)).join(', ')), part)
  }
})

test('what others can read is refused', { skip: process.platform === 'win32' }, async (t) => {
  const folder = await scratch(t)
  const path = join(folder, 'ring')
  await (await Keyring.open(path)).rotate()
  for (const file of await readdir(folder)) assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600, file)
  await chmod(path, 0o644)
  await rejects(() => Keyring.open(path), 'FORBIDDEN', path, '0644')
  await chmod(path, 0o600)
  await Keyring.open(path)
})

test('the passphrase encrypts the file, as text and as bytes', async (t) => {
  const folder = await scratch(t)
  const path = join(folder, 'ring')
  const ring = await Keyring.open(path, { passphrase: 'open s\u00e9same' })
  const id = await ring.rotate()
  const file = await readFile(path, 'utf8')
  assert.ok(!file.includes(id) && !file.includes('current') && !file.includes('same'))
  const secret = bytes('open s\u00e9same')
  const again = await Keyring.open(path, { passphrase: secret })
  assert.equal(text(secret), 'open s\u00e9same', 'what was passed is left alone')
  assert.deepEqual(again.keys(), ring.keys())
  await rejects(() => Keyring.open(path), 'DECRYPT', 'passphrase')
  await assert.rejects(Keyring.open(path, { passphrase: 'hunter2' }), (error) => coded('DECRYPT')(error) && !error.stack.includes('hunter2'))
  const plain = join(folder, 'plain')
  await Keyring.open(plain)
  await rejects(() => Keyring.open(plain, { passphrase: 'x' }), 'DECRYPT', 'not encrypted')
})

test('a keyring that has to be there is not made', async (t) => {
  const path = join(await scratch(t), 'ring')
  await rejects(() => Keyring.open(path, { create: false }), 'NOT_FOUND', path)
  const id = (await Keyring.open(path)).currentKeyId
  assert.equal((await Keyring.open(path, { create: false })).currentKeyId, id)
  await rejects(() => Keyring.open(path, { create: 1 }), 'INVALID_ARGUMENT', 'create')
  // A passphrase in the place of an id is not shown.
  const ring = await Keyring.open(path)
  await assert.rejects(ring.export('correct horse battery', id), (error) => error.code === 'NOT_FOUND' && !error.message.includes('horse'))
})

test('damage and refusals of the system have their codes', async (t) => {
  const folder = await scratch(t)
  const path = join(folder, 'ring')
  const ring = await Keyring.open(path)
  const sealed = ring.seal(bytes('kept'))
  const whole = await readFile(path, 'utf8')
  const { keys: [{ key }] } = JSON.parse(whole)
  const wrong = whole.replace(key, key.slice(0, -1) + (key.endsWith('0') ? '1' : '0'))
  for (const damaged of ['', '{}', whole.slice(0, 40), wrong, whole.replace('current', 'retired'), `${whole}x`]) {
    await writeFile(path, damaged)
    await rejects(() => Keyring.open(path), 'CORRUPT', path)
    await rejects(() => ring.rotate(), 'CORRUPT', path)
    throws(() => ring.seal(bytes('x')), 'CORRUPT', path)
    assert.equal(text(ring.open(sealed)), 'kept')
  }
  await writeFile(path, whole.replace('"version": 1', '"version": 7'))
  await rejects(() => Keyring.open(path), 'SCHEMA', '7')
  await rm(path)
  throws(() => ring.currentKeyId, 'STORE', path)
  await rejects(() => ring.generate(), 'STORE', path)
  // Windows opens no directory.
  await rejects(() => Keyring.open(folder), process.platform === 'win32' ? 'STORE' : 'CORRUPT', folder)
})

test('a library is sealed as a whole, with its ids and its meta', async (t) => {
  const folder = await scratch(t)
  const path = join(folder, 'patterns')
  const ring = await Keyring.open(join(folder, 'ring'))
  const library = new PatternLibrary({ length: 16, window: 2, normalize: 'zscore' })
  const values = (i) => Float64Array.from({ length: 16 }, (_, k) => Math.sin(i * 7 + k) / 3)
  library.add(Array.from({ length: 2000 }, (_, i) => ({ id: `AAPL-${i}`, values: values(i), meta: { endsAt: i, note: 'confidential' } })))
  await library.save(path, { keyring: ring })
  const file = await readFile(path)
  for (const shown of ['AAPL', 'confidential', 'endsAt', 'MSPL-END']) assert.ok(!file.includes(shown), shown)
  const loaded = await PatternLibrary.load(path, { keyring: ring })
  assert.equal(loaded.size, 2000)
  assert.deepEqual(loaded.get('AAPL-1234'), library.get('AAPL-1234'))
  assert.deepEqual(await loaded.search(values(3), { k: 5 }), await library.search(values(3), { k: 5 }))

  await rejects(() => PatternLibrary.load(path), 'DECRYPT', 'sealed')
  await rejects(() => PatternLibrary.fromBytes(file), 'DECRYPT', 'sealed')
  const other = await Keyring.open(join(folder, 'other'))
  await rejects(() => PatternLibrary.load(path, { keyring: other }), 'DECRYPT', ring.currentKeyId)
  const plain = join(folder, 'plain')
  await library.save(plain)
  await rejects(() => PatternLibrary.load(plain, { keyring: ring }), 'DECRYPT', 'not sealed')
  for (const at of [0, 9, 20, 30, 60, file.length >> 1, file.length - 1]) {
    const changed = Buffer.from(file)
    changed[at] ^= 1
    await writeFile(path, changed)
    await rejects(() => PatternLibrary.load(path, { keyring: ring }), 'DECRYPT')
  }
  for (const length of [0, 10, 60, 56 + 65_552, file.length - 1]) {
    await writeFile(path, file.subarray(0, length))
    await rejects(() => PatternLibrary.load(path, { keyring: ring }), 'DECRYPT')
  }
  await rejects(() => PatternLibrary.load(join(folder, 'none'), { keyring: ring }), 'NOT_FOUND')
  for (const bad of [null, {}, 'ring', Keyring, Object.create(Keyring.prototype)]) {
    await rejects(() => library.save(path, { keyring: bad }), 'INVALID_ARGUMENT', 'keyring')
    await rejects(() => PatternLibrary.load(path, { keyring: bad }), 'INVALID_ARGUMENT', 'keyring')
  }

  // One library does not pass for another: each has a context of its own.
  const [apple, microsoft] = [join(folder, 'AAPL'), join(folder, 'MSFT')]
  await library.save(apple, { keyring: ring, context: 'AAPL' })
  await library.save(microsoft, { keyring: ring, context: 'MSFT' })
  assert.equal((await PatternLibrary.load(apple, { keyring: ring, context: 'AAPL' })).size, 2000)
  for (const context of ['MSFT', '', undefined]) await rejects(() => PatternLibrary.load(apple, { keyring: ring, context }), 'DECRYPT', 'context')
  await rejects(() => library.save(apple, { context: 'AAPL' }), 'INVALID_ARGUMENT', 'context', 'keyring')
  await rejects(() => library.save(apple, { keyring: ring, context: 5 }), 'INVALID_ARGUMENT', 'context')

  // A save seals with the key that is current, whichever opened it.
  await writeFile(path, file)
  const old = ring.currentKeyId
  await ring.rotate()
  await (await PatternLibrary.load(path, { keyring: ring })).save(path, { keyring: ring })
  await ring.remove(old)
  assert.equal((await PatternLibrary.load(path, { keyring: ring })).size, 2000)
})

test('processes that share a file lose none of their keys', async (t) => {
  const path = join(await scratch(t), 'ring')
  const program = `
    import { Keyring } from '@neural-trader/midstreamer'
    const ring = await Keyring.open(process.argv[1])
    const made = []
    for (let i = 0; i < 10; i++) {
      made.push(i % 2 ? await ring.rotate() : await ring.generate())
      // With the key of another one, perhaps; whichever it is, everybody has it.
      made.push(Buffer.from(ring.seal(Buffer.from('hello'))).toString('hex'))
    }
    process.stdout.write(JSON.stringify(made))
  `
  const run = async () => {
    const child = start(program, path)
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk) => { output += chunk })
    child.stderr.on('data', (chunk) => { errors += chunk })
    const [status] = await once(child, 'close')
    assert.deepEqual([errors, status], ['', 0])
    return JSON.parse(output)
  }
  const made = (await Promise.all([run(), run(), run()])).flat()
  const ring = await Keyring.open(path)
  assert.equal(ring.keys().length, 31)
  for (const one of made) {
    if (one.length === 16) assert.ok(one in states(ring))
    else assert.equal(text(ring.open(Buffer.from(one, 'hex'))), 'hello')
  }
})

test('a process that is killed leaves the ring whole, with every key that it had sealed with', async (t) => {
  const path = join(await scratch(t), 'ring')
  const program = `
    import { writeSync } from 'node:fs'
    import { Keyring } from '@neural-trader/midstreamer'
    const ring = await Keyring.open(process.argv[1])
    for (;;) {
      await ring.rotate()
      writeSync(1, Buffer.from(ring.seal(Buffer.from('hello'))).toString('hex') + '\\n')
    }
  `
  await Keyring.open(path)
  for (let round = 0; round < 4; round++) {
    const child = start(program, path)
    const ended = once(child, 'close')
    let output = ''
    await new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        output += chunk
        // In the middle of whatever it does after some lines.
        if (output.split('\n').length > 3 + round) resolve()
      })
      child.on('close', () => reject(new Error('the process has ended by itself')))
    })
    child.kill('SIGKILL')
    await ended
    const ring = await Keyring.open(path)
    const lines = output.split('\n').slice(0, -1)
    assert.ok(lines.length >= 3)
    for (const line of lines) assert.equal(text(ring.open(Buffer.from(line, 'hex'))), 'hello')
    await ring.rotate()
  }
})
