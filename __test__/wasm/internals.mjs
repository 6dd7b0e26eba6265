// The module's entry for Node.js, and beside it what that leaves out.
export * from '../../js/web/node.mjs'
export { default as native } from '../../js/web/native.js'
import pool from '../../js/web/pool.js'
import errors from '../../js/errors.js'
import task from '../../js/task.js'
export const { fromNative } = errors
export const { run } = task
export const { Pool } = pool
export { serve } from '../../js/web/serve.js'
