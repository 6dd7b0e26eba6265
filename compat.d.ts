/**
 * What programs around neural-trader call today, over this package's kernels: change the import, keep the code.
 * Everything is synchronous and gives the same results as the original on valid input. Where the originals return
 * Infinity, return null or end the process (empty arrays, NaN, a pattern length of 0), these throw a
 * `MidstreamerError`. New code is better served by the main entry: it is asynchronous, has options and no limits.
 */

/** The class of the `midstreamer` WASM package 0.2.x. */
export class TemporalCompare {
  /** @param windowSize accepted and ignored, as in the original: every cell of the matrix counts. */
  constructor(windowSize?: number)
  /**
   * DTW distance: the sum of |x-y| along the cheapest warping path.
   *
   * @throws MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT
   * @example new TemporalCompare().dtw(Float64Array.of(1, 2, 3), Float64Array.of(1, 3)) // 1
   */
  dtw(a: Float64Array, b: Float64Array): number
  /** Length of the longest common subsequence. Empty arrays are legal. */
  lcs(a: Int32Array, b: Int32Array): number
  /** Levenshtein distance over code points. */
  edit_distance(a: string, b: string): number
  /**
   * The original's definitions: `dtw_distance` as `dtw`; `lcs_length` of the values times 100, cut to integers;
   * `edit_distance` of the values times 10, cut to bytes; `similarity_score` = 1 - min(1, dtw / (100 max(n, m))).
   */
  analyze(a: Float64Array, b: Float64Array): { dtw_distance: number; lcs_length: number; edit_distance: number; similarity_score: number }
  /** Does nothing: there is no WASM memory to give back. */
  free(): void
}

/**
 * DTW with |x-y| of neural-trader 2.8.11: `similarity` = max(0, 1 - distance / (n + m)), `alignment` flat
 * i0, j0, i1, j1, ... (ties: diagonal, then left, then up, as in the original; `dtwAlign` of the main entry has up
 * before left). Above 4e9 cells: TOO_LARGE.
 *
 * @throws MidstreamerError EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT, TOO_LARGE
 */
export function dtwDistanceRust(a: Float64Array, b: Float64Array): { similarity: number; distance: number; alignment: number[] }
/** The same as `dtwDistanceRust`. */
export function dtwDistanceRustOptimized(a: Float64Array, b: Float64Array): { similarity: number; distance: number; alignment: number[] }

/**
 * One DTW distance (|x-y|) for each consecutive block of `patternLength` values of `historical`, on all cores. An empty
 * `historical`, for which the original returns [], is EMPTY_SERIES.
 *
 * @throws MidstreamerError LENGTH_MISMATCH when `historical` is not a multiple of `patternLength`, EMPTY_SERIES,
 * NON_FINITE, INVALID_ARGUMENT
 */
export function dtwBatch(pattern: Float64Array, historical: Float64Array, patternLength: number): number[]
/** The same as `dtwBatch`. */
export function dtwBatchParallel(pattern: Float64Array, historical: Float64Array, patternLength: number): number[]
/** The same as `dtwBatch`. */
export function dtwBatchAdaptive(pattern: Float64Array, historical: Float64Array, patternLength: number): number[]
