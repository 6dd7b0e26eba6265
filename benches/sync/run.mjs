/**
 * AgentDB sync between processes over loopback, each figure beside a control of the same run.
 *
 *   npm run bench:sync                      everything
 *   npm run bench:sync -- --quick           short rounds: does everything run?
 *   npm run bench:sync -- --record          benches/record/<cpu>/<date>-sync.json and .md
 *
 * Databases and AgentDB are those of scripts/agentdb.mjs, which installs them.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { agentDb } from '../../examples/agentdb-sync/database.mjs'
import { factTable, machine, time, writeFiles } from '../js/record.mjs'
import { Child, killAll } from '../swarm/children.mjs'
import { engine, openPatterns, rows } from './databases.mjs'

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false }, record: { type: 'boolean', default: false } } })
if (flags.record && flags.quick) throw new Error('--record keeps the whole table: leave out --quick')

const folder = mkdtempSync(join(tmpdir(), 'bench-sync-'))
process.on('exit', () => {
  killAll()
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))
const LIMIT_MS = 600_000
const limit = setTimeout(() => {
  console.error(`it took more than ${LIMIT_MS / 1000} s`)
  process.exit(1)
}, LIMIT_MS)

const program = new URL('child.mjs', import.meta.url)
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]

async function node(name, seed, path = join(folder, `${name}.db`)) {
  const child = new Child('node', program)
  await child.ask('open', path, seed)
  return Object.assign(child, { path })
}

async function swarm() {
  const coordinator = new Child('coordinator', program)
  const address = await coordinator.ask('start', join(folder, 'coordinator'))
  return { coordinator, address, join: async (child, id) => child.ask('attach', address, await coordinator.ask('identity', id)) }
}

/** 200 rows a second, from commit to commit, in turns with a plain socket that carries the same rows. */
async function steady({ coordinator, join: attach }) {
  const [writer, reader, plainWriter, plainReader] = await Promise.all(
    ['writer', 'reader', 'plain-writer', 'plain-reader'].map((name, at) => node(name, at + 1)))
  await Promise.all([writer, reader].map((child) => child.ask('install', 'bench')))
  await attach(writer, 'writer')
  await attach(reader, 'reader')
  await reader.ask('watch')
  await plainWriter.ask('dial', await plainReader.ask('listen'))
  const turns = flags.quick ? 1 : 4
  const ms = flags.quick ? 1000 : 4000
  const figures = { sync: { loops: [] }, control: { loops: [] } }
  let sent = 0
  for (let turn = 0; turn < turns; turn++) {
    for (const [name, from, to] of [['sync', writer, reader], ['control', plainWriter, plainReader]]) {
      await to.ask('startLoop')
      const done = await from.ask('steady', 200, ms, name === 'control')
      if (name === 'sync') {
        sent += done.sent
        await to.ask('reach', sent)
      }
      figures[name].loops.push({ writer: done.loop, reader: await to.ask('stopLoop') })
    }
  }
  for (const [name, to] of [['sync', reader], ['control', plainReader]]) {
    Object.assign(figures[name], await to.ask('results'))
    for (const side of ['writer', 'reader']) figures[name][`${side}LoopP99Ms`] = median(figures[name].loops.map((loop) => loop[side].p99Ms))
  }
  await Promise.all([writer, reader].map((child) => child.ask('detach')))
  await Promise.all([writer, reader, plainWriter, plainReader].map((child) => child.stop()))
  void coordinator
  return figures
}

/** AgentDB's own batch insert of as many rows, with its mock embedder. */
async function agentDbBatch(count) {
  const { BatchOperations, EmbeddingService } = await agentDb()
  const log = console.log
  console.log = () => {}
  try {
    const patterns = openPatterns(join(folder, 'agentdb.db'))
    patterns.db.exec(`CREATE TABLE episodes(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
      session_id TEXT NOT NULL, task TEXT NOT NULL, input TEXT, output TEXT, critique TEXT, reward REAL DEFAULT 0.0, success BOOLEAN DEFAULT 0,
      latency_ms INTEGER, tokens_used INTEGER, tags TEXT, metadata JSON, created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
      CREATE TABLE episode_embeddings(episode_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, embedding_model TEXT DEFAULT 'all-MiniLM-L6-v2',
      FOREIGN KEY(episode_id) REFERENCES episodes(id) ON DELETE CASCADE)`)
    const embedder = new EmbeddingService({ provider: 'mock', model: 'mock', dimension: 384 })
    await embedder.initialize()
    const next = rows(9)
    const episodes = Array.from({ length: count }, () => {
      const { text, rate } = next()
      return { sessionId: 'bench', task: text, reward: rate, success: rate > 0.5, tags: ['bench'] }
    })
    const begun = performance.now()
    const inserted = await new BatchOperations(patterns.db, embedder, { batchSize: 100, parallelism: 4 }).insertEpisodes(episodes)
    const elapsed = performance.now() - begun
    patterns.db.close()
    if (inserted !== count) throw new Error(`AgentDB inserted ${inserted} of ${count}`)
    return elapsed
  } finally {
    console.log = log
  }
}

/** A node that has nothing meets one that has everything. */
async function first({ join: attach }) {
  const count = flags.quick ? 1000 : 10_000
  const full = await node('full', 11)
  await full.ask('fill', count, 500)
  const plainBytes = await full.ask('bytes', full.path)
  await full.ask('install', 'first')
  await attach(full, 'full')
  const flushed = await full.ask('flush', 'relay')
  const installedBytes = await full.ask('bytes', full.path)
  const empty = await node('empty', 12)
  await empty.ask('install', 'first')
  await empty.ask('startLoop')
  const begun = performance.now()
  await attach(empty, 'empty')
  await empty.ask('reach', count)
  const ms = performance.now() - begun
  const loop = await empty.ask('stopLoop')
  await Promise.all([full, empty].map(async (child) => {
    await child.ask('detach')
    await child.stop()
  }))
  return { count, ms, flushMs: flushed.elapsedMs, loopP99Ms: loop.p99Ms, loopWorstMs: loop.worstMs, bookkeeping: installedBytes / plainBytes - 1, agentDbMs: await agentDbBatch(count) }
}

/**
 * What the user's own inserts cost more, in turns with a database that is not replicated: by AgentDB's storePattern, in
 * transactions of a hundred rows, and as bare single rows, which is what the triggers themselves cost.
 */
async function capture() {
  const count = flags.quick ? 300 : 2000
  const children = { with: await node('with', 21), without: await node('without', 21) }
  await children.with.ask('install', 'capture')
  const costs = {}
  for (const [name, ...call] of [['storePattern', 'store', count], ['hundreds', 'fill', count, 100], ['single', 'fill', count, 1]]) {
    const ratios = []
    for (let turn = 0; turn < (flags.quick ? 3 : 9); turn++) {
      const ms = {}
      for (const side of turn % 2 === 0 ? ['with', 'without'] : ['without', 'with']) ms[side] = await children[side].ask(...call)
      ratios.push(ms.with / ms.without)
    }
    costs[name] = median(ratios) - 1
  }
  await Promise.all(Object.values(children).map((child) => child.stop()))
  return { count, costs }
}

const percent = (value) => `${(100 * value).toFixed(1)} %`
const met = (yes) => (yes ? 'yes' : 'no')

function report(title, facts, { steady: s, first: f, capture: c }) {
  const rate = (ms) => `${Math.round(f.count / (ms / 1000)).toLocaleString('en-US')}/s`
  return [
    `# ${title}`,
    '',
    ...factTable(facts),
    '',
    '| what | this run | control | goal | met |',
    '| --- | ---: | ---: | --- | --- |',
    `| 200 rows/s with ${384}-dim embeddings, commit to commit, p50 | ${time(s.sync.p50Ms)} | plain socket and insert: ${time(s.control.p50Ms)} | | |`,
    `| the same, p99 | ${time(s.sync.p99Ms)} | ${time(s.control.p99Ms)} | below 100 ms | ${met(s.sync.p99Ms < 100)} |`,
    `| event loop at that load, p99 of the delay, writer | ${time(s.sync.writerLoopP99Ms)} | ${time(s.control.writerLoopP99Ms)} | below 8 ms | ${met(s.sync.writerLoopP99Ms < 8)} |`,
    `| the same, reader | ${time(s.sync.readerLoopP99Ms)} | ${time(s.control.readerLoopP99Ms)} | below 8 ms | ${met(s.sync.readerLoopP99Ms < 8)} |`,
    `| first sync of ${f.count.toLocaleString('en-US')} patterns | ${rate(f.ms)} | AgentDB's batch insert: ${rate(f.agentDbMs)} | faster | ${met(f.ms < f.agentDbMs)} |`,
    `| event loop during the first sync, p99 of the delay | ${time(f.loopP99Ms)} | | | |`,
    `| capture and upload of as many | ${rate(f.flushMs)} | | | |`,
    `| capture: AgentDB's storePattern takes longer by | ${percent(c.costs.storePattern)} | the same without | below 10 % | ${met(c.costs.storePattern < 0.1)} |`,
    `| capture: transactions of 100 bare inserts | ${percent(c.costs.hundreds)} | the same without | | |`,
    `| capture: single bare inserts in WAL | ${percent(c.costs.single)} | the same without | | |`,
    `| bookkeeping in the file | ${percent(f.bookkeeping)} | | below 15 % | ${met(f.bookkeeping < 0.15)} |`,
  ]
}

const facts = { ...machine(), peers: { sqlite: engine.name } }
const swarmOfAll = await swarm()
const measured = { steady: await steady(swarmOfAll), first: await first(swarmOfAll), capture: await capture() }
await swarmOfAll.coordinator.ask('stop')
await swarmOfAll.coordinator.stop()
clearTimeout(limit)
facts.loadAverageAfter = loadavg().map((load) => Number(load.toFixed(2)))
const title = 'AgentDB sync'
console.log(report(title, facts, measured).join('\n'))
if (flags.record) {
  const file = writeFiles(facts, '-sync', { title, facts, measured }, report(title, facts, measured).join('\n'))
  console.log(`\nRecorded in ${file}.md and .json`)
}
