'use strict'
// What the facade takes for the addon where it is bundled for WebAssembly: the same names, of which the asynchronous ones run in
// workers. A library is in the memory of this thread, so its searches run on it.

const glue = require('glue')
const { failure } = require('../errors.js')
const { ElasticKind, LcsNormalization, MatrixKind, PatternForm } = require('./enums.js')
const { BATCHES, Job, inParts } = require('./batch.js')
const { PAIRS, calls, checkSize, guarded } = require('./calls.js')
const { Pool } = require('./pool.js')

/** The workers, once the module is there: those for pairs, and those for everything else. */
let pools

/** Takes a compiled module into use; a second one is left aside, for libraries live in the memory of the first. */
function start(module, host) {
  if (pools !== undefined) return
  glue.initSync({ module })
  pools = { pairs: new Pool(module, host), others: new Pool(module, host) }
}

function ready() {
  if (pools === undefined) throw failure('CLOSED', 'the WebAssembly module is not there yet: await initialize() first')
  return pools
}

/** A function of this thread. */
const here = (call) => (...args) => {
  ready()
  checkSize(args)
  return guarded(() => call(...args))
}

/** What a method of the module does when it traps is told as an error of ours. */
function guardMethods(Class, instead = {}) {
  for (const name of Object.getOwnPropertyNames(Class.prototype)) {
    const method = Class.prototype[name]
    if (name === 'constructor' || name === 'free' || name.startsWith('_') || typeof method !== 'function') continue
    const plain = function (...args) {
      checkSize(args)
      return guarded(() => method.apply(this, args))
    }
    Class.prototype[name] = instead[name]?.(plain) ?? plain
  }
}
guardMethods(glue.NativeLibrary, {
  // The facade awaits it.
  search: (plain) => async function search(query, k, maxDistance, asOf) { return plain.call(this, query, k, maxDistance, asOf) },
})
guardMethods(glue.LibraryReader, {
  texts: (plain) => function texts(start, count) {
    const [ids, meta] = plain.call(this, start, count)
    return { ids, meta }
  },
})
guardMethods(glue.LibraryWriter)

class NativeLibrary {
  constructor(...shape) {
    ready()
    return guarded(() => new glue.NativeLibrary(...shape))
  }
}

const native = {
  ElasticKind,
  LcsNormalization,
  MatrixKind,
  PatternForm,
  Job,
  NativeLibrary,
  dtwSync: here(glue.dtwSync),
  lcsSync: here(glue.lcsSync),
  decodeLibrary: here(glue.decodeLibrary),
  kernel: here(glue.kernel_name),
  panicForTest: here(glue.panicForTest),
  threads: () => ready().others.width,
  start,
}

// The facade passes the job last, or undefined.
for (const name of Object.keys(calls)) {
  native[name] = async (...args) => {
    const { pairs, others } = ready()
    const pool = PAIRS.has(name) ? pairs : others
    const call = (own, job) => pool.run(name, own, job)
    const [own, job] = [args.slice(0, -1), args.at(-1)]
    return name in BATCHES ? await inParts(name, own, pool.width, job, call) : await call(own, job)
  }
}

module.exports = native
