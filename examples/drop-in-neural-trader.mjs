/**
 * Code written for neural-trader's DTW, correlations and swarm, or for the `midstreamer` package, keeps its calls; DTW keeps its
 * numbers. docs/neural-trader.md goes through them one by one.
 *
 *   node examples/drop-in-neural-trader.mjs
 */
import { TemporalCompare, correlationAnalysis, dtwBatchParallel, dtwDistanceRust, swarm } from '@neural-trader/midstreamer/neural-trader'

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

// A constant there, whatever the symbols are; computed here, of what is passed.
// was: JSON.parse(await require('neural-trader').correlationAnalysis(['GOLD', 'SILVER'], 30, true))
const silver = pattern.map((price, day) => price / 4 + (day % 2))
const analysis = JSON.parse(await correlationAnalysis({ GOLD: pattern, SILVER: silver }, 30))
console.log('correlation     ', analysis.correlation_matrix.GOLD.SILVER, 'of', analysis.observations, 'returns')

// was: const { swarm } = require('neural-trader'), where any task is "completed" in 0 ms
await swarm.init({ topology: 'star', max_agents: 2 })
await swarm.spawnAgent({ agent_type: 'analyzer', name: 'one' })
swarm.handle('momentum', ({ closes }) => closes.at(-1) / closes[0] - 1)
const { value, agentsUsed, executionTimeMs } = await swarm.orchestrateTask({ task_type: 'momentum', description: 'five days', payload: { closes: pattern } })
console.log('orchestrateTask ', value, 'by', agentsUsed.length, 'agent in', executionTimeMs, 'ms')
await swarm.destroy()
