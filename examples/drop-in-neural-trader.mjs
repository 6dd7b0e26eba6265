/**
 * Code written for neural-trader's native DTW, or for the `midstreamer` package, keeps its calls and its
 * numbers: only the import changes.
 *
 *   node examples/drop-in-neural-trader.mjs
 */
import { TemporalCompare, dtwBatchParallel, dtwDistanceRust } from '@neural-trader/midstreamer/compat'

const pattern = Float64Array.from([100, 101, 103, 102, 104])
const history = Float64Array.from([99, 100, 102, 101, 103, 100, 98, 97, 99, 98, 100, 101, 103, 102, 104])

// was: const { dtwDistanceRust, dtwBatchParallel } = require('neural-trader')
const { distance, similarity, alignment } = dtwDistanceRust(pattern, history.subarray(0, 5))
console.log('dtwDistanceRust ', { distance, similarity, pairs: alignment.length / 2 })
console.log('dtwBatchParallel', dtwBatchParallel(pattern, history, pattern.length))

// was: const { TemporalCompare } = require('midstreamer')
const compare = new TemporalCompare()
console.log('TemporalCompare ', compare.dtw(pattern, history), compare.edit_distance('BUY', 'BUYS'))

// What ended the process there is an error here.
try {
  dtwBatchParallel(pattern, history, 0)
} catch (error) {
  console.log('patternLength 0 ', error.code, '-', error.message)
}
