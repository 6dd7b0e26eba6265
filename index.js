'use strict'
// The public entry. Documentation of every name: index.d.ts.

const { MidstreamerError } = require('./js/errors.js')
const native = require('./js/native.js')
const authority = require('./js/authority.js')
const agent = require('./js/agent.js')
const audit = require('./js/audit.js')
const cluster = require('./js/cluster.js')
const coordinator = require('./js/coordinator.js')
const dtw = require('./js/dtw.js')
const elastic = require('./js/elastic.js')
const keyring = require('./js/keyring.js')
const learner = require('./js/learner.js')
const library = require('./js/library.js')
const stream = require('./js/stream.js')
const subsequence = require('./js/subsequence.js')
const symbols = require('./js/symbols.js')
const manifest = require('./package.json')

module.exports.MidstreamerError = MidstreamerError
module.exports.dtw = dtw.dtw
module.exports.dtwSync = dtw.dtwSync
module.exports.dtwAlign = dtw.dtwAlign
module.exports.dtwBatch = dtw.dtwBatch
module.exports.dtwNearest = dtw.dtwNearest
module.exports.dtwMatrix = dtw.dtwMatrix
module.exports.lagMatrix = dtw.lagMatrix
module.exports.correlationMatrix = dtw.correlationMatrix
module.exports.lcs = symbols.lcs
module.exports.lcsSync = symbols.lcsSync
module.exports.lcsAlign = symbols.lcsAlign
module.exports.lcsMatrix = symbols.lcsMatrix
module.exports.lcss = symbols.lcss
module.exports.levenshtein = symbols.levenshtein
module.exports.elastic = elastic.elastic
module.exports.elasticBatch = elastic.elasticBatch
module.exports.PatternLibrary = library.PatternLibrary
module.exports.StreamMatcher = stream.StreamMatcher
module.exports.alignTimeframes = cluster.alignTimeframes
module.exports.barycenter = cluster.barycenter
module.exports.medoids = cluster.medoids
module.exports.subsequenceSearch = subsequence.subsequenceSearch
module.exports.CertificateAuthority = authority.CertificateAuthority
module.exports.Keyring = keyring.Keyring
module.exports.verifyAuditLog = audit.verifyAuditLog
module.exports.Coordinator = coordinator.Coordinator
module.exports.Agent = agent.Agent
module.exports.AgentDbSync = require('./js/agentdb/sync.js').AgentDbSync
module.exports.PatternLearner = learner.PatternLearner
module.exports.version = function version() {
  return { package: manifest.version, kernel: native.kernel(), threads: native.threads() }
}
