'use strict'
// bench: a few seconds that say what this machine gains over plain JavaScript. The full comparison, with other packages, is in the
// repository (npm run bench).

const { availableParallelism, cpus } = require('node:os')
const api = require('../api.js')
const { failed } = require('../exit.js')
const { option, integer } = require('../options.js')
const plain = require('../plain.js')
const { progress } = require('../progress.js')
const { millis, printable, table } = require('../terminal.js')

/** A sample is at least so long: far above the resolution of the clock. */
const SAMPLE_MS = 8

/** Sums in another order differ in the last bits. */
const CLOSE = 1e-9

const command = {
  name: 'bench',
  summary: 'compare with plain JavaScript on this machine',
  description: 'Runs ours and careful JavaScript in turns, in one process, and prints medians and their ratio. Every result is compared before it is timed. Times depend on the machine and on what else it does, ratios much less. It takes some seconds.',
  options: [option('rounds', 'n', integer(3, 1000), 'rounds in which both take turns', { fallback: 9, shown: '9' })],
  async run({ settings: { rounds }, out }) {
    const { kernel, threads, package: version } = api.version()
    const machine = { node: process.versions.node, platform: `${process.platform}-${process.arch}`, cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: (availableParallelism ?? (() => cpus().length))(), version, kernel, threads }
    const bar = progress('measuring')
    const rows = []
    const all = workloads()
    try {
      for (const [i, work] of all.entries()) rows.push(await measure(work, rounds, (done) => bar.update(i * rounds + done, all.length * rounds)))
    } finally {
      bar.end()
    }
    const columns = [{ title: 'work' }, { title: 'ours', right: true, priority: 1 }, { title: 'JavaScript', right: true, priority: 2 }, { title: 'times ours', right: true }]
    const cells = rows.map(({ work, oursMs, plainMs, ratio }) => [work, time(oursMs), time(plainMs), `${ratio.toPrecision(2)} x`])
    out.result({ machine, rounds, rows }, [
      `${printable(machine.cpu)}, ${machine.cores} cores; Node.js ${machine.node}; kernel ${kernel}, ${threads} threads`,
      '',
      ...table(columns, cells, { width: out.width, paint: out.paint }),
      '',
      out.paint.dim('Medians of rounds in which both took turns; below 1 x plain JavaScript is faster.'),
    ])
  },
}

const time = (ms) => (ms < 0.1 ? `${(ms * 1000).toFixed(1)} us` : millis(ms))

/** Prices that anybody can make again: a walk of small steps (xorshift32). */
function walk(length, seed) {
  let state = seed
  let price = 100
  return Float64Array.from({ length }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    price *= 1 + ((state >>> 0) / 2 ** 32 - 0.5) / 50
    return price
  })
}

function workloads() {
  const [a, b] = [walk(500, 1), walk(500, 2)]
  const [short, other] = [walk(8, 3), walk(8, 4)]
  const [length, count, window] = [60, 2000, 6]
  const query = walk(length, 5)
  const data = walk(length * count, 6)
  const signals = (seed) => {
    const prices = walk(501, seed)
    return Int32Array.from({ length: 500 }, (_, i) => Math.sign(Math.round(2 * (prices[i + 1] - prices[i]))))
  }
  const [x, y] = [signals(7), signals(8)]
  return [
    { work: 'DTW of a pair, 500 x 500', ours: () => api.dtwSync(a, b), plain: () => plain.dtw(a, b) },
    {
      work: `nearest of ${count} x ${length}, band of ${window}, z-scores`,
      ours: async () => (await api.dtwNearest(query, { data, length }, { normalize: 'zscore', window }))[0].distance,
      plain: () => plain.nearest(query, data, length, window).distance,
    },
    { work: 'LCS of a pair, 500 x 500, 3 symbols', ours: () => api.lcsSync(x, y), plain: () => plain.lcs(x, y) },
    { work: 'DTW of a pair, 8 x 8', ours: () => api.dtwSync(short, other), plain: () => plain.dtw(short, other) },
  ]
}

async function measure({ work, ours, plain }, rounds, onRound) {
  const [found, wanted] = [await ours(), plain()]
  if (!(Math.abs(found - wanted) <= CLOSE * Math.abs(wanted))) throw failed(`${work}: ours gives ${found}, plain JavaScript ${wanted}`, 'INTERNAL')
  const repetitions = { ours: await calibrate(ours), plain: await calibrate(plain) }
  const times = []
  for (let round = 1; round <= rounds; round++) {
    times.push({ ours: await sample(ours, repetitions.ours), plain: await sample(plain, repetitions.plain) })
    onRound(round)
  }
  return {
    work,
    oursMs: median(times.map((one) => one.ours)),
    plainMs: median(times.map((one) => one.plain)),
    ratio: median(times.map((one) => one.plain / one.ours)),
  }
}

/** Repetitions that fill a sample; what runs meanwhile is the warm-up. */
async function calibrate(run) {
  let repetitions = 1
  for (;;) {
    const started = performance.now()
    for (let i = 0; i < repetitions; i++) await run()
    if (performance.now() - started >= SAMPLE_MS) return repetitions
    repetitions *= 2
  }
}

/** Milliseconds of one repetition. What is synchronous is not awaited: that would be measured with it. */
async function sample(run, repetitions) {
  const started = performance.now()
  for (let i = 0; i < repetitions; i++) {
    const result = run()
    if (result instanceof Promise) await result
  }
  return (performance.now() - started) / repetitions
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

module.exports = { commands: [command] }
