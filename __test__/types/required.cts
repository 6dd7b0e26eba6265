// Compiled, never run: the types as a CommonJS module sees them.
import midstreamer = require('@neural-trader/midstreamer')
import compat = require('@neural-trader/midstreamer/compat')
import trader = require('@neural-trader/midstreamer/neural-trader')

const options: midstreamer.DtwOptions = { window: 3, normalize: 'minmax' }
const distance: Promise<number> = midstreamer.dtw([1], new Float32Array(1), options)
const error: Error = new midstreamer.MidstreamerError('text', { code: 'ABORTED', cause: 1 })
const compare: compat.TemporalCompare = new compat.TemporalCompare()
const text: Promise<string> = trader.correlationAnalysis({ A: [1, 2, 3] })
export = { distance, error, compare, text }
