// Libraries that tests ask.

import { PatternLibrary } from '@neural-trader/midstreamer'
import { integer, pick } from './random.mjs'

export function randomShape(random) {
  const shape = {
    length: integer(random, 1, 24),
    channels: pick(random, [undefined, undefined, 1, 2]),
    metric: pick(random, [undefined, 'absolute', 'squared', 'euclidean']),
    window: pick(random, [undefined, undefined, 0, 2, 100]),
    normalize: pick(random, [undefined, 'none', 'zscore', 'minmax']),
  }
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined))
}

export const shape3 = { length: 3 }

/** A library of plain patterns of length 3. */
export function libraryOf(...patterns) {
  const library = new PatternLibrary(shape3)
  library.add(patterns)
  return library
}
