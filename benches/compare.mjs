/**
 * How fast is it, and against what? Everything in one process, contenders interleaved round by round.
 *
 *   npm run bench                     all rows
 *   npm run bench -- --quick          fewer rows and rounds: does everything run and agree?
 *   npm run bench -- --only LCS       rows whose name contains the text
 *   npm run bench -- --json FILE      the figures as JSON
 *   npm run bench -- --record         benches/record/<cpu>/<date>.json and .md
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { checkRow } from './js/agreement.mjs'
import { loadPeers, peerVersions } from './js/peers.mjs'
import { machine, rowLines, writeRecord } from './js/record.mjs'
import { interleave, settingsFor } from './js/rounds.mjs'
import { workloads } from './js/workloads.mjs'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    json: { type: 'string' },
    only: { type: 'string' },
  },
})
if (flags.record && (flags.quick || flags.only)) throw new Error('--record keeps the whole table: leave out --quick and --only')

const facts = { ...machine(), peers: peerVersions }
console.log(`${facts.cpu}, ${facts.cores} cores, Node.js ${facts.node}, kernel ${facts.kernel}, ${facts.threads} threads, load ${facts.loadAverage[0]}`)
const peers = loadPeers(console.log)
console.log('Medians, how many times our time (first line of each block) that is, the same for the fastest rounds, and the goal.')

const settings = settingsFor(flags.quick)
const rows = []
for (const { name, limitMs, contenders, measure = interleave } of await workloads(peers, flags.quick)) {
  if (flags.only && !name.includes(flags.only)) continue
  await checkRow({ name, contenders })
  const row = { name, ...(limitMs === undefined ? {} : { limitMs }), results: await measure(contenders, settings) }
  rows.push(row)
  for (const line of rowLines(row)) console.log(line)
}

/** What a script of js/ prints as JSON, from a process of its own. */
const child = (script, ...args) =>
  JSON.parse(execFileSync(process.execPath, [fileURLToPath(new URL(`js/${script}`, import.meta.url)), ...args], { encoding: 'utf8' }))

const memory = child('memory.mjs')
const MEMORY_LIMIT = 2 * 2 ** 20
const notes = [
  `Memory: a distance of ${memory.length} x ${memory.length} raises the process by ${(memory.grownBytes / 2 ** 20).toFixed(2)} MiB ` +
    `beyond its inputs (${memory.how}); goal below 2 MiB: ${memory.grownBytes < MEMORY_LIMIT ? 'yes' : 'no'}`,
]

const LIBRARY_MEMORY_LIMIT = 3.6
const libraryMemory = ['none', 'zscore'].map((normalize) => child('library-memory.mjs', normalize))
for (const { normalize, patterns, length, rawBytes, grownBytes, how } of libraryMemory) {
  const share = grownBytes / rawBytes
  notes.push(
    `Memory: a library of ${patterns} x ${length}, normalize '${normalize}', holds ${share.toFixed(2)} x the bytes of its values (${how}); ` +
      `goal below ${LIBRARY_MEMORY_LIMIT} x: ${share < LIBRARY_MEMORY_LIMIT ? 'yes' : 'no'}`,
  )
}
console.log(`\n${notes.join('\n')}`)

facts.loadAverageAfter = loadavg().map((load) => Number(load.toFixed(2)))
if (flags.json) writeFileSync(flags.json, `${JSON.stringify({ facts, rows, memory, libraryMemory }, null, 2)}\n`)
if (flags.record) {
  const file = writeRecord({ title: 'Comparison with JavaScript peers', facts, rows, notes, extra: { memory, libraryMemory } })
  console.log(`Recorded in ${file}.md and .json`)
}
