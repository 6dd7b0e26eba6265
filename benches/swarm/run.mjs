/**
 * The swarm from JavaScript, between processes over loopback, in turns with what else carries requests in Node.
 *
 *   npm run bench:swarm                     everything
 *   npm run bench:swarm -- --quick          short rounds: does everything run?
 *   npm run bench:swarm -- --only NAME      tasks, registration, matrix or durable
 *   npm run bench:swarm -- --many           10,000 agents too; they take a gigabyte
 *   npm run bench:swarm -- --data FOLDER    where durable tasks and fsyncs are written; default: the folder of temporary files
 *   npm run bench:swarm -- --record         benches/record/<cpu>/<date>-swarm.json and .md
 *
 * NATS takes part where nats-server is installed (Debian: apt-get install nats-server).
 */
import { loadavg, tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { machine, writeFiles } from '../js/record.mjs'
import { killAll } from './children.mjs'
import { durable, matrix, registration, tasks } from './measures.mjs'
import { peerVersions, swarmPeers } from './peers.mjs'
import { report, section } from './report.mjs'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    many: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    only: { type: 'string' },
    data: { type: 'string', default: tmpdir() },
  },
})
if (flags.record && (flags.quick || flags.only)) throw new Error('--record keeps the whole table: leave out --quick and --only')

const rounds = flags.quick ? { rounds: 2, sampleMs: 100 } : { rounds: 9, sampleMs: 400 }
const steps = [
  ['tasks', () => tasks(swarmPeers(console.log), peerVersions, rounds)],
  ['registration', () => registration(flags.quick ? 40 : 1000, 4, { seconds: 10, dialMs: 2000, mostMiB: 80 })],
  ['matrix', () => matrix(flags.quick ? { rounds: 1, sequences: 20, length: 1000 } : { rounds: 15, sequences: 200, length: 1000 })],
  ['durable', () => durable(flags.data, rounds)],
]
if (flags.many) steps.push(['registration', () => registration(10_000, 8, { atOnce: 25, mostMiB: 450 })])
const wanted = steps.filter(([kind]) => flags.only === undefined || flags.only === kind)
if (wanted.length === 0) throw new Error(`--only ${flags.only}: there are tasks, registration, matrix and durable`)

// Whatever hangs, nothing is left behind.
process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))
const LIMIT_MS = flags.many ? 600_000 : 240_000
const limit = setTimeout(() => {
  console.error(`it took more than ${LIMIT_MS / 1000} s`)
  process.exit(1)
}, LIMIT_MS)

const facts = { ...machine(), peers: peerVersions }
console.log(`${facts.cpu}, ${facts.cores} cores, Node.js ${facts.node}, load ${facts.loadAverage[0]}`)
const measured = []
for (const [kind, measure] of wanted) {
  const figures = await measure()
  measured.push({ kind, figures })
  console.log(section(kind, figures).join('\n'))
}
clearTimeout(limit)

facts.loadAverageAfter = loadavg().map((load) => Number(load.toFixed(2)))
if (flags.record) {
  const title = 'The swarm from JavaScript'
  const file = writeFiles(facts, '-swarm', { title, facts, measured }, report(title, facts, measured))
  console.log(`\nRecorded in ${file}.md and .json`)
}
