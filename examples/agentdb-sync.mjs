/**
 * Three AgentDB databases of three processes that replicate each other through a coordinator.
 *
 *   node examples/agentdb-sync.mjs
 *
 * What each one stores is found by AgentDB's own search on the others; trials on two nodes add up; a node that is killed comes
 * back and has what it missed; a pattern that is deleted on one is gone on all. Everything is compared with what it should be,
 * and the example fails if anything is different.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Coordinator } from '@neural-trader/midstreamer'

const EACH = 40
const directory = mkdtempSync(join(tmpdir(), 'agentdb-sync-'))
const running = new Set()

/** A process with a database, which is asked one thing at a time. */
class Node {
  constructor(id) {
    this.id = id
    this.process = fork(fileURLToPath(new URL('agentdb-sync/node.mjs', import.meta.url)), [id, join(directory, `${id}.db`)])
    running.add(this.process)
    this.ready = this.#answer()
  }

  async #answer() {
    const [{ answer, error }] = await Promise.race([
      once(this.process, 'message'),
      once(this.process, 'exit').then(([code, signal]) => [{ error: `${this.id} has ended: ${code ?? signal}` }]),
    ])
    if (error !== undefined) throw new Error(error)
    return answer
  }

  async ask(name, ...args) {
    await this.ready
    const answer = this.#answer()
    this.process.send({ name, args })
    return answer
  }

  async kill() {
    this.process.kill('SIGKILL')
    await once(this.process, 'exit')
  }
}

let coordinator
try {
  coordinator = await Coordinator.start({ dataDir: join(directory, 'coordinator') })
  const connect = async (node) => node.ask('connect', coordinator.address, await coordinator.developmentIdentity(node.id))
  const nodes = ['amsterdam', 'london', 'zurich'].map((id) => new Node(id))
  const [amsterdam, london, zurich] = nodes
  await Promise.all(nodes.map(connect))

  for (const node of nodes) {
    const { rows, elapsedMs } = await node.ask('store', EACH, 'members')
    console.log(`${node.id} has stored ${rows} patterns; all members had them ${elapsedMs.toFixed(0)} ms after the last one`)
  }
  await Promise.all(nodes.map((node) => node.ask('until', 3 * EACH)))

  const wanted = 'amsterdam: fade gap number 7 after three red bars'
  const [found] = await zurich.ask('search', wanted)
  assert.equal(found.approach, wanted)
  console.log(`zurich has searched its own database and found: ${found.approach}`)

  await Promise.all([amsterdam.ask('trials', wanted, 8), london.ask('trials', wanted, 5)])
  const deadline = Date.now() + 30_000
  let stats
  do stats = await zurich.ask('stats', wanted)
  while (stats.uses !== 20 && Date.now() < deadline)
  assert.deepEqual({ ...stats, successRate: stats.successRate.toFixed(12) }, { uses: 20, successRate: (13 / 20).toFixed(12) })
  console.log(`8 of 10 trials won in amsterdam and 5 of 10 in london: zurich counts ${stats.uses} with a success rate of ${stats.successRate.toFixed(2)}`)

  // Whoever is away gets it from the coordinator later. To wait for the members would be to wait until the coordinator has given
  // up a process that ended without a word: agentTimeoutMs, 10 s.
  await zurich.kill()
  await london.ask('store', EACH, 'relay')
  await amsterdam.ask('remove', wanted)
  const back = new Node('zurich')
  await connect(back)
  await back.ask('until', 4 * EACH - 1)
  console.log(`zurich was killed; meanwhile london has stored ${EACH} more and amsterdam has deleted one. zurich is back and has ${await back.ask('count')}`)
  await Promise.all([amsterdam, london].map((node) => node.ask('until', 4 * EACH - 1)))

  await Promise.all([amsterdam, london, back].map(async (node) => {
    const ended = once(node.process, 'exit')
    await node.ask('close')
    await ended
  }))
} finally {
  for (const child of running) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await coordinator?.close()
  rmSync(directory, { recursive: true, force: true })
}
