/**
 * Interleaved timing. All contenders of a row take turns, round by round (A, B, C, A, B, C, ...), so that
 * a change of clock speed or a busy neighbour meets them alike; a ratio is the median of the ratios
 * within one round. Garbage is collected before a sample, outside its time.
 */
import { runInNewContext } from 'node:vm'
import { setFlagsFromString } from 'node:v8'

setFlagsFromString('--expose-gc')
export const collectGarbage = runInNewContext('gc')

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {() => unknown} run        one repetition; a Promise is awaited
 * @property {(repetitions: number) => Promise<{ ms: number }>} [sample]  times itself (another process)
 * @property {number} [units]           what times are for one of, where a repetition does several (searches); default 1
 * @property {number} [seenMs]          what a repetition took before, when its result was checked
 * @property {number} [goal]            ratio to ours that the project aims at
 * @property {number} [atMost]          the same from above: another way that should not take longer than that
 */

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

async function timeHere(run, repetitions) {
  collectGarbage()
  const started = process.hrtime.bigint()
  for (let i = 0; i < repetitions; i++) {
    const result = run()
    if (result instanceof Promise) await result
  }
  return Number(process.hrtime.bigint() - started) / 1e6
}

const sampleOf = (contender, repetitions) =>
  contender.sample ? contender.sample(repetitions).then(({ ms }) => ms) : timeHere(contender.run, repetitions)

/**
 * Doubles the repetitions until a sample takes `sampleMs`; what it ran on the way is the warm-up. A contender takes part in as many
 * rounds as fit into `contenderMs`, and in one at least; one that was seen to need more than that is not run to find it out.
 */
async function calibrate(contender, { sampleMs, contenderMs, rounds }) {
  if (contender.seenMs > contenderMs) return { contender, repetitions: 1, rounds: 1, ms: [] }
  let repetitions = 1
  let ms = await sampleOf(contender, repetitions)
  if (ms * rounds < contenderMs) ms = Math.min(ms, await sampleOf(contender, repetitions))
  while (ms < sampleMs && repetitions < 1 << 22) {
    repetitions = Math.max(repetitions * 2, Math.min(repetitions * 32, Math.floor((repetitions * sampleMs) / Math.max(ms, 1e-3))))
    ms = await sampleOf(contender, repetitions)
  }
  return { contender, repetitions, rounds: Math.min(rounds, Math.max(1, Math.floor(contenderMs / ms))), ms: [] }
}

/**
 * Times the contenders against the first of them.
 * @param {Contender[]} contenders
 * @returns {Promise<{ name: string, ms: number, ratio: number, bestMs: number, bestRatio: number, goal?: number, atMost?: number, repetitions: number, rounds: number, spread: [number, number] }[]>}
 *   `ms` is the median of one unit of a repetition, `ratio` how many times the first contender's time it is, `spread` the least and largest of those
 *   ratios; `bestMs` is the fastest round and `bestRatio` compares fastest rounds, which a busy neighbour disturbs least
 */
export async function interleave(contenders, settings) {
  const entries = []
  for (const contender of contenders) entries.push(await calibrate(contender, settings))
  entries[0].rounds = settings.rounds // every ratio needs it
  for (let round = 0; round < settings.rounds; round++) {
    for (const entry of entries) {
      const { contender, repetitions, ms } = entry
      if (round < entry.rounds) ms.push((await sampleOf(contender, repetitions)) / (repetitions * (contender.units ?? 1)))
    }
  }
  const [first] = entries
  const firstBest = Math.min(...first.ms)
  return entries.map((entry) => {
    const ratios = entry.ms.map((ms, round) => ms / first.ms[round])
    return {
      name: entry.contender.name,
      ms: median(entry.ms),
      ratio: median(ratios),
      bestMs: Math.min(...entry.ms),
      bestRatio: Math.min(...entry.ms) / firstBest,
      ...(entry.contender.goal === undefined ? {} : { goal: entry.contender.goal }),
      ...(entry.contender.atMost === undefined ? {} : { atMost: entry.contender.atMost }),
      repetitions: entry.repetitions,
      rounds: entry.ms.length,
      spread: [Math.min(...ratios), Math.max(...ratios)],
    }
  })
}

/** Full and quick: the quick one tells whether everything runs and agrees, not how fast it is. */
export const settingsFor = (quick) =>
  quick ? { rounds: 3, sampleMs: 8, contenderMs: 600 } : { rounds: 9, sampleMs: 40, contenderMs: 3000 }
