/** The figures as a text that is markdown and can be read in a terminal. */
import { factTable, time } from '../js/record.mjs'

const times = (ratio) => `${ratio.toPrecision(3)} x`
const rate = (value) => Math.round(value).toLocaleString('en-US')
const mib = (value) => `${value.toFixed(1)} MiB`
const UNITS = { x: times, '/s': rate, ms: time, MiB: mib }

const line = (cells) => `| ${cells.join(' | ')} |`

function table(columns, rows) {
  return [line(columns), line(columns.map((_, at) => (at === 0 ? '---' : '---:'))), ...rows.map(line)]
}

const goalTable = (goals) => [
  '',
  ...table(['goal', 'this run', 'met'], goals.map(({ name, value, unit, met }) => {
    return value === undefined ? [name, '', ''] : [name, UNITS[unit](value), met ? 'yes' : 'no']
  })),
]

const SECTIONS = {
  tasks: ({ payloadBytes, inFlight, rounds, sampleMs, results, goals }) => [
    `## Tasks of ${payloadBytes} bytes between two processes`,
    '',
    `In turns, ${rounds} rounds of ${sampleMs} ms each. The first four columns have one in flight, the others ${inFlight}.`,
    '',
    ...table(
      ['contender', 'p50', 'p99', 'p50 to net', `tasks/s, ${inFlight}`, 'p50', 'p99', 'tasks/s to net'],
      results.map(({ name, one, many }) => [
        name, time(one.p50Ms), time(one.p99Ms), times(one.p50Ratio), rate(many.rate), time(many.p50Ms), time(many.p99Ms), times(many.rateRatio),
      ]),
    ),
    ...goalTable(goals),
  ],

  registration: ({ agents, processes, atOnce, allInMs, dialP50Ms, longestMs, rssBeforeMiB, rssAfterMiB, kibPerAgent, idleCpu, goals }) => [
    `## ${rate(agents)} agents of ${processes} processes, mutual TLS, ${processes * atOnce} at a time`,
    '',
    ...table(
      ['all in', 'median connect()', 'longest connect()', 'coordinator before', 'after', 'per agent', 'processor while idle'],
      [[time(allInMs), time(dialP50Ms), time(longestMs), mib(rssBeforeMiB), mib(rssAfterMiB), `${kibPerAgent.toFixed(1)} KiB`, `${(idleCpu * 100).toFixed(1)} %`]],
    ),
    ...goalTable(goals),
  ],

  matrix: ({ sequences, length, rounds, localMs, swarmMs, ratio, goals }) => [
    `## lcsMatrix of ${sequences} x ${rate(length)}, 2 agents of this machine`,
    '',
    ...table(['rounds', 'local', 'swarm', 'ratio'], [[rounds, time(localMs), time(swarmMs), times(ratio)]]),
    ...goalTable(goals),
  ],

  durable: ({ rounds, results, goals }) => [
    '## Durable enqueues from JavaScript',
    '',
    ...table(
      ['contender', 'a second', 'p50', 'p99', 'rate to fsync'],
      results.map(({ name, rate: perSecond, p50Ms, p99Ms, rateRatio }) => [name, rate(perSecond), time(p50Ms), time(p99Ms), times(rateRatio)]),
    ),
    '',
    `In turns, ${rounds} rounds.`,
    ...goalTable(goals),
  ],
}

/** The lines of one measurement. */
export const section = (kind, figures) => ['', ...SECTIONS[kind](figures)]

/** The whole record. `measured` is a list of { kind, figures }. */
export function report(title, facts, measured) {
  return [
    `# ${title}`,
    '',
    'Contenders take turns in one run. A figure is the median of the rounds, p99 that of all rounds together, a ratio the median of the ratios within a round. Times of different runs do not compare, ratios do.',
    '',
    ...factTable(facts),
    ...measured.flatMap(({ kind, figures }) => section(kind, figures)),
    '',
  ].join('\n')
}
