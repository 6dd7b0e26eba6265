// The elastic distances against the definitions of their papers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { elastic, elasticBatch } from '@neural-trader/midstreamer'
import { close } from './support/assertions.mjs'
import * as oracle from './support/oracle.mjs'
import { generator, integer, pick, series } from './support/random.mjs'

const PARAMETERS = {
  'ddtw': () => ({}),
  'wdtw': (random) => pick(random, [{}, { g: 0 }, { g: 0.3 }]),
  'adtw': (random) => pick(random, [{}, { penalty: 0 }, { penalty: 2.5 }]),
  'erp': (random) => pick(random, [{}, { gap: 100 }, { gap: -3 }]),
  'edr': (random) => ({ epsilon: pick(random, [0, 0.5, 2]) }),
  'msm': (random) => pick(random, [{}, { cost: 0 }, { cost: 0.1 }]),
  'twe': (random) => pick(random, [{}, { nu: 0.5 }, { lambda: 0.2 }, { nu: 0, lambda: 0 }]),
  'soft-dtw': (random) => pick(random, [{}, { gamma: 0.01 }, { gamma: 10 }]),
}

for (const [measure, parameters] of Object.entries(PARAMETERS)) {
  test(`${measure} agrees with its paper, alone and in batches`, async () => {
    const random = generator(measure.length * 31 + measure.charCodeAt(0))
    for (let round = 0; round < 80; round++) {
      const window = pick(random, [undefined, undefined, 0, 1, 4, 50])
      const options = { ...parameters(random), ...(window === undefined ? {} : { window }) }
      const a = series(random, integer(random, 3, 30))
      const rows = Array.from({ length: integer(random, 0, 9) }, () => series(random, integer(random, 3, 30)))
      const label = `round ${round} ${JSON.stringify(options)}`
      const batch = await elasticBatch(measure, a, rows, options)
      assert.equal(batch.length, rows.length)
      for (let k = 0; k < rows.length; k++) {
        const one = await elastic(measure, a, rows[k], options)
        close(one, oracle.elastic(measure, a, rows[k], options), `${label} candidate ${k}`)
        assert.equal(batch[k], one, `${label} candidate ${k}`)
      }
      const length = integer(random, 3, 20)
      const data = series(random, length * 5)
      const block = await elasticBatch(measure, a, { data, length }, options)
      for (let k = 0; k < 5; k++) {
        assert.equal(block[k], await elastic(measure, a, data.slice(k * length, (k + 1) * length), options), label)
      }
    }
  })
}

test('series of one value, where the measure is defined', async () => {
  for (const measure of Object.keys(PARAMETERS).filter((x) => x !== 'ddtw')) {
    const options = measure === 'edr' ? { epsilon: 0.5 } : {}
    close(await elastic(measure, [3], [5], options), oracle.elastic(measure, [3], [5], options), measure)
    close(await elastic(measure, [3], [5, 4, 9], options), oracle.elastic(measure, [3], [5, 4, 9], options), measure)
  }
})
