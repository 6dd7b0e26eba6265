// What is the module's own: it stands beside the addon, its workers come and go, and what goes wrong in it has a code.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import * as addon from '@neural-trader/midstreamer'
import * as module from '@neural-trader/midstreamer/wasm'
import { bundleNode } from '../../scripts/wasm.mjs'
import { errorsOf } from '../support/assertions.mjs'
import { generator, walk } from '../support/random.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { MidstreamerError } = module
const { rejects, throws } = errorsOf(MidstreamerError)

/** Values that the declarations export: those of index.d.ts by a list, the others by themselves. */
function declared(file) {
  const text = readFileSync(join(root, file), 'utf8')
  const [, list] = /^export \{\n([\s\S]*?)^\} from '.\/index.js'/m.exec(text)
  const own = [...text.matchAll(/^export function (\w+)/gm)].map(([, name]) => name)
  return [...list.matchAll(/^ {2}(\w+),$/gm)].map(([, name]) => name).concat(own).sort()
}

test('the names are those of the addon, without what needs sockets, files and keys', () => {
  const without = ['Agent', 'AgentDbSync', 'CertificateAuthority', 'Coordinator', 'Keyring', 'PatternLearner', 'verifyAuditLog']
  assert.deepEqual(Object.keys(module).sort(), [...Object.keys(addon).filter((name) => !without.includes(name)), 'initialize'].sort())
  assert.deepEqual(declared('wasm.d.mts'), Object.keys(module).sort())
  for (const [name, value] of Object.entries(module)) assert.equal(value.name, name)
  assert.deepEqual(module.version(), { package: addon.version().package, kernel: 'simd128', threads: availableParallelism() })
  assert.notEqual(MidstreamerError, addon.MidstreamerError)
})

test('initialize: nothing left to do here, but options are checked', async () => {
  assert.equal(await module.initialize(), undefined)
  assert.equal(await module.initialize({ workers: 2 }), undefined)
  for (const workers of [-1, 0.5, '2', null]) await rejects(() => module.initialize({ workers }), 'INVALID_ARGUMENT', 'workers')
  await rejects(() => module.initialize({ worker: 2 }), 'INVALID_ARGUMENT', 'workers')
})

test('libraries cross between addon and module, with every bit', async () => {
  const random = generator(21)
  const library = new addon.PatternLibrary({ length: 40, window: 4, normalize: 'zscore' })
  library.add(Array.from({ length: 900 }, (_, i) => ({ id: `p${i}`, values: walk(random, 40), meta: { endsAt: i } })))
  const bytes = await library.toBytes()
  const here = await module.PatternLibrary.fromBytes(bytes)
  assert.deepEqual(await here.toBytes(), bytes)
  for (let round = 0; round < 20; round++) {
    const [query, options] = [walk(random, 40), { k: 7, asOf: round * 50 }]
    const wanted = library.searchSync(query, options)
    assert.deepEqual(here.searchSync(query, options), wanted)
    assert.deepEqual(await here.search(query, options), wanted)
  }
  assert.equal((await addon.PatternLibrary.fromBytes(await here.toBytes())).size, 900)
})

test('there are no files', async () => {
  const library = new module.PatternLibrary({ length: 2 })
  await rejects(() => library.save('x'), 'INVALID_ARGUMENT', 'toBytes')
  await rejects(() => module.PatternLibrary.load('x'), 'INVALID_ARGUMENT', 'fromBytes')
})

test('more than a module can hold is refused before it is copied', async () => {
  // Pages that nobody touches take no memory.
  const large = new Float64Array(2 ** 28)
  await rejects(() => module.dtw(large, [1]), 'TOO_LARGE', `${2 ** 31 + 8} bytes`)
  throws(() => module.dtwSync([1], large), 'TOO_LARGE')
  throws(() => new module.PatternLibrary({ length: 2 ** 28 }).add({ ids: ['a', 'b'], data: new Float64Array(2 ** 29) }), 'TOO_LARGE')
  assert.equal(module.dtwSync([1], [3]), 2)
})

test('a process lives until its last call is answered, and no longer', async () => {
  const program = `
    import { dtwBatch } from '@neural-trader/midstreamer/wasm'
    dtwBatch(new Float64Array(3000), { data: new Float64Array(60_000), length: 3000 }).then(({ length }) => console.log(length))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd: root, timeout: 120_000 })
  assert.equal(stdout, '20\n')
})

test('workers that were aborted are replaced, and what waits gets its turn', async () => {
  const random = generator(22)
  const series = Array.from({ length: 60 }, () => walk(random, 20_000))
  for (let round = 0; round < 3; round++) {
    const controllers = Array.from({ length: availableParallelism() + 2 }, () => new AbortController())
    const endless = controllers.map(({ signal }) => module.dtwMatrix(series, { signal }).then(() => 'done', ({ code }) => code))
    const waiting = module.dtwBatch([1], [[3], [4]])
    controllers.forEach((controller, i) => setTimeout(() => controller.abort(), 5 * i))
    assert.deepEqual(await Promise.all(endless), controllers.map(() => 'ABORTED'))
    assert.deepEqual(await waiting, Float64Array.of(2, 3))
  }
})

test('a batch is divided among workers, with the bits of the whole', async () => {
  const random = generator(24)
  for (const [count, length, channels] of [[2, 10_000, 1], [501, 100, 1], [333, 120, 2], [40_000, 1, 1]]) {
    const query = walk(random, 60 * channels)
    const data = walk(random, count * length)
    const options = { channels, normalize: 'zscore', window: 40 }
    let last = 0
    const onProgress = (done, total) => {
      assert.ok(last <= done && done <= total && total === count, `${last}, ${done}, ${total}`)
      last = done
    }
    const candidates = { data, length: length / channels }
    assert.deepEqual(await module.dtwBatch(query, candidates, { ...options, onProgress }), await addon.dtwBatch(query, candidates, options))
    assert.equal(last, count)
    if (channels === 1) assert.deepEqual(await module.elasticBatch('msm', query, candidates), await addon.elasticBatch('msm', query, candidates))
  }
  const list = Array.from({ length: 700 }, (_, i) => walk(random, 2 + ((i * 37) % 90)))
  const query = walk(random, 50)
  assert.deepEqual(await module.dtwBatch(query, list), await addon.dtwBatch(query, list))
  assert.deepEqual(await module.elasticBatch('erp', query, list, { gap: 1 }), await addon.elasticBatch('erp', query, list, { gap: 1 }))

  // What is refused is named by its place in the whole.
  const spoilt = list.slice()
  spoilt[600] = [1, NaN]
  await rejects(() => module.dtwBatch(query, spoilt), 'NON_FINITE', 'candidates[600]')
  spoilt[600] = []
  await rejects(() => module.dtwBatch(query, spoilt), 'EMPTY_SERIES', 'candidates[600]')
  await rejects(() => module.dtwBatch([Infinity], list), 'NON_FINITE', 'query')
  const data = walk(random, 50_000)
  data[49_999] = Infinity
  const refused = await addon.dtwBatch(query, { data, length: 100 }).catch(({ message }) => message)
  await rejects(() => module.dtwBatch(query, { data, length: 100 }), 'NON_FINITE', refused)

  const controller = new AbortController()
  const long = Array.from({ length: 50 }, () => walk(random, 20_000))
  const aborted = module.dtwBatch(long[0], long, { signal: controller.signal })
  setTimeout(() => controller.abort(), 20)
  await rejects(() => aborted, 'ABORTED')
})

/** The module with what its public entries leave out. */
async function internals(t) {
  const folder = await mkdtemp(join(root, 'target', 'wasm', 'test-'))
  t.after(() => rm(folder, { recursive: true }))
  await bundleNode([join(root, '__test__', 'wasm', 'internals.mjs'), join(root, 'js', 'web', 'node-worker.mjs')], folder)
  await copyFile(join(root, 'wasm', 'midstreamer.wasm'), join(folder, 'midstreamer.wasm'))
  return await import(pathToFileURL(join(folder, 'internals.mjs')))
}

test('a panic is an INTERNAL error, on this thread and in a worker, and both go on', async (t) => {
  const { native, run, fromNative, dtw, dtwSync } = await internals(t)
  const injected = ({ code, message }) => code === 'INTERNAL' && message.includes('injected panic')
  for (let round = 0; round < 3; round++) {
    await assert.rejects(run({}, 1, () => native.panicForTestAsync()), injected)
    assert.throws(() => native.panicForTest(), (error) => injected(fromNative(error)))
    assert.deepEqual([await dtw([1], [3]), dtwSync([1], [3])], [2, 2])
  }
})

test('workers that do not start, or end, fail the calls that they were for, and no others', async (t) => {
  const { Pool } = await internals(t)
  const refused = { code: 'INTERNAL', message: /a worker of the WebAssembly module failed: / }
  const forbidden = new Pool(undefined, { width: 2, start() { throw new Error('forbidden') } })
  const both = [forbidden.run('dtw', []), forbidden.run('dtw', [])]
  for (const call of both) await assert.rejects(call, { ...refused, message: /forbidden/ })

  // The first worker starts and its like never again; the second call waits for it.
  const started = []
  const host = {
    width: 2,
    start(_, events) {
      if (started.length === 1) throw new Error('no more')
      const worker = { ...events, posted: [], post: (message) => worker.posted.push(message), hold() {}, release() {}, end() {} }
      started.push(worker)
      return worker
    },
  }
  const pool = new Pool(undefined, host)
  const [first, second] = [pool.run('dtw', [1]), pool.run('dtw', [2])]
  const [worker] = started
  assert.deepEqual(worker.posted.map(({ args }) => args), [[1]])
  worker.answered({ id: worker.posted[0].id, result: 'one' })
  assert.equal(await first, 'one')
  assert.deepEqual(worker.posted.map(({ args }) => args), [[1], [2]])
  worker.failed(new Error('it ended'))
  await assert.rejects(second, { ...refused, message: /it ended/ })
})

test('a worker whose memory has grown is not kept', async (t) => {
  const { Pool, serve } = await internals(t)
  const posted = []
  const answer = serve(undefined, (message) => posted.push(message))
  answer({ id: 1, name: 'dtwBatch', args: [Float64Array.of(1), new Float64Array(1000), new Float64Array(0), 1, 0, -1, 0, Infinity, 1] })
  answer({ id: 2, name: 'dtwBatch', args: [Float64Array.of(1), new Float64Array(8_000_000), new Float64Array(0), 1, 0, -1, 0, Infinity, 1] })
  assert.deepEqual(posted.map(({ result, grown }) => [result.length, grown]), [[1000, false], [8_000_000, true]])

  const started = []
  const host = {
    width: 1,
    start(_, events) {
      const worker = { ...events, ended: 0, posted: [], post: (message) => worker.posted.push(message), hold() {}, release() {}, end() { worker.ended++ } }
      started.push(worker)
      return worker
    },
  }
  const pool = new Pool(undefined, host)
  const calls = [pool.run('dtw', [1]), pool.run('dtw', [2])]
  started[0].answered({ id: started[0].posted[0].id, result: 'one', grown: true })
  started[1].answered({ id: started[1].posted[0].id, result: 'two', grown: false })
  assert.deepEqual(await Promise.all(calls), ['one', 'two'])
  assert.deepEqual(started.map(({ ended }) => ended), [1, 0])
})

test('a browser without workers, as far as Node can stand in for one', async () => {
  const page = await import('../../wasm/browser.mjs')
  const { rejects, throws } = errorsOf(page.MidstreamerError)
  await rejects(() => page.dtw([1], [2]), 'CLOSED', 'initialize')
  throws(() => page.dtwSync([1], [2]), 'CLOSED', 'initialize')
  for (const nothing of [5, {}, Symbol('x')]) await rejects(() => page.initialize({ module: nothing }), 'INVALID_ARGUMENT', 'module')
  await rejects(() => page.initialize({ module: new Uint8Array(8) }), 'INTERNAL', 'did not load')
  await rejects(() => page.initialize({ module: Promise.reject(new Error('offline')) }), 'INTERNAL', 'offline')
  await rejects(() => page.initialize({ workers: -1 }), 'INVALID_ARGUMENT', 'workers')
  await page.initialize({ module: readFile(join(root, 'wasm', 'midstreamer.wasm')) })
  await page.initialize()
  assert.equal(page.version().threads, 1)
  const random = generator(23)
  const [query, data] = [walk(random, 30), walk(random, 3000)]
  let told
  const batch = page.dtwBatch(query, { data, length: 30 }, { onProgress: (...args) => { told = args } })
  const values = data.slice()
  // Taken when the call was made.
  data.fill(0)
  assert.deepEqual(await batch, await addon.dtwBatch(query, { data: values, length: 30 }))
  assert.deepEqual(told, [100, 100])
  assert.deepEqual(await page.dtwAlign([1, 2, 4], [1, 4]), await addon.dtwAlign([1, 2, 4], [1, 4]))
})
