'use strict'
// In place of js/library-file.js where there are no files of ours.

const { invalid } = require('../errors.js')

function fileOptions(_options, what) {
  throw invalid(`${what}: the WebAssembly module has no files, its libraries go through toBytes() and fromBytes()`)
}

module.exports = { fileOptions, filePath: undefined, inTurn: undefined }
