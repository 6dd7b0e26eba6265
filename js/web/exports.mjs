// The names of index.js as those of an ES module, for both entries.
import all from './index.js'

export const {
  MidstreamerError,
  dtw,
  dtwSync,
  dtwAlign,
  dtwBatch,
  dtwNearest,
  dtwMatrix,
  lagMatrix,
  correlationMatrix,
  lcs,
  lcsSync,
  lcsAlign,
  lcsMatrix,
  lcss,
  levenshtein,
  elastic,
  elasticBatch,
  PatternLibrary,
  StreamMatcher,
  alignTimeframes,
  barycenter,
  medoids,
  subsequenceSearch,
  version,
} = all
