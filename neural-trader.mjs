// The same names for import. Documentation: neural-trader.d.ts.
import trader from './neural-trader.js'

export const {
  TemporalCompare,
  dtwDistanceRust,
  dtwDistanceRustOptimized,
  dtwBatch,
  dtwBatchParallel,
  dtwBatchAdaptive,
  setMarketData,
  correlationAnalysis,
  crossAssetCorrelationMatrix,
  swarm,
  getSwarmStatus,
  getSwarmMetrics,
  monitorSwarmHealth,
  scaleSwarm,
  shutdownSwarm,
  executeSwarmStrategy,
} = trader
