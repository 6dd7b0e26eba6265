/**
 * Two series, one question: is it the same shape, and which of them comes first?
 *
 *   node examples/compare-two-series.mjs
 */
import { dtw, dtwAlign } from '@neural-trader/midstreamer'

// A leader and a follower: the same move, three bars later and at another price level.
const wave = (bar) => Math.sin(bar / 6) + 0.4 * Math.sin(bar / 2.5)
const leader = Float64Array.from({ length: 80 }, (_, bar) => 100 + 2 * wave(bar))
const follower = Float64Array.from({ length: 80 }, (_, bar) => 250 + 7 * wave(bar - 3))

// Prices of two levels do not compare; shapes do.
console.log('distance of the prices      ', (await dtw(leader, follower)).toFixed(2))
console.log('distance of the shapes      ', (await dtw(leader, follower, { normalize: 'zscore' })).toFixed(2))
console.log('... at most 5 bars apart    ', (await dtw(leader, follower, { normalize: 'zscore', window: 5 })).toFixed(2))

const { similarity, path, lag } = await dtwAlign(leader, follower, { normalize: 'zscore', window: 5 })
console.log('similarity (1 = equal)      ', similarity.toFixed(3))
console.log('the follower lags by        ', lag.toFixed(2), 'bars on average')
console.log('bar 30 of the leader meets  ', pairedWith(30, path), 'of the follower')

/** The path is flat: i0, j0, i1, j1, ... */
function pairedWith(bar, path) {
  const bars = []
  for (let k = 0; k < path.length; k += 2) if (path[k] === bar) bars.push(path[k + 1])
  return `bar ${bars.join(', ')}`
}
