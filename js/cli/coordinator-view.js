'use strict'
// What is known of a running coordinator: over its control socket, or over HTTP from anywhere.

const { askControl } = require('./control.js')
const { CommandError, EXIT, failed } = require('./exit.js')
const { histograms, parse, quantile, since, total } = require('./exposition.js')

/** How long a coordinator may take to answer. */
const PATIENCE_MS = 5000

/** Of an answer over HTTP; 20,000 agents take about 8 MiB. */
const LARGEST_BYTES = 64 * 2 ** 20

const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99 }

/** A reading: `{ at, id, ready, reason, stats, agents, metrics, ... }`; agents is undefined where they are not told one by one. */
async function readCoordinator({ url, dataDir }, signal) {
  return url === undefined ? await overControl(dataDir, signal) : await overHttp(url, signal)
}

async function overControl(dataDir, signal) {
  const status = await askControl(dataDir, 'GET /status', undefined, { signal })
  const [reason] = problemsOf(parse(status.metrics), Date.now())
  return { at: Date.now(), source: dataDir, ...status, ready: reason === undefined, reason }
}

/** What /readyz looks at as well, as the metrics tell it. */
const PROBLEMS = [
  ['midstreamer_store_failing', 'the task store refuses to commit'],
  ['midstreamer_register_failing', 'the register of the authority cannot be read'],
  ['midstreamer_sync_relay_failing', 'the store of the sync relay does not work'],
  ['midstreamer_audit_failing', 'the audit log cannot be written'],
]

function problemsOf(samples, now) {
  const found = PROBLEMS.filter(([name]) => total(samples, name) > 0).map(([, what]) => what)
  const ends = total(samples, 'midstreamer_identity_not_after_seconds') * 1000
  return ends > 0 && ends <= now ? [...found, 'the certificate of the coordinator has ended'] : found
}

async function overHttp(url, signal) {
  const [metrics, ready, agents] = await Promise.all([get(`${url}/metrics`, signal), get(`${url}/readyz`, signal), get(`${url}/agents`, signal)])
  if (metrics.status !== 200) throw failed(`${url}/metrics answers ${metrics.status}: is it a coordinator's \`http\` address?`, 'PROTOCOL')
  const samples = parse(metrics.text)
  if (!samples.some(({ name }) => name === 'midstreamer_uptime_ms')) throw failed(`${url}/metrics is no coordinator's`, 'PROTOCOL')
  return {
    at: Date.now(), source: url, httpAddress: new URL(url).host,
    ready: ready.status === 200, reason: ready.status === 200 ? undefined : ready.text.trim(),
    stats: statsOf(samples), agents: agentsOf(agents), metrics: metrics.text, date: metrics.date,
  }
}

/** A coordinator that does not serve them tells how many there are, in its metrics. */
function agentsOf({ status, text }) {
  if (status !== 200) return undefined
  try {
    const agents = JSON.parse(text)
    return Array.isArray(agents) ? agents : undefined
  } catch {
    return undefined
  }
}

async function get(address, signal) {
  const patience = AbortSignal.timeout(PATIENCE_MS)
  const either = new AbortController()
  const abort = () => either.abort()
  for (const one of [patience, signal]) one?.addEventListener('abort', abort)
  try {
    const response = await fetch(address, { signal: either.signal, redirect: 'error' })
    const date = Date.parse(response.headers.get('date') ?? '')
    return { status: response.status, text: await limited(response), date: Number.isNaN(date) ? undefined : date }
  } catch (error) {
    if (signal?.aborted) throw error
    if (error instanceof CommandError) throw error
    const why = patience.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : (error.cause?.message ?? error.message)
    throw new CommandError(`${address} cannot be read: ${why}`, { exit: EXIT.unavailable, code: 'CONNECTION' })
  } finally {
    for (const one of [patience, signal]) one?.removeEventListener('abort', abort)
  }
}

async function limited(response) {
  const chunks = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.length
    if (size > LARGEST_BYTES) throw failed(`${response.url} sends more than ${LARGEST_BYTES} bytes`, 'TOO_LARGE')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What `Coordinator.stats()` says, out of the metrics. */
function statsOf(samples) {
  const of = (name) => total(samples, name)
  return {
    agents: of('quic_active_agents'),
    queued: of('midstreamer_tasks_queued'),
    running: of('midstreamer_tasks_running'),
    completed: of('midstreamer_tasks_completed_total'),
    failed: of('midstreamer_tasks_failed_total'),
    retried: of('midstreamer_task_retries_total'),
    deadLettered: of('midstreamer_dead_letters'),
    bytesIn: of('midstreamer_received_bytes_total'),
    bytesOut: of('midstreamer_sent_bytes_total'),
    uptimeMs: of('midstreamer_uptime_ms'),
  }
}

/**
 * Latencies by kind, in milliseconds: `[{ kind, count, recent, queue: { p50, p95, p99, mean }, run: {...} }]`, busiest first. Of the tasks since `before`
 * where there were any (`recent`), otherwise of all since the start.
 */
function latenciesOf(reading, before) {
  const of = (text, name) => histograms(parse(text ?? ''), name)
  const [queue, run] = ['midstreamer_task_queue_duration_ms', 'midstreamer_task_run_duration_ms'].map((name) => {
    const [now, then] = [of(reading.metrics, name), of(before?.metrics, name)]
    return { now, last: new Map([...now].map(([kind, histogram]) => [kind, since(histogram, then.get(kind))])) }
  })
  const kinds = [...new Set([...queue.now.keys(), ...run.now.keys()])]
  const rows = kinds.map((kind) => {
    const all = run.now.get(kind)?.count ?? queue.now.get(kind).count
    const recent = before !== undefined && (run.last.get(kind)?.count ?? 0) > 0
    const figures = ({ now, last }) => quantilesOf((recent ? last : now).get(kind))
    return { kind, count: all, recent, perSecond: rateOf(run.last.get(kind)?.count ?? 0, reading, before), queue: figures(queue), run: figures(run) }
  })
  return rows.filter(({ count }) => count > 0).sort((a, b) => b.perSecond - a.perSecond || b.count - a.count || (a.kind < b.kind ? -1 : 1))
}

function quantilesOf(histogram) {
  if (histogram === undefined || histogram.count === 0) return null
  const quantiles = Object.entries(QUANTILES).map(([name, q]) => [name, quantile(histogram, q)])
  return { ...Object.fromEntries(quantiles), mean: histogram.sum / histogram.count }
}

/** Of something that grew by `count` between two readings; 0 without the one before. */
function rateOf(count, reading, before) {
  return before === undefined || reading.at <= before.at ? 0 : Math.max(0, count) / ((reading.at - before.at) / 1000)
}

module.exports = { readCoordinator, latenciesOf, rateOf }
