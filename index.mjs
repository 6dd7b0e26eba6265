// The same names for import. Documentation: index.d.ts.
import midstreamer from './index.js'

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
} = midstreamer
