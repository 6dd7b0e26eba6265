/**
 * The kernels and pattern search of `@neural-trader/midstreamer` in WebAssembly: for browsers, and for Node.js, Bun and Deno on platforms
 * that have no native addon. The same names, types, options, errors and, to the last bit, results; no swarm, no sync, no learning and no
 * files.
 *
 * @example
 * import { initialize, dtwBatch, PatternLibrary } from '@neural-trader/midstreamer/wasm'
 * await initialize()
 * const distances = await dtwBatch(today, { data: history, length: 128 }, { window: 13 })
 */

export {
  alignTimeframes,
  barycenter,
  correlationMatrix,
  dtw,
  dtwAlign,
  dtwBatch,
  dtwMatrix,
  dtwNearest,
  dtwSync,
  elastic,
  elasticBatch,
  lagMatrix,
  lcs,
  lcsAlign,
  lcsMatrix,
  lcss,
  lcsSync,
  levenshtein,
  medoids,
  MidstreamerError,
  /**
   * A library in the memory of this thread, where its searches run as well: `search` holds the thread up for as long as it takes, like
   * `searchSync`. Have it in a worker of your own where that is too long. `save` and `load` reject with INVALID_ARGUMENT, for there are
   * no files: `toBytes` and `fromBytes` exchange libraries with the addon.
   */
  PatternLibrary,
  StreamMatcher,
  subsequenceSearch,
  version,
} from './index.js'

export type {
  Alignment,
  Candidates,
  CommonSubsequence,
  DtwOptions,
  ElasticMeasure,
  ElasticOptions,
  ErrorCode,
  LcsOptions,
  LibraryOptions,
  LibrarySearchOptions,
  Match,
  Matrix,
  Neighbor,
  Pattern,
  Progress,
  Sequence,
  Series,
  SubsequenceMatch,
} from './index.js'

/** Options of `initialize`. */
export interface InitializeOptions {
  /**
   * The module, where it is not beside the script: its URL (a string or a `URL`), a `Request`, a `Response`, its bytes, or a
   * `WebAssembly.Module`; or a promise of one of them. Default: `midstreamer.wasm` beside this package's own files, which webpack copies
   * along.
   */
  module?: string | object
  /**
   * Workers for batches and matrices, and as many for single pairs; started when there is work for them. 0: every call runs on the
   * thread that makes it, and cannot be aborted once it runs. Default: the cores of the machine.
   */
  workers?: number
}

/**
 * Fetches and compiles the module, about 0.4 MiB compressed. In a browser nothing else works before it has resolved: calls fail with
 * CLOSED. Further calls wait for the first one; after a failure they try again. On Node.js, Bun and Deno the module is loaded with the
 * import, and there is nothing to wait for.
 *
 * Needs no shared memory, hence no cross-origin isolation. A content security policy must allow `wasm-unsafe-eval` and workers of the
 * page's own origin.
 *
 * @throws (rejects) MidstreamerError INVALID_ARGUMENT, INTERNAL (the module did not arrive, or is none: `cause` says why)
 * @example await initialize({ module: '/assets/midstreamer.wasm', workers: 4 })
 */
export function initialize(options?: InitializeOptions): Promise<void>
