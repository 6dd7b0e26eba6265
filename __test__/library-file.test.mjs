// Pattern libraries in files: what comes back, in which order saves take effect, and what is refused.

import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { dtwBatch, dtwMatrix, PatternLibrary } from '@neural-trader/midstreamer'
import { rejects } from './support/assertions.mjs'
import { libraryOf, randomShape } from './support/library.mjs'
import { generator, pick, series, walk } from './support/random.mjs'

test('save and load: same options, patterns, order, meta and answers', async (t) => {
  const random = generator(12)
  const folder = await mkdtemp(join(tmpdir(), 'library-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'patterns')
  for (let seed = 1; seed <= 8; seed++) {
    const shape = randomShape(random)
    const row = shape.length * (shape.channels ?? 1)
    const library = new PatternLibrary(shape)
    for (let i = 0; i < pick(random, [0, 1, 300, 3000]); i++) {
      const meta = pick(random, [undefined, null, { endsAt: i % 9, text: '\ud800 \u00e9 \u{1f600}' }, [1, 'x', { y: 2 }]])
      library.add(meta === undefined ? { id: `p${i}\u00e9`, values: series(random, row) } : { id: `p${i}\u00e9`, values: series(random, row), meta })
    }
    for (let i = 0; i < library.size; i += 3) library.remove(`p${i}\u00e9`)
    await library.save(file)
    const loaded = await PatternLibrary.load(file)
    assert.ok(loaded instanceof PatternLibrary)
    assert.equal(loaded.size, library.size)
    assert.equal(loaded.lastSearch, null)
    for (const asOf of [undefined, 4]) {
      const [query, options] = [series(random, row), { k: 5000, asOf }]
      assert.deepEqual(loaded.searchSync(query, options), library.searchSync(query, options))
    }
    for (const { id } of library.searchSync(series(random, row), { k: 20 })) assert.deepEqual(loaded.get(id), library.get(id))
    loaded.add({ id: 'more', values: series(random, row) })
    assert.equal(loaded.remove('more'), true)
    await loaded.save(join(folder, 'again'))
    assert.deepEqual(await readFile(join(folder, 'again')), await readFile(file))
  }
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: { endsAt: Infinity, list: [NaN] } })
  await library.save(file)
  assert.deepEqual((await PatternLibrary.load(file)).get('a').meta, { endsAt: null, list: [null] })
  assert.ok(Object.isFrozen((await PatternLibrary.load(file)).get('a').meta.list))
})

test('saves to one path take effect in the order of the calls', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'midstreamer-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'patterns')
  const library = new PatternLibrary({ length: 64 })
  const count = 5000
  library.add({ ids: Array.from({ length: count }, (_, i) => `${i}`), data: new Float64Array(count * 64) })
  library.add({ id: 'keep', values: new Float64Array(64) })
  const large = library.save(file)
  for (let i = 0; i < count; i++) library.remove(`${i}`)
  // One that fails in between must not hold up the queue.
  const refused = rejects(() => library.save(join(file, 'below a file')), 'STORE')
  const small = library.save(join(folder, '.', 'patterns'))
  await small
  assert.equal((await PatternLibrary.load(file)).size, 1)
  await Promise.all([large, refused])
  assert.equal((await PatternLibrary.load(file)).size, 1)
  assert.deepEqual(await readdir(folder), ['patterns'])
})

test('a search and a save do not wait for a matrix, and neither does an abort', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'midstreamer-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const random = generator(77)
  const library = new PatternLibrary({ length: 2 })
  library.add({ id: 'a', values: [1, 2] })
  // Of minutes, on every thread for batches.
  const endless = new AbortController()
  const matrix = dtwMatrix(Array.from({ length: 60 }, () => walk(random, 20_000)), { signal: endless.signal })
  let ended = false
  const settled = matrix.catch((error) => error).then((error) => { ended = true; return error })
  assert.equal((await library.search([1, 2]))[0].distance, 0)
  await library.save(join(folder, 'patterns'))
  assert.equal((await PatternLibrary.load(join(folder, 'patterns'))).size, 1)
  const queued = new AbortController()
  setTimeout(() => queued.abort(), 5)
  await rejects(() => dtwBatch([1, 2], [[1, 2]], { signal: queued.signal }), 'ABORTED')
  assert.equal(ended, false)
  endless.abort()
  assert.equal((await settled).code, 'ABORTED')
})

test('bytes hold what a file holds, and are checked as a file is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'library-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'patterns')
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: { endsAt: 5, list: [null, '\u00e9'] } }, { id: 'b', values: [4, 5, 6] })
  await library.save(file)
  assert.deepEqual(Buffer.from(await library.toBytes()), await readFile(file))
  const loaded = await PatternLibrary.fromBytes(await readFile(file))
  assert.deepEqual([loaded.get('a'), loaded.get('b'), loaded.size], [library.get('a'), library.get('b'), 2])
})

test('save takes the library as it is when it is called', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'library-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'patterns')
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: 'old' }, { id: 'b', values: [4, 5, 6] })
  const saved = library.save(file)
  library.remove('a')
  library.add([{ id: 'a', values: [7, 8, 9], meta: 'new' }, { id: 'c', values: [1, 2, 3] }])
  await saved
  const loaded = await PatternLibrary.load(file)
  assert.equal(loaded.size, 2)
  assert.deepEqual(loaded.get('a'), { id: 'a', values: Float64Array.of(1, 2, 3), meta: 'old' })
})

test('files that are not there, not libraries or not writable', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'library-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'patterns')
  const library = libraryOf({ id: 'a', values: [1, 2, 3], meta: { x: 1 } })
  await rejects(() => PatternLibrary.load(file), 'NOT_FOUND', file)
  await rejects(() => PatternLibrary.load(folder), 'STORE', folder)
  await rejects(() => library.save(folder), 'STORE')
  await rejects(() => library.save(join(folder, 'none', 'patterns')), 'STORE')
  for (const path of [undefined, 5, '', 'a\0b', Buffer.from('x')]) {
    await rejects(() => library.save(path), 'INVALID_ARGUMENT', 'path')
    await rejects(() => PatternLibrary.load(path), 'INVALID_ARGUMENT', 'path')
  }
  await rejects(() => library.save(file, { keyring: {} }), 'INVALID_ARGUMENT', 'keyring', 'Keyring.open')
  await rejects(() => PatternLibrary.load(file, { keyring: {} }), 'INVALID_ARGUMENT', 'keyring')
  await rejects(() => library.save(file, { sync: true }), 'INVALID_ARGUMENT', '"sync"')
  await library.save(file)
  const bytes = await readFile(file)
  for (const [what, change] of [
    ['empty', () => Buffer.alloc(0)], ['text', () => Buffer.from('not a library')], ['cut', () => bytes.subarray(0, -1)],
    ['longer', () => Buffer.concat([bytes, Buffer.of(0)])],
    ['a bit', () => { const copy = Buffer.from(bytes); copy[bytes.length >> 1] ^= 1; return copy }],
  ]) {
    await writeFile(file, change())
    await rejects(() => PatternLibrary.load(file), 'CORRUPT')
    assert.deepEqual(await readFile(file), change(), what)
  }
  await library.save(file)
  assert.deepEqual(await readFile(file), bytes)
  assert.deepEqual(await readdir(folder), ['patterns'])
})
