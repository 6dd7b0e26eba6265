/**
 * A swarm on one machine: this process is the coordinator, and two more (agent.mjs) do the work. 380 variants of a
 * moving-average cross-over are tested on twenty years of the S&P 500; then a kernel that is built into every agent
 * finds the months most like the last one. Nothing differs on several machines but the addresses: docs/deployment.md.
 *
 *   node examples/coordinator.mjs
 *   node examples/coordinator.mjs --development
 *
 * With a certificate authority in a directory, and agents that join with a token and are renewed, as in production; with
 * --development the coordinator makes an authority that is gone with it. TLS is mutual either way. The results are compared
 * with the same computation in this process, and in the end the audit log is verified.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { Agent, CertificateAuthority, Coordinator, dtwNearest, verifyAuditLog } from '@neural-trader/midstreamer'
import { loadBars, slidingWindows } from './similar-days/market.mjs'
import { bold, dim, percent } from './similar-days/terminal.mjs'
import { startAgents } from './swarm/agents.mjs'
import { backtest } from './swarm/crossover.mjs'
import { writeIdentity } from './swarm/identity-files.mjs'

const AGENTS = ['agent-1', 'agent-2']
const FASTS = Array.from({ length: 19 }, (_, i) => 5 + 5 * i) // days
const SLOWS = Array.from({ length: 20 }, (_, i) => 100 + 10 * i)
const FROM = 300 // the slowest average has its history by then, and a day more
const MONTH = 20

const { values: options } = parseArgs({ options: { development: { type: 'boolean', default: false } } })
const { dates, close } = loadBars()
const heading = (text) => console.log(`\n${bold(text)}\n`)

const directory = mkdtempSync(join(tmpdir(), 'midstreamer-'))
const [authorityDirectory, dataDir] = [join(directory, 'authority'), join(directory, 'data')]
let coordinator, stopAgents
try {
  // ------------------------------------------------------------------------------------------- who is who
  heading('Coordinator and agents')
  const authority = options.development ? undefined : await CertificateAuthority.open(authorityDirectory, { name: 'example' })
  coordinator = await Coordinator.start({
    authority,
    enrollListen: authority && '127.0.0.1:0',
    dataDir, // what is accepted survives this process
    http: '127.0.0.1:0',
    onLog: ({ level, message, fields }) => {
      if (level === 'warn' || level === 'error') console.log(dim(`  log: ${level}: ${message} ${JSON.stringify(fields)}`))
    },
  })
  // What they may do stands in the authority's register, not in what they say of themselves.
  const grants = { kinds: ['backtest.crossover', 'dtw.nearest'] }
  const token = authority && (await coordinator.createJoinToken({ uses: AGENTS.length, ttlMs: 60_000, grants }))
  // On the new machine, in production; its private key is made there.
  const identityOf = (id) =>
    token ? Agent.enroll({ address: coordinator.enrollAddress, token, agentId: id }) : coordinator.developmentIdentity(id)
  const identities = []
  for (const id of AGENTS) identities.push(writeIdentity(join(directory, id), await identityOf(id)))
  console.log(`  ${coordinator.id}: listens on ${coordinator.address} (UDP), process ${process.pid}`)
  stopAgents = await startAgents(coordinator, identities)
  for (const { id, keyExchange, rttMs } of coordinator.agents()) console.log(dim(`  ${id}: ${keyExchange}, ${rttMs.toFixed(2)} ms away`))

  // ------------------------------------------------------------------------------- a sweep over parameters
  heading(`${FASTS.length * SLOWS.length} cross-overs of two averages, ${dates[FROM]} to ${dates.at(-1)}`)
  const started = performance.now()
  const tasks = FASTS.map((fast) => ({
    kind: 'backtest.crossover',
    payload: { closes: close, fast, slows: SLOWS, from: FROM },
    timeoutMs: 60_000,
    // Handed in again under this key, after a crash of this program for instance, it is the same task.
    idempotencyKey: `sweep ${fast}`,
  }))
  const rows = []
  const shares = new Map()
  for await (const { index, value, agentId } of coordinator.map(tasks, { concurrency: 8 })) {
    rows[index] = value
    shares.set(agentId, (shares.get(agentId) ?? 0) + value.length)
  }
  const elapsed = performance.now() - started
  const results = rows.flat()
  for (const { fast, slow, growth, sharpe } of results) {
    const here = backtest({ closes: close, fast, slow, from: FROM })
    if (growth !== here.growth || sharpe !== here.sharpe) throw new Error(`${fast}/${slow} is not what this process computes`)
  }

  const held = close.at(-1) / close[FROM - 1]
  const line = (name, { growth, sharpe, drawdown, trades }) =>
    `  ${name.padEnd(14)} ${percent(growth - 1).padStart(9)} ${sharpe.toFixed(2).padStart(8)} ${percent(-drawdown).padStart(10)} ${String(trades).padStart(7)}`
  console.log(dim('  days            return   sharpe   drawdown  trades'))
  const ranked = [...results].sort((a, b) => b.sharpe - a.sharpe)
  for (const result of ranked.slice(0, 5)) console.log(line(`${result.fast} / ${result.slow}`, result))
  console.log(dim('  ...'))
  for (const result of ranked.slice(-2)) console.log(line(`${result.fast} / ${result.slow}`, result))
  console.log(`\n  Buying and holding gave ${percent(held - 1)}. The best of ${results.length} looks good by having been chosen: no advice.`)
  console.log(`  ${elapsed.toFixed(0)} ms; ${[...shares].map(([id, count]) => `${id} did ${count}`).join(', ')}. As computed here: yes, bit for bit.`)

  // --------------------------------------------------------------------------------- a kernel of every agent
  heading(`Months most like the one to ${dates.at(-1)}, by a kernel that is built in`)
  const query = close.slice(-MONTH)
  const candidates = slidingWindows(close, MONTH, close.length - 2 * MONTH)
  const dtwOptions = { normalize: 'zscore', window: 2, k: 3 }
  const { value: nearest, agentId, runMs } = await coordinator.submit({ kind: 'dtw.nearest', payload: { query, candidates, options: dtwOptions } })
  for (const { index, distance } of nearest) console.log(`  ${dates[index]} - ${dates[index + MONTH - 1]}   distance ${distance.toFixed(3)}`)
  if (!isDeepStrictEqual(nearest, await dtwNearest(query, candidates, dtwOptions))) throw new Error('dtw.nearest is not what this process computes')
  console.log(`\n  ${candidates.data.length / MONTH} windows on ${agentId} in ${runMs} ms. As computed here: yes, bit for bit.`)

  // -------------------------------------------------------------------------------------------- at most once
  heading('The same key again')
  const again = await coordinator.enqueue(tasks[0])
  const { attempts } = await coordinator.result(tasks[0].idempotencyKey)
  console.log(`  ${tasks[0].idempotencyKey}: deduplicated ${again.deduplicated}, run ${attempts} time; its result is kept for a day, here in ${dataDir}`)

  heading(`Some of http://${coordinator.httpAddress}/metrics`)
  const metrics = await (await fetch(`http://${coordinator.httpAddress}/metrics`)).text()
  const shown = /^(quic_active_agents|midstreamer_(tasks_\w+|dead_letters|received_bytes|sent_bytes|pattern_matches_total|task_run_duration_ms_(sum|count)))\b/
  for (const text of metrics.split('\n')) if (shown.test(text)) console.log(`  ${text}`)

  heading('The end')
  await coordinator.drain({ timeoutMs: 10_000 })
  console.log(`  ${coordinator.id}: nothing is queued or running`)
  await stopAgents()
  // In production the anchor is kept on another machine: then nobody here can cut the log off unnoticed.
  const { path, publicKey, anchor } = coordinator.auditLog()
  await coordinator.close()
  const { ok, entries } = await verifyAuditLog(path, { publicKey, anchor })
  if (!ok) throw new Error('the audit log is not what was written')
  console.log(`  audit log: ${entries} entries, chained and signed, and none is missing`)
} finally {
  await stopAgents?.()
  await coordinator?.close()
  rmSync(directory, { recursive: true, force: true })
}
