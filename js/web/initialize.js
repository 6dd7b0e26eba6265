'use strict'
// The options of initialize().

const { invalid, show } = require('../errors.js')
const { readOptions, checksOf } = require('../options.js')

const OPTIONS = checksOf({
  // Looked at once it is there: it may be a promise.
  module: (_, value) => value,
  workers(name, value) {
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw invalid(`${name} must be an integer >= 0, got ${show(value)}`)
  },
})

const initializeOptions = (options) => readOptions(options, OPTIONS, {}, 'initialize')

module.exports = { initializeOptions, noModule: (value) => invalid(`module must be a URL, a Response, bytes or a WebAssembly.Module, got ${show(value)}`) }
