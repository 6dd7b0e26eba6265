'use strict'
// Values that no distance is defined for, found before they travel, in the words of the addon.

const native = require('../native.js')
const { failure } = require('../errors.js')

/** The first value in [start, end) that is NaN or infinite, or -1. */
function badValue(values, start, end) {
  // x - x is 0 for every finite x and NaN otherwise.
  for (let i = start; i < end; i++) if (values[i] - values[i] !== 0) return i
  return -1
}

/** Refuses the first of the series that end at `ends` that is not made of whole time steps of finite values. */
function refuseBadSeries(name, values, ends, channels) {
  let start = 0
  for (let i = 0; i < ends.length; i++) {
    const length = ends[i] - start
    if (length % channels !== 0) {
      throw failure('LENGTH_MISMATCH', `${name}[${i}] holds ${length} values, which is not a multiple of channels ${channels}`)
    }
    const bad = badValue(values, start, ends[i])
    if (bad >= 0) throw failure('NON_FINITE', `${name}[${i}][${bad - start}] is ${values[bad]}`)
    start = ends[i]
  }
}

/** The same for patterns as `readPatterns` gives them. */
function refuseBadPatterns({ form, values }, row) {
  const bad = badValue(values, 0, values.length)
  if (bad < 0) return
  const place = form === native.PatternForm.Block ? `block.data[${bad}]`
    : form === native.PatternForm.One ? `pattern.values[${bad}]`
      : `patterns[${Math.floor(bad / row)}].values[${bad % row}]`
  throw failure('NON_FINITE', `${place} is ${values[bad]}`)
}

/** Refuses a series with a value that is not finite. */
function refuseBadValues(name, values) {
  const bad = badValue(values, 0, values.length)
  if (bad >= 0) throw failure('NON_FINITE', `${name}[${bad}] is ${values[bad]}`)
}

module.exports = { refuseBadSeries, refuseBadPatterns, refuseBadValues }
