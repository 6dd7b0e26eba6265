/** Results are compared before anything is timed: a fast wrong answer has no place in the table. */

const numbers = (value) => (typeof value === 'number' ? [value] : [...value])

/** Equal to 1e-9 relative, number by number: contenders may sum in another order. */
export function assertAgree(row, name, actual, expected) {
  const [a, b] = [numbers(actual), numbers(expected)]
  if (a.length !== b.length) throw new Error(`${row}: ${name} returns ${a.length} numbers, not ${b.length}`)
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i] - b[i]) <= 1e-9 * Math.max(1, Math.abs(b[i])))) {
      throw new Error(`${row}: ${name} gives ${a[i]} at ${i}, ours ${b[i]}`)
    }
  }
}

/** Runs every contender of a row once, notes how long it took, and compares it with the first. */
export async function checkRow({ name, contenders }) {
  const results = []
  for (const contender of contenders) {
    const started = performance.now()
    const result = await contender.run()
    contender.seenMs = performance.now() - started
    results.push(contender.value ? contender.value(result) : result)
  }
  results.forEach((result, i) => assertAgree(name, contenders[i].name, result, results[0]))
}
