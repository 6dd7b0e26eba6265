/**
 * What a pattern library holds of the memory of its process, run as a child of its own:
 *
 *   node benches/js/library-memory.mjs none|zscore   prints { "patterns", "rawBytes", "grownBytes", "how" } as JSON
 *
 * Ids are JavaScript's: what its heap grows by in the same time is taken away.
 */
import { readFileSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { setFlagsFromString } from 'node:v8'
import { PatternLibrary } from '@neural-trader/midstreamer'
import { randomWalks, seededRandom } from './random.mjs'

const [LENGTH, SIZE, WINDOW] = [128, 40_000, 13]
const normalize = process.argv[2]

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

const onLinux = process.platform === 'linux'
// Linux sums up what /proc/self/status shows in steps of many pages a thread; this adds up the pages themselves.
const rollup = () => 1024 * Number(/^Rss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))[1])
function beyondTheHeap() {
  collectGarbage()
  const { rss, heapTotal } = process.memoryUsage()
  return (onLinux ? rollup() : rss) - heapTotal
}

const random = seededRandom(8)
const data = randomWalks(SIZE, LENGTH, random)
const ids = Array.from({ length: SIZE }, (_, i) => String(i))
const options = { length: LENGTH, window: WINDOW, metric: 'squared', normalize }
// A small one first: the code and the threads are there before memory is looked at.
const small = new PatternLibrary(options)
small.add({ ids: ids.slice(0, 1000), data: data.subarray(0, 1000 * LENGTH) })
small.searchSync(data.subarray(0, LENGTH), { k: 1 })

const library = new PatternLibrary(options)
const before = beyondTheHeap()
library.add({ ids, data })
const grownBytes = Math.max(0, beyondTheHeap() - before)
console.log(
  JSON.stringify({
    normalize,
    patterns: library.size,
    length: LENGTH,
    rawBytes: data.byteLength,
    grownBytes,
    how: `resident memory${onLinux ? '' : ', roughly'}, less what the JavaScript heap grew by`,
  }),
)
