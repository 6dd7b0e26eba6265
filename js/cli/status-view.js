'use strict'
// How a reading of a coordinator looks on a terminal of any size.

const { latenciesOf, rateOf } = require('./coordinator-view.js')
const { age, bytes, count, cut, millis, printable, table, widthOf } = require('./terminal.js')

/** What fits beside each other on a line, with two blanks between. */
const GAP = '  '

const KIND_COLUMNS = [
  { title: 'kind', most: 32 }, { title: 'done', right: true, priority: 3 }, { title: 'per s', right: true, priority: 4 },
  { title: 'wait p50', right: true, priority: 6 }, { title: 'wait p95', right: true, priority: 2 }, { title: 'wait p99', right: true, priority: 7 },
  { title: 'run p50', right: true, priority: 5 }, { title: 'run p95', right: true, priority: 1 }, { title: 'run p99', right: true, priority: 8 },
]

const AGENT_COLUMNS = [
  { title: 'agent', most: 32 }, { title: 'type', priority: 6, most: 20 }, { title: 'load', priority: 1 }, { title: 'runs', right: true, priority: 2 },
  { title: 'done', right: true, priority: 3 }, { title: 'failed', right: true, priority: 4 }, { title: 'rtt', right: true, priority: 5 },
  { title: 'memory', right: true, priority: 8 }, { title: 'seen', right: true, priority: 9 }, { title: 'for', right: true, priority: 10 }, { title: 'address', priority: 11, most: 40 },
]

const BAR = 8

/** An agent that was not heard of for so long is about to be given up. */
const QUIET_MS = 5000

/**
 * Lines for a terminal of `width` x `height`; `before` is the reading before this one, for rates and for latencies of what was done since. What does
 * not fit below is counted.
 */
function view(reading, before, { width = 80, height = Infinity, paint }) {
  const { stats, agents } = reading
  const head = [title(reading, paint), ...facts(reading, before, width, paint)]
  const latencies = latenciesOf(reading, before)
  const parts = [head.map((line) => (widthOf(line) > width ? cut(stripped(line), width) : line))]
  const left = () => height - parts.reduce((sum, part) => sum + part.length + 1, 0)
  parts.push(limited(kinds(latencies, width, paint), Math.max(3, Math.floor(left() / 2)), 'kinds', paint))
  if (agents === undefined) parts.push([paint.dim(cut(`${count(stats.agents)} agents, which this address does not tell one by one`, width))])
  else parts.push(limited(table(AGENT_COLUMNS, agents.map((agent) => agentCells(agent, reading.at, paint)), { width, paint }), Math.max(3, left()), 'agents', paint))
  return parts.flatMap((part, i) => (i === 0 ? part : ['', ...part]))
}

const stripped = (text) => text.replace(/\x1b\[\d+m/g, '')

function title({ id, address, httpAddress, ready, reason }, { bold, green, red }) {
  const state = ready ? green('ready') : red(`not ready: ${printable(reason ?? 'unknown')}`)
  return `${bold(printable(id ?? httpAddress))}${address === undefined ? '' : ` ${printable(address)}`}${GAP}${state}`
}

/** Numbers, as many on a line as fit. */
function facts(reading, before, width, paint) {
  const { stats } = reading
  const rate = (name, unit = count) => (before === undefined ? '' : ` (${unit(rateOf(stats[name] - before.stats[name], reading, before))}/s)`)
  const shown = [
    ['up', age(stats.uptimeMs)],
    ['agents', count(stats.agents)],
    ['queued', count(stats.queued), stats.queued > 0 && stats.running === 0 && paint.yellow],
    ['running', count(stats.running)],
    ['completed', `${count(stats.completed)}${rate('completed')}`],
    ['failed', count(stats.failed), stats.failed > 0 && paint.yellow],
    ['retried', count(stats.retried)],
    ['dead letters', count(stats.deadLettered), stats.deadLettered > 0 && paint.red],
    ['in', `${bytes(stats.bytesIn)}${rate('bytesIn', bytes)}`],
    ['out', `${bytes(stats.bytesOut)}${rate('bytesOut', bytes)}`],
  ].map(([name, text, mark]) => `${paint.dim(name)} ${(mark || String)(text)}`)
  const lines = []
  for (const fact of shown) {
    const last = lines[lines.length - 1]
    if (last !== undefined && widthOf(last) + GAP.length + widthOf(fact) <= width) lines[lines.length - 1] = `${last}${GAP}${fact}`
    else lines.push(fact)
  }
  return lines
}

function kinds(latencies, width, paint) {
  if (latencies.length === 0) return [paint.dim('no task was done yet')]
  const part = (figures, name) => (figures === null ? '-' : millis(figures[name]))
  const rows = latencies.map(({ kind, count: done, perSecond, queue, run }) => [
    printable(kind), count(done), perSecond >= 10 ? count(perSecond) : perSecond.toFixed(1),
    part(queue, 'p50'), part(queue, 'p95'), part(queue, 'p99'), part(run, 'p50'), part(run, 'p95'), part(run, 'p99'),
  ])
  return table(KIND_COLUMNS, rows, { width, paint })
}

function agentCells({ id, type, load, running, completed, failed, rttMs, memoryBytes, lastSeenAt, connectedAt, remoteAddress }, now, paint) {
  const quiet = Math.max(0, now - lastSeenAt)
  return [
    printable(id), printable(type), loadBar(load, paint), count(running), count(completed), failed > 0 ? paint.yellow(count(failed)) : '0', millis(rttMs),
    memoryBytes > 0 ? bytes(memoryBytes) : '-', quiet > QUIET_MS ? paint.yellow(age(quiet)) : age(quiet), age(Math.max(0, now - connectedAt)), printable(remoteAddress),
  ]
}

/** Running tasks for each slot: full is yellow. */
function loadBar(load, { dim, green, yellow }) {
  const share = Math.max(0, Math.min(1, load))
  const full = share > 0 ? Math.max(1, Math.round(share * BAR)) : 0
  return `${(share >= 1 ? yellow : green)('#'.repeat(full))}${dim('.'.repeat(BAR - full))}`
}

/** The table's head and as many rows as fit, and how many do not. */
function limited(lines, most, what, { dim }) {
  if (lines.length <= most) return lines
  const kept = Math.max(1, most - 1)
  return [...lines.slice(0, kept), dim(`and ${lines.length - kept} more ${what}`)]
}

module.exports = { view }
