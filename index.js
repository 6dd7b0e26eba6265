'use strict'
// The public entry. Documentation of every name: index.d.ts.

const { MidstreamerError } = require('./js/errors.js')
const native = require('./js/native.js')
const dtw = require('./js/dtw.js')
const { version } = require('./package.json')

module.exports.MidstreamerError = MidstreamerError
module.exports.dtw = dtw.dtw
module.exports.dtwSync = dtw.dtwSync
module.exports.dtwAlign = dtw.dtwAlign
module.exports.dtwBatch = dtw.dtwBatch
module.exports.dtwNearest = dtw.dtwNearest
module.exports.dtwMatrix = dtw.dtwMatrix
module.exports.lagMatrix = dtw.lagMatrix
module.exports.correlationMatrix = dtw.correlationMatrix
module.exports.version = function () {
  return { package: version, kernel: native.kernel(), threads: native.threads() }
}
