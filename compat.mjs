// The same names for import. Documentation: compat.d.ts.
import compat from './compat.js'

export const {
  TemporalCompare,
  dtwDistanceRust,
  dtwDistanceRustOptimized,
  dtwBatch,
  dtwBatchParallel,
  dtwBatchAdaptive,
} = compat
