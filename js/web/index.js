'use strict'
// The names that there are in WebAssembly: kernels and pattern search.

const { MidstreamerError } = require('../errors.js')
const native = require('../native.js')
const { version } = require('../../package.json')

module.exports = {
  MidstreamerError,
  ...require('../dtw.js'),
  ...require('../symbols.js'),
  ...require('../elastic.js'),
  ...require('../cluster.js'),
  ...require('../subsequence.js'),
  PatternLibrary: require('../library.js').PatternLibrary,
  StreamMatcher: require('../stream.js').StreamMatcher,
  version: () => ({ package: version, kernel: native.kernel(), threads: native.threads() }),
  native,
}
