'use strict'

const { failure } = require('./errors.js')

/** The most values of a matrix: 1 GiB of f64. */
const MAX_MATRIX_VALUES = 2 ** 27

/** Before any work is done on its entries. */
function refuseLargeMatrix(name, size) {
  if (size * size <= MAX_MATRIX_VALUES) return
  throw failure('TOO_LARGE', `${name} has ${size} entries: a matrix of ${size} x ${size} is above the limit of 2^27 values`)
}

module.exports = { refuseLargeMatrix }
