// The addon as a citizen of the process: exit, worker threads, memory.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { dtw, dtwSync, lcs, version } from '@neural-trader/midstreamer'
import { generator, symbols, walk } from './support/random.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Runs a module in a fresh Node with the package imported as `m`, perhaps in `limit` KiB; resolves to how it ended. */
async function child(body, flags = [], limit = undefined) {
  const code = `import * as m from '@neural-trader/midstreamer'\n${body}`
  const started = performance.now()
  const node = [process.execPath, ...flags, '--input-type=module', '-e', code]
  const [command, ...args] = limit === undefined ? node : ['sh', '-c', `ulimit -v ${limit} && exec "$0" "$@"`, ...node]
  const process_ = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  process_.stdout.setEncoding('utf8').on('data', (text) => { output += text })
  process_.stderr.setEncoding('utf8').on('data', (text) => { errors += text })
  const [code_, signal] = await once(process_, 'close')
  return { code: code_, signal, output: output.trim(), errors: errors.trim(), milliseconds: performance.now() - started }
}

/** Minutes of work on any machine: 2.5e11 cells and more. */
const ENDLESS = {
  dtw: 'm.dtw(new Float64Array(500_000).map(Math.sin), new Float64Array(500_000).map(Math.cos))',
  dtwBatch: 'm.dtwBatch(new Float64Array(50_000).map(Math.sin), { data: new Float64Array(5_000_000).map(Math.cos), length: 50_000 })',
  dtwMatrix: 'm.dtwMatrix(Array.from({ length: 300 }, () => new Float64Array(5_000).map(Math.random)), { onProgress() {} })',
  elastic: "m.elastic('twe', new Float64Array(500_000).map(Math.sin), new Float64Array(500_000).map(Math.cos))",
}

for (const [name, call] of Object.entries(ENDLESS)) {
  test(`process.exit() during ${name} ends at once, with its code`, async () => {
    const result = await child(`
      ${call}.then(() => console.log('finished'))
      setTimeout(() => { console.log(Date.now()); process.exit(7) }, 100)`)
    const ended = Date.now() - Number(result.output)
    assert.deepEqual([result.code, result.signal, result.errors], [7, null, ''])
    assert.match(result.output, /^\d+$/)
    assert.ok(ended < 5000, `exit took ${ended} ms`)
  })
}

test('a pending call holds the process, a finished one does not', async () => {
  const result = await child(`
    m.dtw(new Float64Array(4000).map(Math.sin), new Float64Array(4000).map(Math.cos)).then((d) => console.log(d > 0))`)
  assert.deepEqual([result.code, result.output, result.errors], [0, 'true', ''])
})

test('an unhandled rejection ends the process as in Node, with our error', async () => {
  const result = await child('m.dtw([NaN], [1])')
  assert.equal(result.code, 1)
  assert.match(result.errors, /a\[0\] is NaN/)
  assert.match(result.errors, /NON_FINITE/)
})

const WORKER = `
  import { parentPort, workerData } from 'node:worker_threads'
  import { dtw, dtwSync, dtwBatch } from '@neural-trader/midstreamer'
  const { series, endless } = workerData
  if (endless) {
    dtw(new Float64Array(500_000).map(Math.sin), new Float64Array(500_000).map(Math.cos)).catch(() => {})
    parentPort.postMessage('started')
  } else {
    const batch = await dtwBatch(series, [series, series.slice(1)])
    parentPort.postMessage([dtwSync(series, series.slice(1)), await dtw(series, series.slice(1)), batch[0], batch[1]])
  }`

function worker(workerData) {
  const entry = JSON.stringify(new URL('../index.mjs', import.meta.url).href)
  const source = WORKER.replace("'@neural-trader/midstreamer'", entry)
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData })
}

test('worker threads compute the same, side by side and one after the other', async () => {
  const series = walk(generator(41), 300)
  const expected = dtwSync(series, series.slice(1))
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 4 }, async () => {
      const thread = worker({ series })
      const [[message], [code]] = await Promise.all([once(thread, 'message'), once(thread, 'exit')])
      assert.deepEqual(message, [expected, expected, 0, expected])
      assert.equal(code, 0)
    }))
  }
})

test('terminate() during work: the thread ends, its work too, and this thread goes on', async () => {
  // More than the pool has threads: if the work went on, the call at the end would wait for it.
  const threads = Array.from({ length: version().threads + 1 }, () => worker({ endless: true }))
  await Promise.all(threads.map((thread) => once(thread, 'message')))
  const started = performance.now()
  await Promise.all(threads.map((thread) => thread.terminate()))
  assert.equal(dtwSync([1], [3]), 2)
  assert.equal(await dtw([1], [3]), 2)
  assert.ok(performance.now() - started < 10_000, `${performance.now() - started} ms`)
})

/** Peak of resident memory while `work` runs, above what it was before, in MiB. */
async function growth(work) {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  let peak = before
  const timer = setInterval(() => { peak = Math.max(peak, process.memoryUsage().rss) }, 5)
  await work()
  peak = Math.max(peak, process.memoryUsage().rss)
  clearInterval(timer)
  return (peak - before) / 2 ** 20
}

test('a million samples against a thousand: memory stays linear', async () => {
  const random = generator(42)
  const [long, short] = [walk(random, 1_000_000), walk(random, 1000)]
  // The matrix would be 7.5 GiB; the copies of the inputs are 8 MiB.
  const used = await growth(async () => {
    const distance = await dtw(long, short)
    assert.ok(distance > 0 && distance < Infinity)
    assert.equal(distance, dtwSync(short, long))
  })
  assert.ok(used < 200, `${used} MiB`)
})

test('a million symbols against a thousand: memory stays linear', async () => {
  const random = generator(43)
  const [long, short] = [symbols(random, 1_000_000, 20), symbols(random, 1000, 20)]
  const used = await growth(async () => assert.equal(await lcs(long, short), 1000))
  assert.ok(used < 200, `${used} MiB`)
})

test('a hundred thousand calls do not grow memory', async () => {
  const result = await child(`
    const a = new Float64Array(64).map(Math.sin), b = new Float64Array(64).map(Math.cos)
    const signal = new AbortController().signal
    const round = async (calls) => {
      for (let k = 0; k < calls; k += 100) {
        for (let i = 0; i < 80; i++) m.dtwSync(a, b, { window: 5 })
        try { m.dtwSync([NaN], b) } catch {}
        await Promise.all([
          ...Array.from({ length: 6 }, () => m.dtw(a, b)), m.dtw(a, b, { signal }), m.dtwAlign(a, b), m.dtwBatch(a, [b, a]),
          m.lcsMatrix(['abc', 'abd'], { onProgress() {} }), m.lcs([1, 2], [2]), m.elastic('msm', a, b),
          m.dtw(a, [NaN]).catch(() => {}), m.dtwMatrix([a, b]), m.dtwNearest(a, [b]), m.levenshtein('ab', 'b'),
          m.lcsAlign('ab', 'b'), m.lagMatrix([a, b]), m.lcss(a, b, { epsilon: 1 }),
        ])
      }
    }
    const measure = async () => {
      for (let k = 0; k < 5; k++) { gc(); await new Promise((resolve) => setTimeout(resolve, 20)) }
      const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
      return { rss, heapUsed, external, arrayBuffers }
    }
    await round(20_000)
    const before = await measure()
    await round(100_000)
    const after = await measure()
    console.log(JSON.stringify(Object.fromEntries(Object.keys(after).map((k) => [k, (after[k] - before[k]) / 2 ** 20]))))`, ['--expose-gc'])
  assert.equal(result.code, 0, result.errors)
  const grown = JSON.parse(result.output)
  // A leak of 64 bytes a call would be 6 MiB of any of these.
  assert.ok(grown.heapUsed < 4 && grown.external < 4 && grown.arrayBuffers < 4, result.output)
  assert.ok(grown.rss < 30, result.output)
})

const skipLimit = process.platform !== 'linux' && 'ulimit -v is of Linux'

test('memory for the copy of an input that cannot be had is TOO_LARGE', { skip: skipLimit }, async () => {
  const calls = [
    ['Float64Array', 'm.dtw(input, [1], { window: 0 })', 'a'],
    ['Int32Array', 'm.lcs(input, [1])', 'a'],
    ['Int32Array', 'm.levenshtein([1], input)', 'b'],
    ['Float64Array', 'm.dtwBatch([1], { data: input, length: 1024 })', 'candidates.data'],
  ]
  // Room for the input and half a copy, above what Node itself reserves, which differs between releases and machines.
  const bytes = 800 * 2 ** 20
  const setup = (Type) => `m.version(); const input = new ${Type}(${bytes} / ${Type}.BYTES_PER_ELEMENT)`
  const { output } = await child(String.raw`import { readFileSync } from 'node:fs'
    ${setup('Float64Array')}
    console.log(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])`)
  const limit = Number(output) + bytes / 2048
  for (const [Type, call, argument] of calls) {
    const result = await child(`${setup(Type)}
      await ${call}.then(() => console.log('done'), (error) => console.log(error.code, error.message))`, [], limit)
    assert.deepEqual([result.code, result.output], [0, `TOO_LARGE ${argument}: ${bytes} bytes could not be had`], `${call}: ${result.errors}`)
  }
})

test('an aborted job gives its memory back', async () => {
  const result = await child(`
    const one = new Float64Array(4_000_000).map(Math.sin)
    const attempt = async () => {
      const controller = new AbortController()
      const work = m.dtw(one, one, { signal: controller.signal })
      setTimeout(() => controller.abort(), 10)
      await work.catch((error) => { if (error.code !== 'ABORTED') throw error })
    }
    for (let k = 0; k < 3; k++) await attempt()
    gc()
    const before = process.memoryUsage().rss
    for (let k = 0; k < 15; k++) await attempt()
    // An abort is heard at once, by the job a moment later.
    let grown
    for (let k = 0; k < 100; k++) {
      gc()
      grown = (process.memoryUsage().rss - before) / 2 ** 20
      if (grown < 150) break
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    console.log(grown)`, ['--expose-gc'])
  assert.equal(result.code, 0, result.errors)
  // Each attempt copies 61 MiB; kept, they would be 900.
  assert.ok(Number(result.output) < 150, `${result.output} MiB`)
})

test('version tells what runs', () => {
  const { package: release, kernel, threads, ...rest } = version()
  assert.match(release, /^\d+\.\d+\.\d+/)
  assert.match(kernel, /^(scalar|sse2|avx2|avx512|neon|portable)$/)
  assert.ok(Number.isInteger(threads) && threads >= 1)
  assert.deepEqual(rest, {})
})
