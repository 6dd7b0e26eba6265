/// <reference lib="esnext.disposable" />
/**
 * Exact dynamic time warping, longest common subsequence and elastic distances, near the limit of the hardware; and a
 * swarm that runs them, and your own tasks, on many machines.
 *
 * - Functions without `Sync` return a Promise, compute on a thread pool and take `signal`: the event loop stays free.
 * - Inputs are read when the call is made; changing an array afterwards does not change the result.
 * - A bad argument gives a `MidstreamerError` with a stable `code` and a message that names the argument, the index
 *   and the value ("a[17] is NaN"). Asynchronous functions reject with it and never throw. Unknown options are errors;
 *   an option whose value is undefined is omitted.
 * - Results are the same bits on every processor, for every number of threads and for every batch size.
 *
 * @packageDocumentation
 */

// ------------------------------------------------------------------------------------------ errors
/** What `MidstreamerError.code` can be. Codes are stable, messages are not. */
export type ErrorCode =
  | 'INVALID_ARGUMENT' | 'EMPTY_SERIES' | 'NON_FINITE' | 'LENGTH_MISMATCH' | 'TOO_LARGE' | 'ABORTED'
  | 'TIMEOUT' | 'CLOSED' | 'NOT_FOUND' | 'EXPIRED' | 'NO_AGENT' | 'TASK_FAILED' | 'IDEMPOTENCY_MISMATCH' | 'OVERLOADED'
  | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'SESSION_REPLACED' | 'CONNECTION' | 'PROTOCOL'
  | 'STORE' | 'CORRUPT' | 'SCHEMA' | 'FORKED' | 'CLOCK_SKEW' | 'DECRYPT' | 'INTERNAL'

/**
 * The one error class of this package.
 *
 * | code | when |
 * | --- | --- |
 * | `INVALID_ARGUMENT` | wrong type, unknown or ill-valued option, detached array |
 * | `EMPTY_SERIES` | a series without values |
 * | `NON_FINITE` | NaN or an infinity among the values |
 * | `LENGTH_MISMATCH` | values that are no multiple of `channels` or `length`; unequal lengths where equal ones are needed |
 * | `TOO_LARGE` | beyond a documented limit, or no memory for the copy of an input or for a matrix |
 * | `ABORTED` | the signal; its reason is `cause`. A task that was cancelled |
 * | `TIMEOUT` | a task, or `drain`, ran out of time |
 * | `CLOSED` | the coordinator or agent is closed, or was closed meanwhile |
 * | `NOT_FOUND` | no file of this name; no task of this id or key |
 * | `EXPIRED` | a task whose outcome is no longer kept |
 * | `NO_AGENT` | a task ran out of time, and no agent could have run it |
 * | `TASK_FAILED` | every attempt failed: `taskId`, `attempts` and `remoteError` say what and where |
 * | `IDEMPOTENCY_MISMATCH` | the idempotency key belongs to another task |
 * | `OVERLOADED` | too much waits already |
 * | `UNAUTHENTICATED` | a certificate that is not trusted, has expired or was revoked |
 * | `FORBIDDEN` | the identity, or the lack of an authority, does not allow it |
 * | `SESSION_REPLACED` | another process has logged in with the same identity |
 * | `CONNECTION` | nobody answers, or an address cannot be had |
 * | `PROTOCOL` | the other side does not speak the protocol |
 * | `STORE` | the system refused to read or write a file; another process uses it |
 * | `CORRUPT` | a file that is cut off, changed, or of another kind |
 * | `SCHEMA` | a file that a later version wrote |
 * | `INTERNAL` | a defect of this package, or an addon that did not load |
 *
 * When the system refuses the scratch memory of a computation, the process ends, as with any allocation that fails in
 * native code. It is linear in the lengths; warping paths take some tens of MiB more on each thread, `lcsAlign` below
 * 480 MB more.
 *
 * @example
 * try { await dtw(a, b) } catch (e) { if (e instanceof MidstreamerError && e.code === 'NON_FINITE') clean(a, b); else throw e }
 */
export class MidstreamerError extends Error {
  /** `code` is `INTERNAL` unless given. */
  constructor(message?: string, options?: { code?: ErrorCode; cause?: unknown; taskId?: string; attempts?: number; remoteError?: { message: string; code?: string } })
  readonly code: ErrorCode
  /** ABORTED: the reason of the signal. */
  readonly cause?: unknown
  /** TASK_FAILED: what failed where. */
  readonly taskId?: string
  readonly attempts?: number
  readonly remoteError?: { message: string; code?: string }
}

// ----------------------------------------------------------------------------------------- kernels
/**
 * One value a time step (row-major with `channels`). Views with an offset and views of a SharedArrayBuffer are fine.
 * Float32Array and number[] are converted: results are always computed in f64, and Float64Array is fastest.
 */
export type Series = Float64Array | Float32Array | readonly number[]

/**
 * Symbols of a discrete sequence: trading signals, states, quantised moves. Both sequences are of one kind: numeric
 * (compared by value, finite, -0 equals 0), string[] or string (UTF-16 code units). Empty sequences are legal.
 */
export type Sequence = Int32Array | Uint8Array | readonly number[] | readonly string[] | string

/** How two series are compared. */
export interface DtwOptions {
  /**
   * Local cost summed along the warping path: `'absolute'` |x-y| (default), `'squared'` (x-y)^2, or `'euclidean'`, the
   * square root of the squared sum.
   */
  metric?: 'absolute' | 'squared' | 'euclidean'
  /**
   * Sakoe-Chiba radius in samples, an integer >= 0: cells with -w - max(0, n-m) <= j-i <= w + max(0, m-n). Omit: no
   * band. 0 on equal lengths is the sum along the diagonal.
   */
  window?: number
  /**
   * Done to both series first: `'zscore'` subtracts the mean and divides by the population standard deviation (constant
   * series become 0), `'minmax'` scales to [0, 1]. Per channel. Default `'none'`.
   */
  normalize?: 'none' | 'zscore' | 'minmax'
  /**
   * In the units of the result, >= 0: d is returned when d <= maxDistance (equality included), otherwise Infinity. A
   * distance so large that it overflows is Infinity, past every finite `maxDistance`; it has no path.
   */
  maxDistance?: number
  /**
   * Values per time step of a row-major multivariate series, an integer >= 1 (dependent DTW): absolute = sum of |.|,
   * squared = sum of squares, euclidean = root of the total. Default 1.
   */
  channels?: number
  /** Rejects with ABORTED, before or during the work. */
  signal?: AbortSignal
}

/**
 * Dynamic time warping distance of two series of any lengths. Memory is linear in the lengths.
 *
 * @param a n time steps
 * @param b m time steps
 * @returns the distance; Infinity above `maxDistance`
 * @throws (rejects) MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT, LENGTH_MISMATCH, ABORTED
 * @example await dtw([1, 2, 3], [1, 1, 2, 3]) // 0
 */
export function dtw(a: Series, b: Series, options?: DtwOptions): Promise<number>

/**
 * `dtw` on the calling thread: for small series, where a promise costs more than the work (1000 x 1000 takes a fraction
 * of a millisecond). Longer ones block the event loop.
 *
 * @throws MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT, LENGTH_MISMATCH
 * @example dtwSync(Float64Array.of(1, 2, 3), Float64Array.of(2, 3, 4), { metric: 'squared', window: 1 }) // 2
 */
export function dtwSync(a: Series, b: Series, options?: Omit<DtwOptions, 'signal'>): number

/** Which time steps of two series belong together. */
export interface Alignment {
  /** As `dtw` gives it. Infinity past `maxDistance`. */
  distance: number
  /** 1 / (1 + distance / path length in pairs). In (0, 1]; 1 = equal. 0 past `maxDistance`. */
  similarity: number
  /**
   * Pairs i0, j0, i1, j1, ... from (0,0) to (n-1,m-1). Traced back from the end; ties: diagonal, then up (i-1), then
   * left (j-1). Empty past `maxDistance`.
   */
  path: Uint32Array
  /** Mean of j-i over the path, in samples: positive when b lags a. NaN past `maxDistance`. */
  lag: number
}

/**
 * DTW distance with its warping path.
 *
 * @returns past `maxDistance`, or when the distance overflows: distance Infinity, similarity 0, empty path, lag NaN
 * @throws (rejects) MidstreamerError as `dtw`, and TOO_LARGE above 4e9 cells
 * @example const { path, lag } = await dtwAlign(btc, eth, { normalize: 'zscore', window: 20 })
 */
export function dtwAlign(a: Series, b: Series, options?: DtwOptions): Promise<Alignment>

/**
 * Equal-length candidates in one block, row after row of `length` time steps (the fastest form), or a list of series of
 * any lengths. An empty list or block is legal and gives an empty result.
 */
export type Candidates = { data: Float64Array | Float32Array; length: number } | readonly Series[]

/** How far a long call is. */
export interface Progress {
  /**
   * Called now and then with the units done (candidates of a batch, pairs of a matrix): increasing, always a last time
   * with (total, total) before the promise resolves, never afterwards. An exception in it stops the work and rejects, and so does a promise of it that
   * rejects; the result waits for such promises.
   */
  onProgress?: (done: number, total: number) => void
}

/**
 * DTW distance of one query to every candidate, on all cores.
 *
 * @returns one distance per candidate, in order; Infinity past `maxDistance`
 * @throws (rejects) MidstreamerError as `dtw`, with messages such as "candidates[3][17] is NaN"
 * @example const d = await dtwBatch(today, { data: history, length: 60 }, { normalize: 'zscore', window: 6 })
 */
export function dtwBatch(query: Series, candidates: Candidates, options?: DtwOptions & Progress): Promise<Float64Array>

/** One of the nearest candidates. */
export interface Neighbor {
  /** Position among the candidates. */
  index: number
  distance: number
}

/**
 * The k nearest candidates. Exact: equal to sorting the result of `dtwBatch`, but most candidates are ruled out early.
 *
 * @param options `k`: how many, an integer >= 1, default 1; above the number of candidates returns all
 * @returns nearest first, ties by index; candidates past `maxDistance` are left out
 * @throws (rejects) MidstreamerError as `dtwBatch`
 * @example const [best] = await dtwNearest(query, candidates, { window: 10 })
 */
export function dtwNearest(query: Series, candidates: Candidates, options?: DtwOptions & Progress & { k?: number }): Promise<Neighbor[]>

/** Row-major `size x size`: the value of (i, j) is `data[i * size + j]`. */
export interface Matrix {
  size: number
  data: Float64Array
}

/**
 * All pairwise DTW distances: symmetric, zeros on the diagonal.
 *
 * @throws (rejects) MidstreamerError as `dtw`, and TOO_LARGE above 2^27 values (11,585 series)
 * @example const { size, data } = await dtwMatrix(closes, { normalize: 'zscore', onProgress: (n, of) => bar(n / of) })
 */
export function dtwMatrix(series: readonly Series[], options?: DtwOptions & Progress): Promise<Matrix>

/**
 * Who leads whom: for i < j, (i, j) is the `lag` of `dtwAlign(series[i], series[j])` in samples, (j, i) its negative;
 * diagonal 0. Positive: j lags i. NaN for a pair past `maxDistance`, or whose distance overflows.
 *
 * @throws (rejects) MidstreamerError as `dtwMatrix`, and TOO_LARGE above 4e9 cells of one pair
 * @example const { data } = await lagMatrix([spy, qqq, iwm], { normalize: 'zscore', window: 10 })
 */
export function lagMatrix(series: readonly Series[], options?: DtwOptions & Progress): Promise<Matrix>

/**
 * Pearson correlation of the pairs along the warping path (`method: 'dtw'`, default) or of equal positions
 * (`'pearson'`). Symmetric, diagonal 1; a constant series gives 0. Under `'dtw'` NaN for a pair past `maxDistance`, or
 * whose distance overflows.
 *
 * @throws (rejects) MidstreamerError as `lagMatrix`, and LENGTH_MISMATCH for unequal lengths under `'pearson'`
 * @example const { data } = await correlationMatrix(returns, { method: 'pearson' })
 */
export function correlationMatrix(series: readonly Series[], options?: DtwOptions & Progress & { method?: 'dtw' | 'pearson' }): Promise<Matrix>

/** Options of the symbol functions. */
export interface LcsOptions {
  /** Rejects with ABORTED, before or during the work. */
  signal?: AbortSignal
}

/**
 * Length of the longest common subsequence: symbols in common, in order, not necessarily adjacent.
 *
 * @throws (rejects) MidstreamerError INVALID_ARGUMENT (kinds that differ, wrong items), NON_FINITE, ABORTED
 * @example await lcs(['BUY', 'HOLD', 'SELL'], ['BUY', 'SELL']) // 2
 */
export function lcs(a: Sequence, b: Sequence, options?: LcsOptions): Promise<number>

/**
 * `lcs` on the calling thread: for sequences up to some thousand symbols.
 *
 * @throws MidstreamerError INVALID_ARGUMENT, NON_FINITE
 * @example lcsSync('ABCBDAB', 'BDCABA') // 4
 */
export function lcsSync(a: Sequence, b: Sequence): number

/** One longest common subsequence. */
export interface CommonSubsequence {
  length: number
  /** length / max(n, m); 1 when both are empty. */
  similarity: number
  /** Where its symbols are in a, increasing. */
  positionsA: Uint32Array
  /** Where the same symbols are in b, increasing: `a[positionsA[k]]` equals `b[positionsB[k]]`. */
  positionsB: Uint32Array
}

/**
 * A longest common subsequence with its positions. Memory is some bytes a symbol and below 480 MB for the rest.
 *
 * @throws (rejects) MidstreamerError as `lcs`, and TOO_LARGE above 7e11 cells, a common beginning and end
 * not counted
 * @example const { positionsA } = await lcsAlign('ABCBDAB', 'BDCABA')
 */
export function lcsAlign(a: Sequence, b: Sequence, options?: LcsOptions): Promise<CommonSubsequence>

/**
 * Longest common subsequences of every pair, on all cores, as ratios: length / max (`'max'`, default), / min
 * (`'min'`), 2 length / (n + m) (`'dice'`), all with diagonal 1; `'none'` gives raw lengths (diagonal = own length).
 *
 * @throws (rejects) MidstreamerError as `lcs`, and TOO_LARGE above 2^27 values
 * @example const { size, data } = await lcsMatrix(signalsOfStrategies)
 */
export function lcsMatrix(sequences: readonly Sequence[], options?: LcsOptions & Progress & { normalize?: 'max' | 'min' | 'dice' | 'none' }): Promise<Matrix>

/**
 * Longest common subsequence of real values (LCSS, Vlachos et al. 2002): x and y match when |x-y| <= epsilon and |i-j| <= window. Returns
 * the raw length.
 *
 * @param options `epsilon`: in units of the values, finite and >= 0, required; `window`: in samples, default none
 * @throws (rejects) MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT, ABORTED
 * @example await lcss([1, 2, 3], [1.1, 2.5, 3], { epsilon: 0.2 }) // 2
 */
export function lcss(a: Series, b: Series, options: { epsilon: number; window?: number; signal?: AbortSignal }): Promise<number>

/**
 * Levenshtein distance: the least number of insertions, deletions and substitutions that make b of a.
 *
 * @throws (rejects) MidstreamerError as `lcs`
 * @example await levenshtein('kitten', 'sitting') // 3
 */
export function levenshtein(a: Sequence, b: Sequence, options?: LcsOptions): Promise<number>

/**
 * The other elastic distances, with their parameters and defaults (a parameter of another measure is INVALID_ARGUMENT):
 *
 * | measure | parameters | definition | paper |
 * | --- | --- | --- | --- |
 * | `'ddtw'` | none | squared cost, no root, on derivatives (length n-2; n < 3 is INVALID_ARGUMENT) | Keogh and Pazzani, Derivative dynamic time warping, 2001 |
 * | `'wdtw'` | g = 0.05 | squared cost times 1 / (1 + exp(-g (\|i-j\| - max(n,m)/2))), no root | Jeong, Jeong and Omitaomu, Weighted dynamic time warping for time series classification, 2011 |
 * | `'adtw'` | penalty = 1 | squared cost, penalty added to every non-diagonal step, no root | Herrmann and Webb, Amercing: an intuitive and effective constraint for dynamic time warping, 2023 |
 * | `'erp'` | gap = 0 | \|.\|, borders are the sums of \|x - gap\| | Chen and Ng, On the marriage of Lp-norms and edit distance, 2004 |
 * | `'edr'` | epsilon, required | raw edit count, match when \|x-y\| <= epsilon | Chen, Ozsu and Oria, Robust and fast similarity search for moving object trajectories, 2005 |
 * | `'msm'` | cost = 1 | move-split-merge | Stefan, Athitsos and Das, The move-split-merge metric for time series, 2013 |
 * | `'twe'` | nu = 0.001, lambda = 1 | \|.\|, series preceded by 0 | Marteau, Time warp edit distance with stiffness adjustment for time series matching, 2009 |
 * | `'soft-dtw'` | gamma = 1 | squared cost; may be negative | Cuturi and Blondel, Soft-DTW: a differentiable loss function for time-series, 2017 |
 */
export type ElasticMeasure = 'ddtw' | 'wdtw' | 'adtw' | 'erp' | 'edr' | 'msm' | 'twe' | 'soft-dtw'

/** Parameters of `elastic`; which measure takes which is told at `ElasticMeasure`. */
export interface ElasticOptions {
  /** Sakoe-Chiba radius in samples as in `dtw` (for ddtw on the derivatives). Omit: no band. */
  window?: number
  /** wdtw: steepness of the logistic weight, >= 0; a weight is never below 2.2e-308, the least normal number. Default 0.05. */
  g?: number
  /** adtw: added to every step that is not diagonal, >= 0. Default 1. */
  penalty?: number
  /** erp: the value that a gap is compared with, finite. Default 0. */
  gap?: number
  /** edr: values match when |x-y| <= epsilon, >= 0. Required. */
  epsilon?: number
  /** msm: of one split or merge, >= 0. Default 1. */
  cost?: number
  /** twe: stiffness per time step, >= 0. Default 0.001. */
  nu?: number
  /** twe: of one deletion, >= 0. Default 1. */
  lambda?: number
  /** soft-dtw: smoothing, from 1e-150 to 1e150. Default 1. */
  gamma?: number
  /** Rejects with ABORTED, before or during the work. */
  signal?: AbortSignal
}

/**
 * An elastic distance of two univariate series of any lengths.
 *
 * @throws (rejects) MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT, ABORTED
 * @example await elastic('msm', a, b, { cost: 0.5 })
 */
export function elastic(measure: ElasticMeasure, a: Series, b: Series, options?: ElasticOptions): Promise<number>

/**
 * The elastic distance of one query to every candidate, in order, on all cores.
 *
 * @throws (rejects) MidstreamerError as `elastic`, and LENGTH_MISMATCH for a ragged block
 * @example const d = await elasticBatch('twe', query, { data, length: 100 }, { nu: 0.01, window: 10 })
 */
export function elasticBatch(measure: ElasticMeasure, query: Series, candidates: Candidates, options?: ElasticOptions & Progress): Promise<Float64Array>

/** A window of a series. */
export interface SubsequenceMatch {
  /** The time step of the series at which the window begins. */
  start: number
  distance: number
}

/**
 * The best places of a short query in a long series, on all cores. Every window of the query's length is normalised
 * by itself (as in the UCR suite when `normalize` is 'zscore'), and its distance has the bits of
 * `dtwSync(query, series.slice(start, start + query.length), options)`.
 *
 * Greedy: the best window is taken, those that start within `exclusion` of it are left out, the best of the others is
 * taken, and so on.
 *
 * @param options `k`: how many, an integer >= 1, default 1, fewer when there are no more; `exclusion`: in time steps,
 *   a start with |difference| <= exclusion from one that is taken is left out, default floor(query length / 2), 0
 *   allows any two different starts; `window`: the Sakoe-Chiba radius between the query and a window of the series;
 *   `onProgress` counts windows
 * @returns best first, ties by the smaller start; windows past `maxDistance` are left out
 * @throws (rejects) MidstreamerError as `dtw`, and LENGTH_MISMATCH when the series is shorter than the query
 * @example const [{ start, distance }] = await subsequenceSearch(today, history, { normalize: 'zscore', window: 6 })
 */
export function subsequenceSearch(query: Series, series: Series, options?: DtwOptions & Progress & { k?: number; exclusion?: number }): Promise<SubsequenceMatch[]>

/**
 * What is running: the version of this package, the instruction set of the kernels (`scalar`, `sse2`, `avx2`, `avx512`, `neon`,
 * `simd128` in WebAssembly, `portable`) and the threads that batches and matrices use.
 *
 * @example version() // { package: '0.1.0', kernel: 'avx512', threads: 8 }
 */
export function version(): { package: string; kernel: 'scalar' | 'sse2' | 'avx2' | 'avx512' | 'neon' | 'simd128' | 'portable' | (string & {}); threads: number }

// ---------------------------------------------------------------------------------- pattern search
/** A labelled window of a series. */
export interface Pattern {
  /** Unique in its library; well-formed Unicode. */
  id: string
  /** `length` time steps of `channels` values each, row-major. What `get` returns is a Float64Array with the values as they were added. */
  values: Series
  /**
   * Anything JSON: null, booleans, numbers, strings, arrays, plain objects. It is copied when the pattern is added, and
   * comes back deeply frozen; it stays in JavaScript, and only `save` serialises it.
   *
   * - Properties that are undefined are left out and undefined items become null, as in JSON.
   * - NaN and infinities are kept, but `save` writes them as null, as JSON does.
   * - Functions, symbols, BigInt, instances of classes (Date too: store `date.getTime()`), cycles and holes are
   *   INVALID_ARGUMENT naming their place, as is a nesting deeper than 500; more than a million values are TOO_LARGE.
   *
   * Fields with a meaning: `endsAt` (epoch milliseconds of the last sample; `asOf` looks at it), `outcome` (return over
   * the pattern's horizon, as a fraction), `outcomeAt` (epoch milliseconds at which it was known), `patternType`.
   */
  meta?: unknown
}

/** A pattern that a search found. */
export interface Match {
  id: string
  /** As `dtw` gives it for the query and the pattern, the same bits. */
  distance: number
  /** 1 / (1 + distance / length), length in time steps of the pattern. In [0, 1]; 1 = equal. */
  similarity: number
  /** The pattern's, frozen; no such key when it has none. */
  meta?: unknown
}

/** What the patterns of a library have in common, and how they are compared. */
export interface LibraryOptions {
  /** Time steps of every pattern, an integer >= 1. */
  length: number
  /** Values per time step, row-major. Default 1. */
  channels?: number
  /** Sakoe-Chiba radius in samples, as in `dtw`. Omit: no band. */
  window?: number
  /** As in `dtw`. Default `'absolute'`. */
  metric?: DtwOptions['metric']
  /** As in `dtw`, done to each pattern when it is added and to each query. Default `'none'`. */
  normalize?: DtwOptions['normalize']
}

/** What a search in a library asks for. */
export interface LibrarySearchOptions {
  /** How many, an integer >= 1, default 10; above the number of patterns: all. */
  k?: number
  /** In the units of the distance, >= 0: patterns farther than this are left out. */
  maxDistance?: number
  /**
   * Epoch milliseconds, infinities included: leaves out patterns whose `meta.endsAt` is later, missing or not finite, so
   * that a search about the past does not see what came after it.
   */
  asOf?: number
}

/**
 * Patterns of one length in native memory, prepared when they are added: add once, search many times. Patterns may be
 * added and removed while searches run; each search sees the library as it was when it was called. The memory of a
 * dropped library comes back in a later turn of the event loop: a loop that makes many large ones should await now and then.
 *
 * @example
 * const library = new PatternLibrary({ length: 60, normalize: 'zscore', window: 6 })
 * library.add({ id: '2020-02-24', values: closes, meta: { endsAt: Date.UTC(2020, 1, 24), outcome: -0.12 } })
 * const [nearest] = await library.search(today, { k: 5, asOf: Date.now() })
 */
export class PatternLibrary {
  /** @throws MidstreamerError INVALID_ARGUMENT */
  constructor(options: LibraryOptions)

  /** Patterns in the library. */
  readonly size: number

  /**
   * Adds one pattern or many: all or, on an error, none. Ids must be new.
   *
   * @throws MidstreamerError INVALID_ARGUMENT (an id that exists already or occurs twice, meta that is not JSON),
   * EMPTY_SERIES, NON_FINITE ("patterns[3].values[17] is NaN"), LENGTH_MISMATCH, TOO_LARGE
   */
  add(patterns: Pattern | readonly Pattern[]): void
  /**
   * Adds many patterns from one block, row after row: the fastest form. `meta`, when given, has an item for each id.
   *
   * @throws MidstreamerError as above
   * @example library.add({ ids: ['a', 'b'], data: Float64Array.of(1, 2, 3, 4, 5, 6) }) // two patterns of length 3
   */
  add(block: { ids: readonly string[]; data: Float64Array | Float32Array; meta?: readonly unknown[] }): void

  /** Removes a pattern; false when there is none of this id. Searches that run still find it, with its meta. */
  remove(id: string): boolean

  /** The pattern of this id with a copy of its values, or undefined. */
  get(id: string): (Pattern & { values: Float64Array }) | undefined

  /**
   * The k nearest patterns, exactly: equal to sorting the distances of all, but most patterns are ruled out early.
   *
   * @returns nearest first, ties by order of adding
   * @throws (rejects) MidstreamerError EMPTY_SERIES, NON_FINITE, LENGTH_MISMATCH, INVALID_ARGUMENT, ABORTED
   * @example await library.search(today, { k: 3, maxDistance: 12, asOf: Date.UTC(2024, 0, 1) })
   */
  search(query: Series, options?: LibrarySearchOptions & { signal?: AbortSignal }): Promise<Match[]>

  /**
   * `search` while the calling thread waits, for the hot loop: a promise costs more than a search in a small library.
   * A large library holds up the event loop for as long as the search takes; several threads share it.
   *
   * @throws MidstreamerError EMPTY_SERIES, NON_FINITE, LENGTH_MISMATCH, INVALID_ARGUMENT
   */
  searchSync(query: Series, options?: LibrarySearchOptions): Match[]

  /**
   * Writes the library as it is now to a file, in place of what was there. The file is replaced whole or not at all,
   * whatever happens meanwhile, and it is durable when the promise resolves. Patterns keep their order. Saves of one
   * process (one worker) to one path take effect in the order of the calls.
   *
   * @param options with `keyring` the file is sealed with the current key: values, ids and meta. Its length still shows.
   * `context` says which library it is: without one, a sealed library can be put in the place of another unnoticed
   * @throws (rejects) MidstreamerError STORE (the system refused), INVALID_ARGUMENT, TOO_LARGE (an id or meta beyond what the format
   * holds); what `Keyring.seal` throws for the keyring's own file
   */
  save(path: string, options?: { keyring?: Keyring; context?: string }): Promise<void>

  /**
   * The library of a file: same options, patterns, meta and order.
   *
   * @param options `keyring`: with any of its keys. With it only a sealed file is taken, so that nobody can slip in a
   * plain one. `context`: the one that it was saved with
   * @throws (rejects) MidstreamerError NOT_FOUND (no such file), CORRUPT (not an intact library), SCHEMA (written by a
   * later version), STORE (the system refused), TOO_LARGE (no memory), INVALID_ARGUMENT; DECRYPT: sealed and no
   * keyring, a keyring and not sealed, a key that it does not have, another context, or a file that was changed or cut off
   */
  static load(path: string, options?: { keyring?: Keyring; context?: string }): Promise<PatternLibrary>

  /**
   * The library as it is now, as the bytes that `save` writes to a file without a keyring: for a database, a message to a worker,
   * or a browser, which has the same library in WebAssembly.
   *
   * @throws (rejects) MidstreamerError TOO_LARGE (no memory, or an id or meta beyond what the format holds)
   * @example await store.put('patterns', await library.toBytes())
   */
  toBytes(): Promise<Uint8Array>

  /**
   * The library of such bytes, or of those of a file that was saved without a keyring.
   *
   * @param bytes may be changed once the promise is there
   * @throws (rejects) MidstreamerError CORRUPT (not an intact library), SCHEMA (written by a later version), TOO_LARGE (no memory),
   * DECRYPT (sealed: that is for `load`), INVALID_ARGUMENT
   */
  static fromBytes(bytes: Uint8Array): Promise<PatternLibrary>

  /**
   * What the search that finished last skipped and why, to explain its speed; null before the first. Searches of a
   * `StreamMatcher` count too; one that was aborted or failed does not.
   *
   * - `candidates`: patterns that it could have returned: those in the library, with `asOf` those that had ended
   * - `prunedByBound`: never compared, a lower bound was beyond what was found already
   * - `abandoned`: compared in part, the distance turned out to be beyond what was found already
   * - `computed`: compared to the end; the three add up to `candidates`
   * - `elapsedMs`: milliseconds of the search itself, without the wait for a thread
   */
  readonly lastSearch: { candidates: number; prunedByBound: number; abandoned: number; computed: number; elapsedMs: number } | null
}

/**
 * Matches live bars: feed samples one at a time; each push searches the library with the last `length` of them. Nothing
 * after the sample is ever read.
 *
 * Each answer equals `library.searchSync(lastSamples, { k, maxDistance, asOf: at })` in the library as it is at that
 * moment. Memory is constant (twice `length` samples), and nothing drifts: the window is normalised anew with each
 * push, so the ten-millionth answer is as exact as the first.
 *
 * @example
 * const matcher = new StreamMatcher(library, { k: 3, maxDistance: 10 })
 * for await (const bar of bars) {
 *   for (const { id, distance } of matcher.push(bar.close, bar.time)) console.log(id, distance)
 * }
 */
export class StreamMatcher {
  /**
   * @param options `k`: matches per push, an integer >= 1, default 10; `maxDistance`: in the units of the distance
   * @throws MidstreamerError INVALID_ARGUMENT
   */
  constructor(library: PatternLibrary, options?: { k?: number; maxDistance?: number })

  /**
   * One sample: a number, or one value per channel. On an error nothing is pushed.
   *
   * @param at instant of the sample in epoch milliseconds; acts as `asOf`, so that a library with later windows cannot
   * leak the future. It may be earlier than the one before (a late bar): each push is a question of its own. Omit: every
   * pattern is searched
   * @returns matches, nearest first; [] until there are `length` samples
   * @throws MidstreamerError NON_FINITE (also of `at`), INVALID_ARGUMENT, EMPTY_SERIES, LENGTH_MISMATCH
   */
  push(value: number | Series, at?: number): Match[]

  /**
   * Many samples, row-major, with an instant for each or none: what as many calls of `push` return, computed on all
   * cores while the calling thread waits. On an error nothing is pushed.
   *
   * @throws MidstreamerError as `push`
   */
  pushMany(values: Series, at?: Series): Match[][]

  /** Forgets every sample. */
  reset(): void
}

// ------------------------------------------------------------------------------------ many series at once
/**
 * Alignment and lag of each pair of neighbouring series, e.g. one market at 1, 5, 15 and 60 minutes: element i is what
 * `dtwAlign(series[i], series[i + 1], options)` gives, to the last bit. On all cores.
 *
 * Path and lag count in samples of each series: with different bar lengths the lag holds their ratio as well.
 *
 * @param options as of `dtwAlign`; `onProgress` counts pairs
 * @returns one less than there are series; none of fewer than two
 * @throws (rejects) MidstreamerError as `dtwAlign`, with messages such as "series[3][17] is NaN"; TOO_LARGE above 4e9
 * cells of one pair, before any work
 * @example const [fiveOnOne, hourOnFive] = await alignTimeframes([m1, m5, h1], { normalize: 'zscore' })
 */
export function alignTimeframes(series: readonly Series[], options?: DtwOptions & Progress): Promise<Alignment[]>

/**
 * The series in the middle of many: DTW barycenter averaging (DBA; Petitjean, Ketterlin and Gancarski, A global
 * averaging method for dynamic time warping, 2011). Squared cost, univariate.
 *
 * The inertia of a centre is the sum of `dtw(center, series[i], { metric: 'squared', window })` over all i, in order. The first
 * centre is the medoid, the series with the smallest inertia (ties: the first); its length stays. Every iteration
 * moves each value of the centre to the mean of the values paired with it and is kept if that lowers the inertia. The
 * last is the one by which the inertia falls by less than `tolerance` (absolute, in units of the inertia), or number
 * `maxIterations`. Normalise prices of different levels first.
 *
 * @param options `window`: Sakoe-Chiba radius in samples, default none; `maxIterations`: an integer >= 1, default 30; `tolerance`:
 * finite and >= 0, default 1e-6 (0: until the inertia falls no more); `onProgress` counts pairs compared and may leap to the end
 * @returns `inertia` of `center`, and the `iterations` that were computed
 * @throws (rejects) MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT (also for no series at all), ABORTED, and TOO_LARGE
 * above 11,585 series or when the longest one has more than 4e9 cells with itself
 * @example const { center } = await barycenter([[0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1, 0]]) // [0, 0, 1, 0]
 */
export function barycenter(
  series: readonly Series[],
  options?: Progress & { window?: number; maxIterations?: number; tolerance?: number; signal?: AbortSignal },
): Promise<{ center: Float64Array; inertia: number; iterations: number }>

/**
 * The k series that represent the others best: k-medoids by FasterPAM (Schubert and Rousseeuw, Fast and eager k-medoids
 * clustering, 2021) on the matrix of DTW distances, the best of eight seeded starts. No exchange of one medoid for
 * another series lowers the inertia; for k = 1 it is the smallest there is.
 *
 * A distance past `maxDistance` is Infinity, more than any sum: as few series as possible are out of reach of their
 * medoid, and then the sum of the others is minimised.
 *
 * @param k how many, an integer from 1 to the number of series
 * @param options as of `dtwMatrix`, and `seed`: an integer >= 0, default 0. The same seed gives the same answer on every machine
 * @returns `medoids`: indices of the series, ascending; `assignment`: for each series the position of its medoid in
 * `medoids` (the nearest, ties: the first; a medoid is its own); `inertia`: the sum of their distances in order,
 * Infinity when a series is out of reach
 * @throws (rejects) MidstreamerError as `dtwMatrix`
 * @example const { medoids: typical, assignment } = await medoids(windows, 4, { normalize: 'zscore', window: 5 })
 */
export function medoids(
  series: readonly Series[],
  k: number,
  options?: DtwOptions & Progress & { seed?: number },
): Promise<{ medoids: Uint32Array; assignment: Uint32Array; inertia: number }>

// -------------------------------------------------------------------------------------------------- security
/**
 * Who a member of a swarm is, as three PEM texts: its certificate, the private key of that, and the certificate of the
 * authority that it trusts. Texts, never paths: they can come from a file, a secret store or an environment variable.
 */
export interface Identity {
  /** The certificate, and intermediate ones after it, if any. */
  certificate: string
  /** PKCS#8 or SEC 1, not encrypted. Keep it secret: whoever has it is this member. */
  privateKey: string
  /** The authorities to trust; more than one while a root is being replaced. */
  ca: string
}

/** What a member is: a coordinator listens, an agent dials, a peer (an AgentDB node that listens) does both. */
export type Role = 'coordinator' | 'agent' | 'peer'

/**
 * What an identity may do, kept by the authority and not in the certificate. A list that is omitted allows everything of
 * the role; an empty one allows nothing. A coordinator that was given the authority asks at every frame; one without has no
 * register to ask, and refuses nothing. Names are compared exactly. A renewed identity keeps its grants.
 */
export interface Grants {
  /** As what an agent may register; another type is refused at `connect` with FORBIDDEN. */
  agentTypes?: string[]
  /**
   * Which kinds of task it may be given, also of those that are built in. Tasks of other kinds go to other agents. With
   * 'dtw.matrix', 'lcs.matrix' or 'library.search' it takes its part in `dtwMatrix`, `lcsMatrix` or `distribute`.
   */
  kinds?: string[]
  /** To which topics it may publish (else FORBIDDEN) and subscribe (else a process warning, and no messages). */
  topics?: string[]
  /** Which databases it may replicate. */
  databases?: string[]
}

/** A new identity, and where it stands in the register of its authority. */
export interface IssuedIdentity extends Identity {
  id: string
  role: Role
  /** In hexadecimal, lower case: what `revoke` takes. */
  serial: string
  /** Its end, in epoch milliseconds; a whole second. */
  notAfter: number
}

/** A certificate in the register of an authority. */
export interface IssuedCertificate {
  serial: string
  id: string
  role: Role
  notAfter: number
  revoked: boolean
  grants: Grants
}

/** A certificate that was taken back. */
export interface RevokedCertificate {
  serial: string
  id: string
  /** When it was revoked, in epoch milliseconds. */
  at: number
  reason?: string
}

/** What {@link verifyAuditLog} found. */
export interface AuditVerification {
  /** The chain holds, signatures too where a key was given, and nothing is known to be cut off or written anew. */
  ok: boolean
  /** Entries that hold, from the first on. */
  entries: number
  /** Hash of the last of them; with its number an anchor for later. */
  head: string
  /** The first entry that does not hold: changed, removed, inserted or moved. */
  brokenAt?: number
  /** The log ends before its newest checkpoint or the anchor, or within a line, or has another entry where one of them points. */
  truncated: boolean
  /** Entries after the last checkpoint: chained, and not signed yet. */
  unsignedTail: number
}

/**
 * Walks the audit log of a coordinator: its directory, the `dataDir` around it, or one segment. Memory does not grow with
 * the log, and it may be written meanwhile. A changed, removed or reordered entry is named by its number; that the log was
 * cut shows against the newest checkpoint beside it and against the anchor. The format: docs/audit-log.md.
 *
 * Without `publicKey` signatures are not verified: then whoever can write the files can make a log that holds. Key and
 * anchor are of any worth only when they were kept elsewhere; `Coordinator.auditLog` gives both.
 *
 * @param path a directory or a file
 * @throws (rejects) MidstreamerError NOT_FOUND when there is no log, STORE when it cannot be read, INVALID_ARGUMENT also for a
 * key that is not the PEM of an Ed25519 public key. What does not hold is a result, not an error.
 * @example
 * const { publicKey, anchor } = coordinator.auditLog()
 * const { ok, brokenAt } = await verifyAuditLog('./data', { publicKey, anchor })
 */
export function verifyAuditLog(path: string, options?: { publicKey?: string; anchor?: { seq: number; head: string } }): Promise<AuditVerification>

/**
 * Issues the identities of a swarm and takes them back: a P-256 key in a directory, and a register of every certificate
 * it signed. Any number of processes may open the same directory; their changes take turns.
 *
 * A member is named in its certificate by one SPIFFE name, `spiffe://<name>.midstreamer/swarm/<name>/<role>/<id>`, and
 * that is all that is ever believed about who it is.
 *
 * @example
 * const authority = await CertificateAuthority.open('./authority', { name: 'desk', passphrase: process.env.CA_PASSPHRASE })
 * const identity = await authority.issue({ id: 'worker-1', role: 'agent' })
 */
export class CertificateAuthority {
  private constructor()

  /**
   * Opens the authority of a directory, or makes one there. On Unix the directory has to have the permissions 0700 and
   * its files 0600; anything wider is refused. On Windows the access list of the parent directory applies.
   *
   * @param options `name` of the swarm: 1 to 64 characters of A-Z, a-z, 0-9, '.', '-' and '_', default 'swarm'; of an
   * authority that exists it has to be its name. `validDays`: an integer from 1 to 36,500, default 3,650; only used
   * when it is made. `passphrase` encrypts the key (AES-256-GCM-SIV, PBKDF2), and opens it again
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT; FORBIDDEN when others can read the directory or a file in it;
   * DECRYPT for a wrong or missing passphrase, or one where none was set; CORRUPT for damaged files; STORE when the
   * system refuses
   */
  static open(directory: string, options?: { name?: string; validDays?: number; passphrase?: string | Uint8Array }): Promise<CertificateAuthority>

  /** Its own certificate, in PEM: the `ca` of the identities that it issues. */
  readonly certificate: string

  /** SHA-256 of its own certificate, in hexadecimal, lower case. */
  readonly fingerprint: string

  /**
   * Makes a key and a certificate for it. The private key is kept nowhere else. When the promise resolves, the
   * certificate is in the register for good.
   *
   * @param request `id`: 1 to 128 characters of A-Z, a-z, 0-9, '.', '-' and '_'; the same id may be issued again, as
   * for a renewal. `hosts`: DNS names and IP addresses to put in as well; members of a swarm do not look at them, and a
   * renewal does not repeat them.
   * `validMs`: an integer >= 1, default 90 days, and never beyond the authority's own end. `grants`: default everything
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT, EXPIRED when the authority itself has ended, FORBIDDEN,
   * CORRUPT, STORE
   */
  issue(request: { id: string; role: Role; hosts?: string[]; validMs?: number; grants?: Grants }): Promise<IssuedIdentity>

  /**
   * Takes back one certificate by its serial number, with those that it was renewed into, or all certificates of a member by
   * its id; those that the member is issued later are not concerned. Coordinators that were given this authority, in
   * whatever process, drop the member within a second and refuse it; `Coordinator.revoke` refuses an id for ever. What is
   * revoked already keeps its time and its reason.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND when nothing was issued under this name, INVALID_ARGUMENT (also for a
   * reason of more than 1,024 bytes), FORBIDDEN, CORRUPT, STORE
   */
  revoke(idOrSerial: string, reason?: string): Promise<void>

  /** What was taken back, in order of issue. */
  revoked(): Promise<RevokedCertificate[]>

  /**
   * What was issued, in order, also by other processes. Forgotten are certificates that ended more than 400 days ago, and
   * those that were followed by another and not revoked, a day after their end.
   */
  list(): Promise<IssuedCertificate[]>

  /**
   * For the change from one root to the next: enters what the predecessor issued and took back into this register, so that
   * its certificates keep their grants and can be revoked here. May be repeated. Resolves with how many entries were new or
   * have changed. The steps around it are in docs/security.md.
   *
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT for the authority of another swarm, FORBIDDEN, CORRUPT, STORE
   */
  adopt(predecessor: CertificateAuthority): Promise<number>
}

/** A key of a `Keyring`, without what is secret of it. */
export interface KeyringKey {
  /** 16 hexadecimal digits. Everything that was sealed with the key names it. */
  id: string
  /**
   * `current`: it seals, and exactly one does. `installed`: not used yet. `retired`: it was replaced, or will not be used.
   * All of them open.
   */
  state: 'installed' | 'current' | 'retired'
  /** When it was made, on whichever node, in epoch milliseconds. */
  createdAt: number
}

/**
 * Keys for pattern values, at rest and between nodes (AES-256-GCM-SIV). What is sealed carries the id of its key; only the
 * current key seals, and every key that was not removed opens. The keys are in one file that only its owner can read; any
 * number of processes may share it, and each sees the changes of the others at its next call. Nothing that is printed
 * shows a key.
 *
 * The formats, and how several nodes change their key without a moment in which one of them cannot read: docs/keyring.md.
 *
 * @example
 * const keyring = await Keyring.open('./keyring', { passphrase: process.env.KEYRING_PASSPHRASE })
 * const sealed = keyring.sealSeries(values, 'patterns/AAPL/1h')
 * const again = keyring.openSeries(sealed, 'patterns/AAPL/1h')
 * await library.save('./patterns.lib', { keyring })
 */
export class Keyring {
  private constructor()

  /**
   * Opens the keyring in a file, or makes one there with a first key, which is current. The directory has to exist. On Unix
   * the file has the permissions 0600; anything wider is refused. On Windows the access list of the directory applies. Beside
   * it a file with the ending `.lock` appears with the first change, and stays.
   *
   * @param options `passphrase` encrypts the keys in the file (PBKDF2, AES-256-GCM-SIV), and opens it again. `create`: false
   * when the file has to be there (NOT_FOUND), as in production: a disk that is not mounted must not give a new key. Default true.
   * `audit`: a coordinator with a `dataDir`, whose audit log then has each step of a key (made, exported, installed, put to
   * use, retired, removed); a step that could not be written down rejects with STORE, and says that it was made
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT; FORBIDDEN when others can read the file; DECRYPT for a wrong or
   * missing passphrase, or one where none was set; CORRUPT for a damaged file; SCHEMA for one of a later version; STORE
   * when the system refuses
   */
  static open(path: string, options?: { passphrase?: string | Uint8Array; create?: boolean; audit?: Coordinator }): Promise<Keyring>

  /**
   * The key that seals.
   *
   * @throws MidstreamerError STORE, CORRUPT, FORBIDDEN, DECRYPT when the file is gone or is not what it was
   */
  readonly currentKeyId: string

  /**
   * All keys, in the order in which they came.
   *
   * @throws MidstreamerError as `currentKeyId`
   */
  keys(): KeyringKey[]

  /**
   * A new key, installed but not yet used; export it to the other nodes, install it there, then `use` it. Resolves with
   * its id when it is in the file for good, as do all changes.
   *
   * @throws (rejects) MidstreamerError TOO_LARGE beyond 1,024 keys; STORE, CORRUPT, FORBIDDEN, DECRYPT for the file
   */
  generate(): Promise<string>

  /**
   * A key for another node: 104 bytes, or 136 of one that was made after the first, sealed with the passphrase, which takes a good part of a second. Send the
   * passphrase another way.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND, INVALID_ARGUMENT; for the file as `generate`
   */
  export(keyId: string, passphrase: string | Uint8Array): Promise<Uint8Array>

  /**
   * Takes a key that another node exported, and resolves with its id. It opens from now on and seals when it is used. A key
   * that is here already stays what it is.
   *
   * @throws (rejects) MidstreamerError DECRYPT for another passphrase or bytes that were changed or cut off;
   * INVALID_ARGUMENT, also for another key under an id that is taken; TOO_LARGE; for the file as `generate`
   */
  install(exported: Uint8Array, passphrase: string | Uint8Array): Promise<string>

  /**
   * From now on this key seals, and the one before is retired. A retired key may be used again: the way back from a
   * change that went wrong.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND, INVALID_ARGUMENT; for the file as `generate`
   */
  use(keyId: string): Promise<void>

  /**
   * `generate` and `use` in one, for a keyring that only this node has: others could not read what is sealed next. Resolves
   * with the id of the new key.
   *
   * @throws (rejects) MidstreamerError as `generate`
   */
  rotate(): Promise<string>

  /**
   * A key that is not to be used any more; it still opens. The key that `use` replaces is retired by that.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND; INVALID_ARGUMENT, also for the current key; for the file as `generate`
   */
  retire(keyId: string): Promise<void>

  /**
   * Forgets a retired key: what was sealed with it never opens again here. Seal it anew before, see `reseal`.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND; INVALID_ARGUMENT, also for the current key and for one that is not
   * retired; for the file as `generate`
   */
  remove(keyId: string): Promise<void>

  /**
   * Encrypts with the current key; 44 bytes longer than `plaintext`, of which there may be 2^30.
   *
   * @param context where it belongs, at most 65,536 bytes; it opens with the same one only. Default ''
   * @throws MidstreamerError INVALID_ARGUMENT, TOO_LARGE; STORE, CORRUPT, FORBIDDEN, DECRYPT when the keyring's file is
   * gone or is not what it was: what is sealed with a key that is nowhere else would be lost
   */
  seal(plaintext: Uint8Array, context?: string): Uint8Array

  /**
   * Decrypts, with whichever key it was sealed with.
   *
   * @throws MidstreamerError DECRYPT: changed, cut off, of another context, a series, or of a key that this keyring does
   * not have, which is named; INVALID_ARGUMENT
   */
  open(sealed: Uint8Array, context?: string): Uint8Array

  /**
   * Encrypts values, which come back to the bit, as a Float64Array.
   *
   * @throws MidstreamerError NON_FINITE, EMPTY_SERIES, and as `seal`
   */
  sealSeries(values: Series, context?: string): Uint8Array

  /**
   * Decrypts what `sealSeries` made; what `seal` made is DECRYPT.
   *
   * @throws MidstreamerError as `open`
   */
  openSeries(sealed: Uint8Array, context?: string): Float64Array

  /**
   * The same, bytes or series, sealed with the current key: for changing keys lazily, wherever something is read. Returns
   * `sealed` itself when it is under the current key already; whether it opens is then not looked at.
   *
   * @throws MidstreamerError as `open` and `seal`
   */
  reseal(sealed: Uint8Array, context?: string): Uint8Array
}

// -------------------------------------------------------------------------------------------- swarm
/** How a coordinator is set up. Everything has a default. */
export interface CoordinatorOptions {
  /** `host:port` for agents, over UDP (QUIC). Default '127.0.0.1:0'; port 0 takes a free one. */
  listen?: string
  /**
   * `host:port` at which machines with a join token get an identity, over UDP (QUIC); needs an `authority`. Off by default.
   * It shows a certificate and asks for none, so it is a port of its own: open it to where new machines come from. Failed
   * tries are limited for each address (20 at once, then one every three seconds; an IPv6 address counts as its /64).
   */
  enrollListen?: string
  /**
   * Who the coordinator is, with role 'coordinator'. Omit it beside an `authority`, and the coordinator has itself issued an
   * identity with the id 'coordinator'. Omit both for a throw-away authority that lives as long as the coordinator
   * (development, tests): `developmentIdentity(id)` then issues agents. TLS is mutual in all cases.
   */
  identity?: Identity
  /**
   * The authority that issued the identity and those of the agents. With it the coordinator enforces grants, sees
   * revocations that any process makes within a second, refuses certificates that are not in the register, renews the
   * identities of its agents and its own around half of their lives (to 24 hours each), and makes join tokens. Without it
   * identities last as long as they were issued for.
   */
  authority?: CertificateAuthority
  /**
   * Awaited when the coordinator's own identity was renewed, before the old key is dropped: store it where the next start
   * finds it. When it rejects, the old identity is used on and the new one is offered again. Needs an `authority`.
   */
  onIdentity?: (identity: Identity) => Promise<void>
  /** Directory of the durable task queue; made when it is missing, and used by one coordinator at a time. Omit: in memory only. */
  dataDir?: string
  /** An agent that was not heard of for so long is gone, and its tasks are tried elsewhere. Keep-alives follow from it. Default 10,000. */
  agentTimeoutMs?: number
  /** `timeoutMs` of tasks that name none. Default none. */
  taskTimeoutMs?: number
  /** `maxAttempts` of tasks that name none. Default 3. */
  maxAttempts?: number
  /** Tasks that may wait; one more is OVERLOADED. Default 100,000. */
  maxQueued?: number
  /** Agents that may be connected. Default 20,000. */
  maxAgents?: number
  /** The largest payload, result or message when encoded, 1,024 to 2^30. Default 65 MiB. */
  maxMessageBytes?: number
  /** How long outcomes are kept for `result`. Default 24 h. */
  resultRetentionMs?: number
  /** Bytes of outcomes that are kept; beyond it the oldest go first. Default 256 MiB. */
  maxRetainedBytes?: number
  /** Serves /metrics, /agents, /healthz and /readyz on this `host:port`, to whoever can reach it. Off by default. */
  http?: string
  /** Structured log entries. Without it nothing is logged. Entries are dropped while 64 MiB of them wait for a blocked event loop. */
  onLog?: (entry: LogEntry) => void
}

/** One thing that a coordinator has to say about itself. */
export interface LogEntry { at: number; level: 'error' | 'warn' | 'info' | 'debug'; target: string; message: string; fields: Record<string, unknown> }

/**
 * A task to do. Payloads, results and messages are JSON values in which typed arrays may stand anywhere; those travel as
 * raw bytes and arrive as the same kind of array. NaN, Infinity, BigInt, Date, functions, cycles: INVALID_ARGUMENT naming the path.
 */
export interface TaskRequest {
  /** Which handler runs it. */
  kind: string
  payload?: unknown
  /** 0..9, 9 first; default 0. A task that has waited long is served as if it had a higher one. */
  priority?: number
  /** Capabilities that the agent must have, all of them. */
  requires?: string[]
  /** From acceptance to outcome; default the coordinator's `taskTimeoutMs`, else none. Past it: TIMEOUT, or NO_AGENT when no agent could have run it. */
  timeoutMs?: number
  /** From the start of an attempt to its end; past it the attempt has failed. */
  attemptTimeoutMs?: number
  /** A handler that reports no progress for so long has failed its attempt. Default none. */
  progressTimeoutMs?: number
  /** The same key within retention returns the first outcome; with another kind or payload: IDEMPOTENCY_MISMATCH. */
  idempotencyKey?: string
  /** Attempts before the task is a dead letter; default the coordinator's `maxAttempts`. */
  maxAttempts?: number
}

/** What a task gave. */
export interface TaskResult<T = unknown> {
  taskId: string
  idempotencyKey?: string
  /** Position of the task in what `map` was given. */
  index?: number
  /** Who ran it. */
  agentId: string
  /** What the handler returned. */
  value: T
  /** Attempts used, this one included. */
  attempts: number
  /** From acceptance to the start of the last attempt. */
  queuedMs: number
  /** From the start of the last attempt to its result. */
  runMs: number
}

/** Where a task is. `progress` is what its handler last reported, 0 to 1; `error` is what last went wrong. */
export interface TaskState {
  taskId: string
  idempotencyKey?: string
  kind: string
  state: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
  attempts: number
  agentId?: string
  progress?: number
  error?: string
}

/** A connected agent as its coordinator sees it; `completed` and `failed` count since it connected. */
export interface AgentInfo {
  id: string
  type: string
  capabilities: string[]
  /** `metadata` of `Agent.connect`. */
  metadata: Record<string, string>
  /** Name and version of the agent's program. */
  software: string
  connectedAt: number
  lastSeenAt: number
  running: number
  completed: number
  failed: number
  /** Running tasks for each slot, by its last heartbeat: 1 is full. */
  load: number
  /** Resident memory of its process, by its last heartbeat; 0 where its system does not tell. */
  memoryBytes: number
  rttMs: number
  remoteAddress: string
  transport: 'quic' | 'websocket'
  /** Group of the TLS key exchange, e.g. X25519MLKEM768 (post-quantum). */
  keyExchange: string
}

/** Numbers of a coordinator: `agents`, `queued`, `running` and `deadLettered` now, the others since it was started. */
export interface SwarmStats {
  agents: number
  queued: number
  running: number
  completed: number
  failed: number
  retried: number
  deadLettered: number
  bytesIn: number
  bytesOut: number
  uptimeMs: number
}

/** A message on a topic; `from` is the id of who published it, out of its certificate. */
export interface TopicMessage { topic: string; from: string; payload: unknown }

/**
 * Accepts tasks, gives them to agents, and keeps their outcomes: every accepted task is executed at least once and has
 * exactly one outcome. Agents connect over QUIC with mutual TLS.
 *
 * - Everything rejects (or throws, where it returns no promise) with CLOSED once the coordinator is closed.
 * - An open coordinator keeps the process alive; see `unref`.
 * - A listener that throws disturbs no other; what it threw becomes an 'uncaughtException', as with an EventTarget.
 *
 * @example
 * const coordinator = await Coordinator.start()
 * const agent = await Agent.connect({
 *   address: coordinator.address,
 *   identity: await coordinator.developmentIdentity('agent-1'),
 *   handlers: { double: (x) => 2 * x },
 * })
 * const { value } = await coordinator.submit({ kind: 'double', payload: 21 })
 */
export class Coordinator {
  private constructor()

  /**
   * Resolves when it listens and its store is open.
   *
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT, UNAUTHENTICATED (an identity that has expired), CONNECTION (the
   * address cannot be had), STORE (the directory cannot be used, or another process uses it), CORRUPT
   */
  static start(options?: CoordinatorOptions): Promise<Coordinator>
  /** From its certificate. */
  readonly id: string
  /** `host:port` that agents dial. */
  readonly address: string
  /** `host:port` for `Agent.enroll`, null without `enrollListen`. Beside a wildcard such as 0.0.0.0 it names no machine. */
  readonly enrollAddress: string | null
  /** `host:port` of metrics and health, null without `http`. */
  readonly httpAddress: string | null

  /** Identity for an agent of this coordinator's throw-away authority; FORBIDDEN when it was given a real identity. */
  developmentIdentity(agentId: string): Promise<Identity>

  /**
   * Makes a join token: one word that a new machine exchanges for an identity as an agent (`Agent.enroll`). In it are the
   * digest of the authority's key, so that the machine tells nobody else the secret, `enrollAddress`, and a secret of 128 bits,
   * of which the authority's directory keeps the hash. Whoever has the token can have the identity: hand it over like a password.
   * It outlives the coordinator, and every coordinator with the same authority takes it.
   *
   * @param options `ttlMs`: how long it is good for, 1 to a year, default an hour. `uses`: for how many identities, 1 to
   * 100,000, default 1. `grants`: what those may do, default everything of an agent
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT; FORBIDDEN without `authority` or `enrollListen`, or while the
   * coordinator's own identity is not one of that authority; OVERLOADED when 1,000 tokens could still be used; EXPIRED when
   * the authority itself has ended; STORE when it could not be kept; CLOSED
   *
   * @example
   * const token = await coordinator.createJoinToken({ ttlMs: 600_000, grants: { kinds: ['backtest'] } })
   */
  createJoinToken(options?: { ttlMs?: number; uses?: number; grants?: Grants }): Promise<string>

  /**
   * Hands in a task and does not wait for it; `deduplicated`: it was there already, under the same idempotency key.
   *
   * @returns once the task is accepted: durable when there is a dataDir
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT, TOO_LARGE, OVERLOADED, IDEMPOTENCY_MISMATCH, STORE, CLOSED
   */
  enqueue(task: TaskRequest): Promise<{ taskId: string; deduplicated: boolean }>

  /**
   * Waits for the outcome of a task of this or an earlier life of the coordinator. Aborting ends the waiting; the task
   * goes on.
   *
   * @throws (rejects) MidstreamerError NOT_FOUND, EXPIRED (it is no longer kept), ABORTED (also: the task was
   * cancelled), CLOSED, and what became of the task: TASK_FAILED, TIMEOUT, NO_AGENT
   */
  result<T = unknown>(taskIdOrKey: string, options?: { signal?: AbortSignal }): Promise<TaskResult<T>>

  /** Where a task is; undefined when there is none of this id or key. */
  task(taskIdOrKey: string): TaskState | undefined

  /** Cancels a task wherever it is: its handler's signal aborts. False when it had its outcome already, or is unknown. */
  cancel(taskIdOrKey: string): Promise<boolean>

  /**
   * `enqueue` and `result` in one. Aborting cancels the task when nobody else waits for it.
   *
   * @throws (rejects) MidstreamerError as `enqueue` and `result`. TASK_FAILED carries `taskId`, `attempts` and
   * `remoteError`, the message and code of what the handler threw last
   */
  submit<T = unknown>(task: TaskRequest, options?: { signal?: AbortSignal }): Promise<TaskResult<T>>

  /**
   * Many tasks, from anything that can be iterated: at most `concurrency` (default 64) are in flight or wait to be
   * read, results come in the order in which they are ready, with their `index`. Leaving the loop, a failure or an abort
   * stops it: nothing more is taken from `tasks`, and what is in flight is cancelled.
   *
   * @param options `onError`: 'throw' (default) throws the first failure, after the results before it; 'yield' hands
   * failures over as `{ index, error }` and goes on (not past CLOSED, or an error of `tasks` itself)
   * @throws MidstreamerError INVALID_ARGUMENT for what is no iterable and for bad options, at once; everything else in the loop
   * @example for await (const { index, value } of coordinator.map(tasks, { concurrency: 256 })) results[index] = value
   */
  map<T = unknown>(
    tasks: Iterable<TaskRequest> | AsyncIterable<TaskRequest>,
    options?: { concurrency?: number; signal?: AbortSignal; onError?: 'throw' | 'yield' },
  ): AsyncIterableIterator<TaskResult<T> & { error?: MidstreamerError }>

  /** Tasks that have failed for good and are still kept, oldest first. */
  deadLetters(): Promise<TaskState[]>

  /** Puts a dead letter back into the queue with all its attempts; NOT_FOUND when there is none. */
  retryDeadLetter(taskId: string): Promise<void>

  /**
   * Sends a message to the agents that subscribe to the topic, at most once each; resolves to how many it was sent to. An
   * agent's subscription holds once the coordinator has heard of it: after anything that the agent awaited later.
   */
  publish(topic: string, payload: unknown): Promise<number>

  /**
   * Messages that agents publish on the topic. They are delivered at most once, and dropped while 64 MiB of them wait
   * for a blocked event loop.
   *
   * @returns a function that ends the subscription
   */
  subscribe(topic: string, listener: (message: TopicMessage) => void): () => void

  /** The connected agents, by id. */
  agents(): AgentInfo[]
  stats(): SwarmStats
  /** Prometheus text exposition. */
  metrics(): string

  /** An agent was welcomed, or is gone (with the reason). */
  on(event: 'agentJoined' | 'agentLeft', listener: (agent: AgentInfo & { reason?: string }) => void): this
  /** A task has failed for good, or an attempt has failed and there will be another. */
  on(event: 'taskFailed' | 'taskRetried', listener: (task: { taskId: string; kind: string; attempts: number; error: string }) => void): this
  off(event: string, listener: (...args: never[]) => void): this

  /**
   * Drops the agent now and refuses its id from now on, whatever certificate it shows; with an `authority` its certificates
   * are revoked there as well. STORE when that, or its entry in the audit log, could not be kept: the agent is dropped even then.
   */
  revoke(agentId: string, reason?: string): Promise<void>
  /**
   * Where the audit log is, the PEM of the public key that its checkpoints are signed for, and its last durable entry; null
   * without `dataDir`. Keep key and anchors on another machine, and give them to {@link verifyAuditLog}.
   */
  auditLog(): { path: string; publicKey: string; anchor: { seq: number; head: string } } | null
  /**
   * New handshakes use the identity, live connections stay. Of the same id, with role 'coordinator'; with an `authority` its
   * certificate has to be in `ca` (INVALID_ARGUMENT). FORBIDDEN with a throw-away authority, STORE when the audit log does not
   * take it.
   */
  rotateIdentity(identity: Identity): Promise<void>

  /**
   * `lcsMatrix` by all agents at once, the same to the last bit. The pairs are cut into tiles, sized by how fast agents turn
   * out to be; a tile that takes an agent too long while others have nothing to do is given to one of those as well, and
   * one whose agent is lost is computed again. Without agents it waits, as tasks do; aborting cancels what is on its way.
   *
   * @example const { size, data } = await coordinator.lcsMatrix(signalsOfStrategies, { normalize: 'dice' })
   * @throws (rejects) MidstreamerError as `lcsMatrix`, TOO_LARGE also when a single pair does not fit into a message,
   * TASK_FAILED (a tile failed for good), CLOSED; with `taskTimeoutMs` NO_AGENT and TIMEOUT
   */
  lcsMatrix(sequences: readonly Sequence[], options?: LcsOptions & Progress & { normalize?: 'max' | 'min' | 'dice' | 'none' }): Promise<Matrix>
  /** `dtwMatrix` by all agents at once, as `lcsMatrix` above. */
  dtwMatrix(series: readonly Series[], options?: DtwOptions & Progress): Promise<Matrix>
  /**
   * Spreads patterns over the agents that are connected now, a shard each, and resolves when all are in place; without
   * agents it waits for the first. The coordinator keeps a copy: the shard of an agent that has gone, was restarted or
   * needed the room (an agent holds about 2 GiB) is put onto another one before the next search is answered.
   *
   * @example
   * const spread = await coordinator.distribute(patterns, { length: 60, normalize: 'zscore' })
   * const nearest = await spread.search(today, { k: 5 })
   * @throws (rejects) MidstreamerError as `new PatternLibrary(options)` and its `add(patterns)`, and as `lcsMatrix` above
   */
  distribute(
    patterns: readonly Pattern[] | { ids: readonly string[]; data: Float64Array | Float32Array; meta?: readonly unknown[] },
    options: LibraryOptions,
  ): Promise<DistributedLibrary>

  /** Takes nothing new and waits until nothing is queued or running. TIMEOUT after `timeoutMs`, and it still takes nothing new. */
  drain(options?: { timeoutMs?: number }): Promise<void>
  /** Ends it. Waiters reject with CLOSED, durable tasks remain. Closing twice is fine. */
  close(): Promise<void>
  /** Keeps the process alive while it is open; that is so at first. */
  ref(): void
  /** Lets the process end while it is open. */
  unref(): void
  [Symbol.asyncDispose](): Promise<void>
}

/** A pattern library spread over the agents of a swarm by `Coordinator.distribute`. */
export interface DistributedLibrary {
  /** Asks all agents and merges: equal to `PatternLibrary.search` in a library of all patterns. CLOSED after `release`. */
  search(query: Series, options?: LibrarySearchOptions & { signal?: AbortSignal }): Promise<Match[]>
  /** Parts that the patterns are in. */
  readonly shards: number
  /** Makes the agents forget it. Searches that still wait reject with CLOSED; releasing twice is fine. */
  release(): Promise<void>
}

/** What a handler knows about the task beside its payload. */
export interface TaskContext {
  taskId: string
  /** From 1. */
  attempt: number
  /** Grows with every attempt and restart, also as text: a side effect that refuses smaller fences than it saw is done once. */
  fence: string
  idempotencyKey?: string
  /** Instant at which the time is up, for the task or this attempt; Infinity when there is none. */
  deadline: number
  /**
   * Aborts when nobody wants the result any more. Its reason is a MidstreamerError: TIMEOUT (the deadline), ABORTED
   * (cancelled, or another agent has the task), CLOSED and the errors of the event 'closed' (the agent has ended).
   */
  signal: AbortSignal
  /** Says how far the work is, 0 to 1. Can be taken out of the context. */
  progress(fraction: number): void
}

/** How an agent is set up. */
export interface AgentOptions {
  /** `host:port` of one or more coordinators, tried in order and again with jittered back-off. */
  address: string | string[]
  /** Who the agent is; its id comes from the certificate. */
  identity: Identity
  /**
   * Awaited when the coordinator has renewed the identity, around half of its life and over the connection, before the old
   * key is dropped: store all three texts where the next start finds them. When it rejects, the process is warned, the old
   * identity is used on, and the new one is offered again. Without it the new identity is used for as long as the process
   * lives. Coordinators without an authority renew nothing: then the agent ends with its certificate (UNAUTHENTICATED).
   */
  onIdentity?: (identity: Identity) => Promise<void>
  /** What the agent is for. Default 'worker'. */
  type?: 'pattern-matcher' | 'strategy-correlator' | 'feature-engineer' | 'neural-trainer' | 'reasoning-bank' | 'worker' | (string & {})
  /** What tasks may require of it. */
  capabilities?: string[]
  /** Whatever else the coordinator's users should know. */
  metadata?: Record<string, string>
  /** Tasks that it runs at once. Default 16. */
  concurrency?: number
  /** A handler for each kind, see `handle`. */
  handlers?: Record<string, (payload: any, context: TaskContext) => unknown | Promise<unknown>>
  /** How long the first login may take in all. Default 30,000, then CONNECTION. */
  connectTimeoutMs?: number
  /** Ends `connect`. */
  signal?: AbortSignal
  /** 'websocket' comes with a later version; now INVALID_ARGUMENT. */
  fallback?: 'none' | 'websocket'
}

/**
 * Runs tasks for a coordinator. Leases are renewed by a thread of its own: a handler that blocks the event loop keeps
 * its task. When the connection is lost it dials again for as long as it takes; results wait until a coordinator has
 * acknowledged them.
 *
 * An open agent keeps the process alive; see `unref`. Everything rejects (or throws) with CLOSED once it is closed.
 */
export class Agent {
  private constructor()

  /**
   * Resolves when a coordinator has accepted the agent.
   *
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT, CONNECTION (nobody there in time), ABORTED, and what is final:
   * UNAUTHENTICATED (the certificate is not trusted, or has expired), FORBIDDEN, PROTOCOL
   */
  static connect(options: AgentOptions): Promise<Agent>
  /**
   * Exchanges a join token for an identity. The private key is made here and never leaves; the token's secret is sent to
   * nobody who has not shown a certificate of the authority that the token names. The identity lasts for 24 hours and is
   * renewed over the connection of `Agent.connect`: keep what `onIdentity` is given in the place of this one.
   *
   * A use of the token is gone once the coordinator has registered the certificate, also when its answer is lost on the
   * way: then ask for another token. Errors do not use it up, other than that.
   *
   * @param options `address`: `host:port` of a coordinator's `enrollAddress`, default the one in the token. `agentId`: who
   * this machine is to be, 1 to 128 characters of A-Z, a-z, 0-9, '.', '-' and '_'. `signal` aborts
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT; UNAUTHENTICATED when who answers is no coordinator of the token's
   * authority, and when the token is not valid, has expired, or was used up; FORBIDDEN when somebody has the id already (a
   * certificate that has neither ended nor been revoked: `CertificateAuthority.revoke` frees it) or it was revoked for good;
   * CONNECTION when nobody answers within 5 seconds; OVERLOADED after too many tries; STORE when the coordinator cannot keep
   * it; PROTOCOL; ABORTED
   *
   * @example
   * const identity = await Agent.enroll({ address: '10.0.0.1:4434', token, agentId: 'worker-4' })
   * writeFileSync('identity.json', JSON.stringify(identity), { mode: 0o600, flag: 'wx' })
   */
  static enroll(options: { address?: string; token: string; agentId: string; signal?: AbortSignal }): Promise<Identity>
  /** From its certificate. */
  readonly id: string
  readonly state: 'connecting' | 'connected' | 'reconnecting' | 'draining' | 'closed'

  /**
   * Takes tasks of one more kind, or with another handler. What the handler returns, or its promise resolves to, is the
   * result; what it throws fails the attempt: message and string `code` travel, and there is no other attempt when
   * `retryable` is false. A result that cannot be encoded fails the task.
   *
   * Built in, and run without touching JavaScript; no handler takes their place, nor a kind that begins with 'midstreamer.':
   *
   * | kind | payload | result |
   * | --- | --- | --- |
   * | 'dtw' | `{ a, b, options? }` | the distance; Infinity past maxDistance |
   * | 'dtw.nearest' | `{ query, candidates, options? }`, options with `k` | `[{ index, distance }, ...]` |
   * | 'dtw.matrix' | `{ series, options? }` | `{ size, data }` |
   * | 'lcs' | `{ a, b }` | the length |
   * | 'lcs.matrix' | `{ sequences, normalize? }` | `{ size, data }` |
   * | 'library.search' | `{ patterns, options, query, search? }`: patterns as for `PatternLibrary.add` in a list or a block, `LibraryOptions`, and `{ k, maxDistance, asOf }` | `Match[]` |
   *
   * Arguments, options and results are those of the functions of these names, without signal and onProgress, and the
   * results are the same to the last bit. What is wrong with a payload fails the task at its first attempt: TASK_FAILED with
   * the code in `remoteError` and a message that names the place, "payload.options.window must be ...".
   */
  handle(kind: string, handler: (payload: any, context: TaskContext) => unknown | Promise<unknown>): void

  /** Sends a message to everybody else who subscribes to the topic, at most once each; resolves when the coordinator has it. CONNECTION while there is none. */
  publish(topic: string, payload: unknown): Promise<void>
  /** Messages on the topic, as `Coordinator.subscribe`; the subscription outlives lost connections, messages meanwhile do not. */
  subscribe(topic: string, listener: (message: TopicMessage) => void): () => void

  /**
   * 'disconnected': the connection is lost, `{ reason }`; 'connected': there is one again, `{ address, coordinator }`;
   * 'adapt': the coordinator asks for a change, `{ command, payload }`.
   */
  on(event: 'connected' | 'disconnected' | 'adapt', listener: (detail: any) => void): this
  /** The end, once: SESSION_REPLACED (another process logged in with this identity), UNAUTHENTICATED, FORBIDDEN, PROTOCOL, or no error after `close()`. */
  on(event: 'closed', listener: (error?: MidstreamerError) => void): this
  off(event: string, listener: (...args: never[]) => void): this

  /** Takes nothing new, waits until nothing runs and the coordinator has every result. TIMEOUT after `timeoutMs`, and it still takes nothing new. */
  drain(options?: { timeoutMs?: number }): Promise<void>
  /** Ends it: signals of running handlers abort, and the coordinator gives their tasks to others at once. Closing twice is fine. */
  close(): Promise<void>
  /** Keeps the process alive while it is open; that is so at first. */
  ref(): void
  /** Lets the process end while it is open. */
  unref(): void
  [Symbol.asyncDispose](): Promise<void>
}

/** The user's own open database: better-sqlite3, node:sqlite's DatabaseSync (Node 22.16 and later), or AgentDB's sql.js wrapper. */
export type DatabaseHandle = { prepare(sql: string): any; exec(sql: string): unknown }

/** What is replicated, as which database, and how often it is looked for. */
export interface SyncOptions {
  /** Stays the caller's: close it after the AgentDbSync. Only one AgentDbSync may have a file, in all processes. */
  db: DatabaseHandle
  /** Which database this is in the swarm; nodes with the same name replicate each other. Default 'default'. */
  database?: string
  /** Tables to replicate; default: every AgentDB table found, recognised by its columns. */
  tables?: string[]
  /** Between two looks for what was written, in ms. Default 10. */
  flushMs?: number
  /** The most rows of one transaction; it adapts below, so that none blocks the event loop for more than 8 ms. Default 200. */
  batchRows?: number
  /** Seals row contents end to end: a relaying coordinator sees ciphertext. All nodes of a database have one with a common key in use, or none has; see docs/agentdb.md. */
  keyring?: Keyring
  /** Called after the commit with copies of embeddings that came; null where one is gone. Ids above 2^53 are their digits. */
  onVectors?: (table: string, rows: { id: number | string; embedding: Float32Array | null }[]) => void
}

/** Where a database stands. Numbers of rows count from when it was opened. */
export interface SyncStatus {
  nodeId: string
  database: string
  /** `behind`: changes that are here and not yet committed there; `missing`: the other way round; `lagMs`: how old the newest was when it came. */
  peers: { id: string; connected: boolean; behind: number; missing: number; lastAppliedAt: number; lagMs: number }[]
  /** What came and waits, for a row it refers to, a key, a column; and what stays here for its embedding. */
  pending: number
  sentRows: number
  appliedRows: number
  conflicts: number
  /** Of messages. */
  bytesIn: number
  bytesOut: number
  /** Tables that rows came for and that are not here: their ids of 16 hexadecimal digits while nothing has told the name. */
  parkedTables: string[]
  /** What `pending` is made of. `reason`: 'parent', 'key', 'schema', 'constraint', 'embedding', 'future', 'malformed', 'orphan' or 'reference'. */
  waiting: { table: string; reason: string; rows: number }[]
  /** Ids of keys that some of it is sealed with, and that the keyring does not have. `install` one, and what waits for it is shown within a second. */
  missingKeys: string[]
  /** Who has kept the handle, or the write lock, for more than a second. */
  blockedBy: string | null
  forkedFrom: string | null
}

/**
 * Replicates the AgentDB database that is open, through the handle that is open.
 *
 * The later change of a row wins, by hybrid time; trials that are counted on several nodes add up; a delete is a write.
 * Local ids stay local: every node numbers its own rows. While the handle is in a transaction of the caller's or iterates,
 * nothing is applied.
 *
 * With sql.js the database is in memory: it is saved after changes, and acknowledged only then. sql.js writes the whole
 * file and erases what other processes have written to it.
 *
 * @example
 * const sync = await AgentDbSync.open({ db, database: 'desk-7' })
 * await sync.attach(agent)
 * await sync.flush()
 */
export class AgentDbSync {
  private constructor()
  /** @throws (rejects) INVALID_ARGUMENT; STORE: another AgentDbSync has the file, or the database could not be had; SCHEMA, CORRUPT; DECRYPT: it was opened with another keyring before, or without one */
  static open(options: SyncOptions): Promise<AgentDbSync>
  readonly database: string
  /**
   * Through a swarm agent: the coordinator stores and forwards. Resolves when both sides have said how far they are, or after
   * 5 s; it stays attached.
   *
   * @throws (rejects) INVALID_ARGUMENT, CLOSED, FORBIDDEN; DECRYPT: the database is sealed there and not here, the other way round, or with keys of another line
   */
  attach(agent: Agent): Promise<void>
  /** Takes direct links, under an identity of the role 'peer'. Resolves to its address. Default '127.0.0.1:0'. */
  listen(options: { listen?: string; identity: Identity }): Promise<string>
  /** Straight to a node that listens; dialled again whenever the link goes down. Rejects with DECRYPT as `attach` does. */
  connect(options: { address: string; identity: Identity; /** Default 30,000, then CONNECTION. */ connectTimeoutMs?: number }): Promise<void>
  /**
   * Captures what is committed, and waits: 'relay' (default) until the next hop has it durably, 'members' until every
   * connected member has committed it. Default timeout: 30,000 ms.
   *
   * @throws (rejects) CONNECTION (no peer; nothing is lost), TIMEOUT, CLOSED, INVALID_ARGUMENT
   */
  flush(options?: { scope?: 'relay' | 'members'; timeoutMs?: number }): Promise<{ rows: number; peers: number; elapsedMs: number }>
  status(): SyncStatus
  on(event: 'applied', listener: (e: { from: string; table: string; rows: number }) => void): this
  on(event: 'conflict', listener: (e: { table: string; kept: 'local' | 'remote' }) => void): this
  on(event: 'schemaMismatch', listener: (e: { table: string; detail: string }) => void): this
  on(event: 'forked', listener: (e: { from: string; to: string; reason: 'restored' | 'cloned' }) => void): this
  on(event: 'progress', listener: (e: { peer: string; done: number; total: number }) => void): this
  /** A peer that seals otherwise (`table` is null), or a row that is not what was sealed for its place: it is not taken in, everything else is. */
  on(event: 'refused', listener: (e: { code: string; from: string; table: string | null; message: string }) => void): this
  off(event: string, listener: (...args: never[]) => void): this
  /** Removes every trigger and table this package added, and closes. */
  uninstall(): Promise<void>
  /** Leaves the triggers: what is written meanwhile is captured and travels after the next open. */
  close(): Promise<void>
  /** Whether it keeps the process alive: it does from listen() or connect() on. */
  ref(): void
  /** Lets the process end while it is open. */
  unref(): void
  [Symbol.asyncDispose](): Promise<void>
}

// ------------------------------------------------------------------------------------ self-learning
/** What is said of the market at a match. It is kept with the experience, as JSON of at most 16 KiB. */
export interface MarketContext {
  symbol: string
  timeframe: string
  /** Standard deviation of returns over the horizon, a fraction; what wrong predictions are measured in, and intervals. 0: not known. */
  volatility?: number
  volume?: number
  trend?: string
  sentiment?: number
  [key: string]: unknown
}
/** A match that was found elsewhere; `PatternLearner.match` makes its own. */
export interface Experience {
  /** The family, 1 to 256 bytes. Evidence is collected for each. */
  patternType: string
  values: Series
  /** 0 to 1. */
  similarity: number
  /** 0 to 1. */
  confidence: number
  /** The predicted return over the horizon, a fraction; its sign is the direction. */
  predicted: number
  context: MarketContext
  /** When it matched, epoch milliseconds. */
  at: number
  /** When the outcome is to be known. Without an outcome a day later it counts as expired. Omitted: it never expires, and while its outcome is not told it keeps later matches of its family out of the evidence. */
  horizonEndsAt?: number
  /** Whether it was traded. Nothing is learned from that: skipped matches have outcomes too. Default false. */
  taken?: boolean
}
/** What one outcome says of one match. It changes nothing by itself. */
export interface Verdict {
  experienceId: string
  /** 0.5 + 0.5 (1 - magnitudeError) when predicted and actual have the same non-zero sign, else 0.25 (1 - min(1, |p - a| / (2 scale))). */
  quality: number
  directionCorrect: boolean
  /** min(1, |p - a| / max(|a|, 0.001)) */
  magnitudeError: number
  /** sign(predicted) x actual - costs, a fraction. */
  netReturn: number
  /** quality > 0.7 */
  learned: boolean
  /** Thresholds whose evidence became complete with this outcome. */
  adaptations: Adaptation[]
}
/** A threshold that moved, and why. The bounds are of the mean net return of the matches that were judged, and hold however often one looks. */
export interface Adaptation {
  patternType: string
  parameter: 'similarityThreshold' | 'confidenceThreshold'
  from: number
  to: number
  reason: string
  evidence: { n: number; winRate: number; lower: number; upper: number }
}
/** How a family has done: net returns of all outcomes, traded or not. Undefined figures are NaN. Definitions: docs/learning.md. */
export interface Trajectory {
  patternType: string
  samples: number
  /** Experiences whose horizon ended more than a day ago, without an outcome. */
  expired: number
  winRate: number
  /** Wilson, 95 %, for display. */
  winRateInterval: [number, number]
  meanReturn: number
  /** Annualised by `periodsPerYear` where that was given, as `sortino` and `calmar`. */
  sharpe: number
  sortino: number
  /** 0 to 1, of the compounded equity. */
  maxDrawdown: number
  calmar: number
  profitFactor: number
  /** Minus the 5 % quantile: a loss is positive. */
  valueAtRisk: number
  expectedShortfall: number
  best: number
  worst: number
  /** The share of outcomes that prediction intervals covered, and the share that they are to cover. */
  calibration: { coverage: number; target: number }
}
/** What a match says, when the evidence allows it to say anything. */
export interface Signal {
  direction: 'long' | 'short'
  /** Of the market, before costs, a fraction. */
  expectedReturn: number
  /** Adaptive conformal interval of the market's return; infinite while too little is known. */
  interval: [number, number]
  /** The estimated probability of a positive net return. */
  confidence: number
}
/** Every match is an experience with an outcome to come, taken or skipped. */
export interface Assessment {
  /** For `resolve`. */
  experienceId: string
  patternType: string
  /** null when the evidence does not clear the thresholds. */
  signal: Signal | null
  /** Why there is a signal or none. */
  reason: string
  /** The mean outcome of the matches, weighted by similarity. */
  predicted: number
  /** That of the nearest match; 0 without one. */
  similarity: number
  /** The share of the weight whose outcome has the sign of `predicted`. */
  confidence: number
  /** The nearest patterns whose outcome was known at `at`. */
  matches: Match[]
}
/** What is learned from, where it is kept, and how sure it has to be. */
export interface LearnerOptions {
  /** Its patterns have `meta.outcome`, `meta.outcomeAt` and `meta.endsAt`, and perhaps `meta.patternType`. */
  library: PatternLibrary
  /** Where experiences are kept; made for the owner alone. Omitted: in memory. One process at a time: STORE for a second. */
  dataDir?: string
  /** What a round trip costs, in hundredths of a percent. Default 0. */
  costBps?: number
  /** Outcomes in a year, to annualise. Nothing is annualised without. */
  periodsPerYear?: number
  /** Outcomes of a family after which an outcome weighs half. Default 800. */
  halfLife?: number
  /** The same in time; default: only outcomes age. */
  halfLifeMs?: number
  /** Where the thresholds of a family start, 0 to 1. Default 0. */
  similarityThreshold?: number
  confidenceThreshold?: number
  /** Outcomes of a family before there is a signal. Default 20. */
  minSamples?: number
  /** Patterns that predict. Default 10. */
  neighbors?: number
  /** 'evidence' (default): signals only where an anytime-valid bound clears zero; 'utility': trades sooner, without error control. */
  policy?: 'evidence' | 'utility'
  /** Error rate of 'evidence': the share of match() calls with a signal in a world without any edge. 0.001 to below 1, default 0.05. */
  alpha?: number
}
/** A shape that has paid, with proof. */
export interface DistilledPattern {
  /** The experience in the middle of the cluster. */
  id: string
  patternType: string
  values: Float64Array
  samples: number
  winRate: number
  meanReturn: number
  /** Lower bound of the mean net return over all clusters at once, by betting, in the family's present scale. It holds for one look: calling `distill()` again and again tests again and again. */
  lowerBound: number
  /** Mean of what happened after such matches, before costs and whatever was predicted: `meta.outcome` of a pattern. */
  meanOutcome: number
  /** When the last outcome was known that had a say in it, in milliseconds: `meta.endsAt` and `outcomeAt` of a pattern. */
  knownAt: number
}
/** The payload of 'adapt' with the command 'midstreamer.learning': what the coordinator's learner has concluded. */
export interface LearningAdaptation {
  /** Where thresholds are, and the newest moves that took them there. */
  families: { patternType: string; thresholds: { similarity: number; confidence: number; samples: number }; adaptations: Adaptation[] }[]
  /** Verdicts on matches with a similarity above 0.85; empty when an agent that has just joined is told where things are. */
  results: (Omit<Verdict, 'adaptations'> & { patternType: string; similarity: number; predicted: number; actual: number })[]
}
/**
 * Learns from outcomes which matches of a library pay, after costs, and may answer that there is no evidence. What it
 * computes, guarantees and assumes: docs/learning.md.
 *
 * ```js
 * const learner = await PatternLearner.open({ library, dataDir: './experiences', costBps: 5 })
 * const { experienceId, signal, reason } = await learner.match(window, { symbol: 'SPX', timeframe: '1d', at: Date.now() })
 * // days later
 * await learner.resolve(experienceId, 0.012)
 * ```
 */
export class PatternLearner {
  private constructor()
  /** STORE when another process has the directory or the disk fails, CORRUPT and SCHEMA for files that cannot be read. */
  static open(options: LearnerOptions): Promise<PatternLearner>
  /**
   * Searches, decides and records what it saw, durable before it resolves. Uses only patterns with endsAt and outcomeAt
   * <= context.at, and outcomes known by then. The family is `patternType`, else that of the nearest, else 'unclassified'.
   */
  match(values: Series, context: MarketContext & { patternType?: string; at: number; horizonEndsAt?: number }): Promise<Assessment>
  /**
   * Resolves with the experience's id once it is durable; calls that run at the same time share a flush of the disk. This,
   * `match` and `resolve` are OVERLOADED when 65,536 calls already wait for the disk: nothing of that call is kept, call again
   * when others are done.
   */
  record(experience: Experience): Promise<string>
  /**
   * The return over the horizon, a fraction, whatever was predicted or done; also days later or after a restart. `at` is when
   * it was known; default: the end of the horizon, or now where there is none or it is to come. The same outcome again
   * changes nothing; another one is IDEMPOTENCY_MISMATCH; an unknown id is NOT_FOUND.
   */
  resolve(experienceId: string, actualReturn: number, at?: number): Promise<Verdict>
  /** Where the thresholds of a family are, and how many outcomes it has. */
  thresholds(patternType: string): { similarity: number; confidence: number; samples: number }
  /**
   * The figures of a family: of all its outcomes, or with `asOf` (epoch milliseconds) of what was known at that instant. What is
   * `expired` is so by the clock, or at `asOf`: pass the instant of the last bar in a backtest.
   */
  trajectory(patternType: string, options?: { asOf?: number }): Promise<Trajectory>
  /** Clusters of shapes that prove themselves with all their outcomes: `minSamples` (20) and a lower bound of `minLowerBound` (0). */
  distill(options?: { minSamples?: number; minLowerBound?: number }): Promise<DistilledPattern[]>
  /**
   * Shares experiences with all learners of the swarm (topic 'midstreamer.learning', which grants have to allow), until one of
   * the two is closed. Learners that have met and have the same options agree to the last bit.
   *
   * On a coordinator it judges as well: of each outcome that it learns of, the quality goes to the metrics, and those of
   * matches with a similarity above 0.85, and whatever moved a threshold, to all agents as 'adapt' with the command
   * 'midstreamer.learning' and a `LearningAdaptation`. An agent that joins, also again, is told of all families.
   */
  attach(agent: Agent | Coordinator): Promise<void>
  /**
   * Writes what `distill()` gives to the ReasoningBank tables of AgentDB, in one transaction; returns how many patterns.
   * Again, it updates. SCHEMA when the tables are not there or are not AgentDB's. The embedding is the values, filled
   * with zeros (which changes no cosine) or averaged to the dimension of the bank's other rows.
   */
  exportTo(db: DatabaseHandle): Promise<number>
  /**
   * Adds the shapes that learners have exported to this database to the learner's library, or brings them up to date;
   * returns how many. Each is known from its `knownAt` on. AgentDB's own rows have neither shape nor instant and are left
   * alone, as are shapes of another length. SCHEMA when the tables are not AgentDB's.
   */
  importFrom(db: DatabaseHandle): Promise<number>
  /** Writes one self-contained HTML page with plots; whole or not at all. STORE when it cannot. */
  report(path: string): Promise<void>
  /** After all that was called before. Closing twice is fine. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
