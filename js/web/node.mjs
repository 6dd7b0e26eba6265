// The entry for Node.js, Bun and Deno: the module is beside this file, and ready when the import is.
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { Worker } from 'node:worker_threads'
import all from './index.js'
import init from './initialize.js'

const module = new WebAssembly.Module(readFileSync(new URL('./midstreamer.wasm', import.meta.url)))

/** A worker as the pool wants it. It keeps the process alive while it has a call to answer. */
function start(module, { answered, failed }) {
  // The flags of the process are for its own program: some would keep a worker from starting.
  const worker = new Worker(new URL('./node-worker.mjs', import.meta.url), { workerData: module, execArgv: [] })
  worker.unref()
  worker.on('message', answered)
  worker.on('error', failed)
  worker.on('exit', () => failed(new Error('it ended')))
  return {
    post: (message, buffers) => worker.postMessage(message, buffers),
    hold: () => worker.ref(),
    release: () => worker.unref(),
    end: () => void worker.terminate(),
  }
}

all.native.start(module, { width: availableParallelism?.() ?? cpus().length, start })

/** There is nothing left to do, but what is wrong in a browser is so here. */
export async function initialize(options) {
  init.initializeOptions(options)
}

export * from './exports.mjs'
