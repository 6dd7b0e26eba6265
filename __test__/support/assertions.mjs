import assert from 'node:assert/strict'
import { MidstreamerError } from '@neural-trader/midstreamer'

/** Relative 1e-9: what sums in another order may differ by. */
export function close(actual, expected, message) {
  if (Object.is(actual, expected)) return
  const tolerance = 1e-9 * Math.max(1e-3, Math.abs(expected))
  assert.ok(Math.abs(actual - expected) <= tolerance, `${message ?? 'value'}: ${actual}, expected ${expected}`)
}

export function allClose(actual, expected, message) {
  assert.equal(actual.length, expected.length, message)
  for (let k = 0; k < expected.length; k++) close(actual[k], expected[k], `${message ?? 'values'}[${k}]`)
}

/** What is asserted of errors, which are of the class `Ours`: each entry of the package that is bundled has its own. */
export function errorsOf(Ours) {
  /** An error of ours: the code, and every text in the message. */
  const coded = (code, ...texts) => (error) => {
    assert.ok(error instanceof Ours, `not a MidstreamerError: ${error?.stack ?? error}`)
    assert.equal(error.code, code, error.message)
    assert.equal(error.name, 'MidstreamerError')
    for (const text of texts) assert.ok(error.message.includes(text), `${JSON.stringify(error.message)} lacks ${JSON.stringify(text)}`)
    return true
  }
  return {
    coded,
    /** The call returns a promise, whatever its arguments, and that one rejects. */
    async rejects(call, code, ...texts) {
      let promise
      assert.doesNotThrow(() => { promise = call() }, 'an asynchronous function must not throw')
      await assert.rejects(promise, coded(code, ...texts))
    },
    throws(call, code, ...texts) {
      assert.throws(call, coded(code, ...texts))
    },
  }
}

export const { coded, rejects, throws } = errorsOf(MidstreamerError)
