'use strict'
// neural-trader's names for what this package computes and coordinates. Documentation: neural-trader.d.ts.

const { TemporalCompare, dtwDistanceRust, dtwDistanceRustOptimized, dtwBatch, dtwBatchParallel, dtwBatchAdaptive } = require('./compat.js')
const { setMarketData, correlationAnalysis, crossAssetCorrelationMatrix } = require('./js/neural-trader/correlation.js')
const { swarm } = require('./js/neural-trader/wrapper.js')
const dashboard = require('./js/neural-trader/dashboard.js')

module.exports.TemporalCompare = TemporalCompare
module.exports.dtwDistanceRust = dtwDistanceRust
module.exports.dtwDistanceRustOptimized = dtwDistanceRustOptimized
module.exports.dtwBatch = dtwBatch
module.exports.dtwBatchParallel = dtwBatchParallel
module.exports.dtwBatchAdaptive = dtwBatchAdaptive
module.exports.setMarketData = setMarketData
module.exports.correlationAnalysis = correlationAnalysis
module.exports.crossAssetCorrelationMatrix = crossAssetCorrelationMatrix
module.exports.swarm = swarm
module.exports.getSwarmStatus = dashboard.getSwarmStatus
module.exports.getSwarmMetrics = dashboard.getSwarmMetrics
module.exports.monitorSwarmHealth = dashboard.monitorSwarmHealth
module.exports.scaleSwarm = dashboard.scaleSwarm
module.exports.shutdownSwarm = dashboard.shutdownSwarm
module.exports.executeSwarmStrategy = dashboard.executeSwarmStrategy
