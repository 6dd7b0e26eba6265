// Values by other libraries under the same conventions (tests/golden/README.md), through the JavaScript interface.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as midstreamer from '@neural-trader/midstreamer'
import { allClose, close } from './support/assertions.mjs'

const golden = JSON.parse(readFileSync(new URL('../tests/golden/kernels.json', import.meta.url), 'utf8'))
const { dtw, dtwAlign, dtwMatrix, elastic, lcs, lcsMatrix, lcss, levenshtein } = midstreamer

/** Options without the ones that the file leaves open. */
const given = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== null))

test('dtw', async () => {
  assert.ok(golden.dtw.length > 0)
  for (const [k, { a, b, window, ...values }] of golden.dtw.entries()) {
    const options = given({ window })
    const expected = {
      absolute: options,
      squared: { ...options, metric: 'squared' },
      euclidean: { ...options, metric: 'euclidean' },
      squaredZscored: { ...options, metric: 'squared', normalize: 'zscore' },
      absoluteMinmax: { ...options, normalize: 'minmax' },
    }
    for (const [name, value] of Object.entries(values)) {
      if (value !== null) close(await dtw(a, b, expected[name]), value, `dtw ${k} ${name}`)
    }
  }
})

test('align', async () => {
  assert.ok(golden.align.length > 0)
  for (const { a, b, window, distance, path, lag } of golden.align) {
    const alignment = await dtwAlign(a, b, given({ window }))
    close(alignment.distance, distance)
    assert.deepEqual(Array.from(alignment.path), path)
    close(alignment.lag, lag)
  }
})

test('lcs, levenshtein and lcss', async () => {
  assert.ok(golden.lcs.length > 0 && golden.lcss.length > 0 && golden.levenshtein.length > 0)
  for (const { a, b, length } of golden.lcs) assert.equal(await lcs(a, b), length)
  for (const { a, b, distance } of golden.levenshtein) assert.equal(await levenshtein(a, b), distance)
  for (const { a, b, epsilon, window, length } of golden.lcss) assert.equal(await lcss(a, b, given({ epsilon, window })), length)
})

test('elastic', async () => {
  assert.ok(golden.elastic.length > 0)
  for (const [k, { a, b, values }] of golden.elastic.entries()) {
    for (const [measure, options, value] of values) {
      const actual = await elastic(measure, a, b, options)
      if (measure === 'edr') assert.equal(actual, value)
      else close(actual, value, `elastic ${k} ${measure} ${JSON.stringify(options)}`)
    }
  }
})

test('multivariate', async () => {
  assert.ok(golden.multivariate.length > 0)
  for (const { channels, a, b, squared, absolute, absoluteZscored } of golden.multivariate) {
    close(await dtw(a, b, { channels, metric: 'squared' }), squared)
    close(await dtw(a, b, { channels }), absolute)
    close(await dtw(a, b, { channels, normalize: 'zscore' }), absoluteZscored)
  }
})

test('matrix', async () => {
  assert.ok(golden.matrix.length > 0)
  for (const { series, dtw: distances, sequences, lcs: lengths } of golden.matrix) {
    allClose((await dtwMatrix(series)).data, distances.flat())
    assert.deepEqual(Array.from((await lcsMatrix(sequences, { normalize: 'none' })).data), lengths.flat())
  }
})
