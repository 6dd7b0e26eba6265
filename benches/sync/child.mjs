/** One node of the benchmark: answers a question at a time, in a process of its own. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, AgentDbSync, Coordinator } from '@neural-trader/midstreamer'
import { agentDb } from '../../examples/agentdb-sync/database.mjs'
import { DIMENSIONS, openPatterns, rows } from './databases.mjs'

const VECTOR_BYTES = 4 * DIMENSIONS

/** Nanoseconds of the clock that all processes of a machine share. */
const now = () => Number(process.hrtime.bigint())

function quantile(sorted, q) {
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]
}

/** Quantiles of nanoseconds, in milliseconds. */
function quantiles(samples) {
  const sorted = Float64Array.from(samples).sort()
  return { count: sorted.length, p50Ms: quantile(sorted, 0.5) / 1e6, p99Ms: quantile(sorted, 0.99) / 1e6, worstMs: (sorted.at(-1) ?? NaN) / 1e6 }
}

/** How late timers of one millisecond ran, less that millisecond. */
function loopDelay() {
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  histogram.enable()
  return () => {
    histogram.disable()
    return { p50Ms: histogram.percentile(50) / 1e6 - 1, p99Ms: histogram.percentile(99) / 1e6 - 1, worstMs: histogram.max / 1e6 - 1 }
  }
}

let patterns
let sync
let agent
let next
let bank
let received = []
let control
let loop

const roles = {
  coordinator: {
    async start(dataDir) {
      control = await Coordinator.start({ dataDir })
      return control.address
    },
    identity: (id) => control.developmentIdentity(id),
    stop: () => control.close(),
  },

  node: {
    open(path, seed) {
      patterns = openPatterns(path)
      next = rows(seed)
    },
    async install(database) {
      sync = await AgentDbSync.open({ db: patterns.db, database })
    },
    async attach(address, identity) {
      agent ??= await Agent.connect({ address, identity })
      await sync.attach(agent)
    },
    async detach() {
      await sync.close()
      await agent?.close()
      sync = agent = undefined
    },
    /** So many rows, in transactions of so many; milliseconds of the inserts alone. */
    fill(count, batch) {
      const made = Array.from({ length: count }, next)
      const begun = now()
      if (batch === 1) for (const row of made) patterns.insert(row)
      else for (let at = 0; at < count; at += batch) patterns.insertMany(made.slice(at, at + batch))
      return (now() - begun) / 1e6
    },
    /** So many patterns by AgentDB's own storePattern with its mock embedder, one at a time; milliseconds. */
    async store(count) {
      if (bank === undefined) {
        const { EmbeddingService, ReasoningBank } = await agentDb()
        const embedder = new EmbeddingService({ provider: 'mock', model: 'mock', dimension: DIMENSIONS })
        const log = console.log
        console.log = () => {}
        await embedder.initialize()
        console.log = log
        bank = new ReasoningBank(patterns.db, embedder)
      }
      const made = Array.from({ length: count }, next)
      const begun = now()
      for (const { text, rate, metadata } of made) {
        await bank.storePattern({ taskType: 'bench', approach: text, successRate: rate, tags: ['bench'], metadata: JSON.parse(metadata) })
      }
      return (now() - begun) / 1e6
    },
    flush: (scope, timeoutMs = 120_000) => sync.flush({ scope, timeoutMs }),
    count: () => Number(patterns.db.prepare('SELECT count(*) AS n FROM pattern_embeddings').get().n),
    /** Waits until so many rows are there; milliseconds. */
    async reach(count, limitMs = 120_000) {
      const begun = now()
      const statement = patterns.db.prepare('SELECT count(*) AS n FROM pattern_embeddings')
      for (;;) {
        const asked = now()
        const { n } = statement.get()
        if (Number(n) >= count) break
        if (asked - begun > limitMs * 1e6) throw new Error(`${n} of ${count} rows after ${limitMs} ms: ${JSON.stringify(sync.status())}`)
        // To count a large table takes long, and the event loop is for the rows that come.
        await sleep(Math.max(10, 20 * (now() - asked) / 1e6))
      }
      return (now() - begun) / 1e6
    },
    bytes(path) {
      patterns.db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      return statSync(path).size
    },
    /** From now on, each row that arrives is timed by what is in its metadata. */
    watch() {
      received = []
      let last = Number(patterns.db.prepare('SELECT coalesce(max(id), 0) AS n FROM reasoning_patterns').get().n)
      const statement = patterns.db.prepare('SELECT id, metadata FROM reasoning_patterns WHERE id > ? ORDER BY id')
      sync.on('applied', () => {
        const at = now()
        for (const { id, metadata } of statement.all(last)) {
          last = Number(id)
          const sent = JSON.parse(metadata).at
          if (sent !== undefined) received.push(at - sent)
        }
      })
    },
    /** The control: rows come over a plain socket and are inserted and committed. */
    async listen() {
      received = []
      const server = createServer((socket) => {
        let held = Buffer.alloc(0)
        socket.on('data', (bytes) => {
          held = Buffer.concat([held, bytes])
          while (held.length >= 4 && held.length >= 4 + held.readUInt32LE(0)) {
            const frame = held.subarray(4, 4 + held.readUInt32LE(0))
            held = held.subarray(4 + frame.length)
            const row = JSON.parse(frame.subarray(VECTOR_BYTES).toString())
            patterns.insert({ ...row, vector: Buffer.from(frame.subarray(0, VECTOR_BYTES)) })
            received.push(now() - JSON.parse(row.metadata).at)
          }
        })
        socket.on('error', () => socket.destroy())
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      server.unref()
      return server.address().port
    },
    async dial(port) {
      control = createConnection(port, '127.0.0.1')
      await once(control, 'connect')
      control.setNoDelay(true)
      control.unref()
    },
    /** So many rows a second for so long; each is stamped after its commit, in the row itself, just before. */
    async steady(perSecond, ms, overSocket) {
      const stop = loopDelay()
      const begun = now()
      let sent = 0
      while (now() - begun < ms * 1e6) {
        while (sent < ((now() - begun) / 1e9) * perSecond) {
          const row = next()
          row.metadata = JSON.stringify({ ...JSON.parse(row.metadata), at: now() })
          patterns.insert(row)
          sent += 1
          if (!overSocket) continue
          const text = Buffer.from(JSON.stringify({ text: row.text, rate: row.rate, metadata: row.metadata }))
          const head = Buffer.alloc(4)
          head.writeUInt32LE(VECTOR_BYTES + text.length)
          control.write(Buffer.concat([head, row.vector, text]))
        }
        await sleep(1)
      }
      return { sent, loop: stop() }
    },
    startLoop() {
      loop = loopDelay()
    },
    stopLoop: () => loop(),
    /** One hash of all patterns with their embeddings, whatever their numbers here. */
    digest() {
      const hash = createHash('sha256')
      const all = 'SELECT p.*, e.embedding FROM reasoning_patterns p LEFT JOIN pattern_embeddings e ON e.pattern_id = p.id ORDER BY approach, embedding'
      for (const { id, ...row } of patterns.db.prepare(all).iterate()) {
        const { embedding, ...plain } = row
        hash.update(JSON.stringify(plain, (_, value) => (typeof value === 'bigint' ? Number(value) : value))).update(embedding ?? 'none')
      }
      return hash.digest('hex')
    },
    memory: () => process.memoryUsage.rss(),
    remove: (count) => Number(patterns.db.prepare('DELETE FROM reasoning_patterns WHERE id IN (SELECT id FROM reasoning_patterns ORDER BY random() LIMIT ?)').run(count).changes),
    results: () => quantiles(received),
    status: () => sync.status(),
    close() {
      patterns.db.close()
    },
  },
}

const role = roles[process.argv[2]]
process.on('message', async ({ name, args }) => {
  try {
    process.send({ answer: await role[name](...args) })
  } catch (error) {
    process.send({ error: error.stack ?? String(error) })
  }
})
process.on('disconnect', () => process.exit(0))
