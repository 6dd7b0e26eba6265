'use strict'
// The calls that a worker makes for the facade: functions of the module, with their packed results taken apart into what the addon
// returns.

const glue = require('glue')
const { failure } = require('../errors.js')

/** A warping path that stands at `at`, and where the next one would. */
function pathAt(packed, at) {
  const [distance, lag, length] = packed.subarray(at, at + 3)
  const end = at + 3 + length
  return { end, path: { distance, path: Uint32Array.from(packed.subarray(at + 3, end)), lag } }
}

/** Copies, so that each array has a buffer of its own to be moved. */
const halves = (packed) => [packed.slice(0, packed.length / 2), packed.slice(packed.length / 2)]

const calls = {
  dtw: glue.dtw,
  dtwAlign: (...args) => pathAt(glue.dtwAlign(...args), 0).path,
  dtwBatch: glue.dtwBatch,
  dtwNearest(...args) {
    const [indices, distances] = halves(glue.dtwNearest(...args))
    return { indices, distances }
  },
  seriesMatrix: glue.seriesMatrix,
  elastic: glue.elastic,
  elasticBatch: glue.elasticBatch,
  lcs: glue.lcs,
  lcsAlign(...args) {
    const [positionsA, positionsB] = halves(glue.lcsAlign(...args))
    return { positionsA, positionsB }
  },
  lcsMatrix: glue.lcsMatrix,
  lcss: glue.lcss,
  levenshtein: glue.levenshtein,
  alignTimeframes(...args) {
    const packed = glue.alignTimeframes(...args)
    const paths = []
    for (let at = 0; at < packed.length;) {
      const { path, end } = pathAt(packed, at)
      paths.push(path)
      at = end
    }
    return paths
  },
  barycenter(...args) {
    const packed = glue.barycenter(...args)
    return { center: packed.slice(2), inertia: packed[0], iterations: packed[1] }
  },
  medoids(values, ends, k, ...rest) {
    const packed = glue.medoids(values, ends, k, ...rest)
    return { medoids: Uint32Array.from(packed.subarray(1, 1 + k)), assignment: Uint32Array.from(packed.subarray(1 + k)), inertia: packed[0] }
  },
  subsequenceSearch(...args) {
    const [starts, distances] = halves(glue.subsequenceSearch(...args))
    return { starts, distances }
  },
  // For the package's own tests, as in the addon.
  panicForTestAsync: glue.panicForTest,
}

/** Calls on one pair: what takes a millisecond must not wait for a matrix. */
const PAIRS = new Set(['dtw', 'dtwAlign', 'elastic', 'lcs', 'lcsAlign', 'lcss', 'levenshtein'])

/** A module has 4 GiB of addresses. What is passed may take half of them, and the work has the rest. */
const MOST_BYTES = 2 ** 31

/** Refuses arguments that no module can hold, before anything is copied. */
function checkSize(args) {
  const bytes = args.reduce((sum, arg) => (ArrayBuffer.isView(arg) ? sum + arg.byteLength : sum), 0)
  if (bytes > MOST_BYTES) throw failure('TOO_LARGE', `${bytes} bytes were passed, and WebAssembly takes ${MOST_BYTES} at most`)
}

/** What a trap was: a panic, which has left its message, or memory that could not be had, which leaves none. */
function trap(error) {
  const panic = glue.lastPanic()
  // The panic of a collection that would be larger than half of all addresses, or the abort of one that is refused.
  const memory = panic === '' ? /unreachable/.test(error.message) : panic.endsWith('capacity overflow')
  if (memory) return { code: 'TOO_LARGE', message: 'this takes more memory than WebAssembly can have' }
  return { code: 'INTERNAL', message: `internal error: ${panic === '' ? error.message : panic}` }
}

/** Runs `call`; what it throws has a code. */
function guarded(call) {
  try {
    return call()
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error
    const { code, message } = trap(error)
    throw Object.assign(new Error(message), { code, trapped: true })
  }
}

module.exports = { calls, checkSize, guarded, PAIRS }
