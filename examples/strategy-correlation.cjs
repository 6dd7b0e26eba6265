/**
 * Do these strategies say the same thing? Their signals are compared by longest common subsequence,
 * which forgives signals that come a few bars early or late. CommonJS, to show that too.
 *
 *   node examples/strategy-correlation.cjs
 */
const { lcsAlign, lcsMatrix } = require('@neural-trader/midstreamer')

const strategies = {
  trend: ['BUY', 'BUY', 'BUY', 'HOLD', 'SELL', 'SELL', 'HOLD', 'BUY', 'BUY', 'HOLD'],
  'trend, a bar late': ['HOLD', 'BUY', 'BUY', 'BUY', 'HOLD', 'SELL', 'SELL', 'HOLD', 'BUY', 'BUY'],
  reversion: ['SELL', 'SELL', 'HOLD', 'BUY', 'BUY', 'HOLD', 'SELL', 'SELL', 'SELL', 'BUY'],
}

async function main() {
  const names = Object.keys(strategies)
  const { size, data } = await lcsMatrix(Object.values(strategies))
  names.forEach((name, i) => {
    const row = Array.from(data.subarray(i * size, (i + 1) * size), (value) => value.toFixed(2).padStart(6))
    console.log(name.padEnd(18), row.join(' '))
  })

  const [first, second] = names
  const common = await lcsAlign(strategies[first], strategies[second])
  console.log(`\n${first} and ${second} share ${common.length} signals in order:`)
  common.positionsA.forEach((at, k) => {
    console.log(`  ${strategies[first][at].padEnd(5)} at bar ${at}, then at bar ${common.positionsB[k]}`)
  })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
