// Ten million bars through a StreamMatcher: memory must not grow, and the last answer must be as exact as the first.
// `node --expose-gc scripts/soak-stream.mjs [bars]`; with --expose-gc the heap is compared too.

import assert from 'node:assert/strict'
import { PatternLibrary, StreamMatcher } from '@neural-trader/midstreamer'
import { Stop, isMain, main } from './steps.mjs'

const LENGTH = 32
const REPORTS = 10

/** A walk by cents around prices of 1e5, where running sums would lose what moves; the same in every run. */
function* prices() {
  let state = 1
  let price = 1e5
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    price += Math.round((state / 2 ** 32 - 0.5) * 100) / 100 - (price - 1e5) * 1e-6
    yield price
  }
}

function library() {
  const patterns = new PatternLibrary({ length: LENGTH, normalize: 'zscore', window: 3 })
  for (const [id, shape] of [['rise', (i) => i], ['wave', (i) => Math.sin(i / 4)], ['flat', () => 0]]) {
    patterns.add({ id, values: Float64Array.from({ length: LENGTH }, (_, i) => shape(i)), meta: { endsAt: 0 } })
  }
  return patterns
}

/** Pushes `bars` bars, a tenth of them by pushMany, and tells `log` about memory. */
export function soak(bars, log) {
  const patterns = library()
  const matcher = new StreamMatcher(patterns, { k: 2 })
  const source = prices()
  const last = new Float64Array(LENGTH)
  const share = Math.ceil(bars / REPORTS)
  const chunk = new Float64Array(1000)
  let first
  for (let done = 0; done < bars;) {
    const started = performance.now()
    const end = Math.min(done + share, bars)
    let answer = []
    while (done < end) {
      if (done % 10_000 < 9000 || end - done < chunk.length) {
        const value = source.next().value
        last.copyWithin(0, 1)
        last[LENGTH - 1] = value
        answer = matcher.push(value, done++)
      } else {
        for (let i = 0; i < chunk.length; i++) chunk[i] = source.next().value
        last.set(chunk.subarray(chunk.length - LENGTH))
        answer = matcher.pushMany(chunk).at(-1)
        done += chunk.length
      }
    }
    assert.deepEqual(answer, patterns.searchSync(last, { k: 2 }), `after ${done} bars`)
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    const memory = { rss, heapUsed, external }
    first ??= memory
    const shown = Object.entries(memory).map(([name, bytes]) => `${name} ${(bytes / 2 ** 20).toFixed(1)} MiB`)
    log(`${done} bars, ${((performance.now() - started) * 1000 / share).toFixed(2)} us each; ${shown.join(', ')}`)
    if (rss - first.rss > 64 * 2 ** 20) throw new Stop(`memory grew by ${((rss - first.rss) / 2 ** 20).toFixed(1)} MiB`)
    if (globalThis.gc !== undefined && heapUsed - first.heapUsed > 2 ** 20) throw new Stop(`the heap grew by ${heapUsed - first.heapUsed} bytes`)
  }
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const bars = Number(process.argv[2] ?? 10_000_000)
    if (!Number.isSafeInteger(bars) || bars < LENGTH) throw new Stop(`bars must be an integer >= ${LENGTH}, got ${process.argv[2]}`)
    soak(bars, console.log)
  })
}
