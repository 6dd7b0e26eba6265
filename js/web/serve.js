'use strict'
// A worker's side: one call after the other, each answered by one message, with progress in between.

const glue = require('glue')
const { calls, guarded } = require('./calls.js')
const { buffersOf } = require('./pool.js')

/** How often progress is told, in milliseconds. */
const PROGRESS_MS = 25

/** What a worker may keep, in bytes: its memory grows with its largest call and never shrinks. */
const MOST_KEPT = 128 * 2 ** 20

/** Takes the module, and returns what is to be done with each message; `post(message, buffers)` answers. */
function serve(module, post) {
  const { memory } = glue.initSync({ module })
  return ({ id, name, args, told }) => {
    let last = performance.now()
    glue.onProgress(told
      ? (done) => {
          if (performance.now() - last < PROGRESS_MS) return
          last = performance.now()
          post({ id, done }, [])
        }
      : undefined)
    let result, error
    try {
      result = guarded(() => calls[name](...args))
    } catch ({ code, message, trapped }) {
      error = { code, message, trapped }
    }
    post({ id, result, error, grown: memory.buffer.byteLength > MOST_KEPT }, buffersOf(result))
  }
}

module.exports = { serve }
