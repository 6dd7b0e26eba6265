// The entry for browsers: the module is fetched by initialize().
import all from './index.js'
import init from './initialize.js'

function start(module, { answered, failed }) {
  const worker = new Worker(new URL('./browser-worker.mjs', import.meta.url), { type: 'module' })
  worker.onmessage = ({ data }) => answered(data)
  worker.onerror = (event) => failed(new Error(event.message ?? 'it did not start'))
  worker.onmessageerror = () => failed(new Error('a message did not arrive'))
  worker.postMessage(module)
  return {
    post: (message, buffers) => worker.postMessage(message, buffers),
    hold() {},
    release() {},
    end: () => worker.terminate(),
  }
}

/** The module that lies beside this file, for whoever names none. */
const beside = () => new URL('./midstreamer.wasm', import.meta.url)

async function compile(source) {
  if (source instanceof WebAssembly.Module) return source
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return await WebAssembly.compile(source)
  const named = typeof source === 'string' || source instanceof URL || source instanceof Request
  if (!named && !(source instanceof Response)) throw init.noModule(source)
  const response = named ? await fetch(source) : source
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`)
  // A server that does not know the type of the file would fail the streaming compiler.
  return response.headers.get('content-type') === 'application/wasm'
    ? await WebAssembly.compileStreaming(response)
    : await WebAssembly.compile(await response.arrayBuffer())
}

async function load(module, width) {
  try {
    all.native.start(await compile((await module) ?? beside()), { width, start })
  } catch (cause) {
    if (cause instanceof all.MidstreamerError) throw cause
    throw new all.MidstreamerError(`the WebAssembly module did not load: ${cause.message}`, { code: 'INTERNAL', cause })
  }
}

/** The first call that is under way or has done it, for whoever calls a second time. */
let loaded

export async function initialize(options) {
  const { module, workers } = init.initializeOptions(options)
  const width = typeof Worker === 'undefined' ? 0 : (workers ?? navigator.hardwareConcurrency ?? 1)
  loaded ??= load(module, width).catch((error) => {
    // The next one may try again.
    loaded = undefined
    throw error
  })
  await loaded
}

export * from './exports.mjs'
