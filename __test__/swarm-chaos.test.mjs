// The swarm for real: processes that are killed and stopped at random, and a network that loses packets. Whatever happens, every
// accepted task has exactly one outcome, the right one, and nothing of it starts after that outcome was delivered.
//
// MIDSTREAMER_CHAOS_SEED repeats a run's decisions (not its timing), MIDSTREAMER_CHAOS_SCALE multiplies its length, for a soak.

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, CertificateAuthority } from '@neural-trader/midstreamer'
import { generator, integer, pick } from './support/random.mjs'
import { coordinator, deferred, until } from './support/swarm.mjs'
import { start } from './support/swarm/children.mjs'
import { proxy } from './support/swarm/proxy.mjs'

const SCALE = Number(process.env.MIDSTREAMER_CHAOS_SCALE ?? 1)
const SEED = Number(process.env.MIDSTREAMER_CHAOS_SEED ?? Date.now() % 2 ** 31)
const NO_SIGNALS = process.platform === 'win32' && 'Windows has no signals to stop a process with'
/** Agents that are not heard of for so long are gone. */
const AGENT_TIMEOUT_MS = 400
/** No task is to fail only because its agents were killed too often. */
const maxAttempts = 10_000

const right = (x) => 3 * x + 1

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'midstreamer-chaos-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** What the agents have written down: executions by task. */
function executionsIn(log) {
  const executions = new Map()
  for (const line of readFileSync(log, 'utf8').trimEnd().split('\n')) {
    const [asked, started, taskId, attempt, fence, pid] = line.split(' ')
    if (!executions.has(taskId)) executions.set(taskId, [])
    executions.get(taskId).push({ asked: BigInt(asked), started: BigInt(started), attempt: Number(attempt), fence, pid: Number(pid) })
  }
  return executions
}

/**
 * `outcomes`: task id to { x, value, attempts, at }. Nothing was started after its outcome was delivered: the agent asked whether
 * it may before. Between that question and the handler's first statement a process can still be stopped; how often that was
 * seen is returned, since no program can exclude it and the fence is there for it.
 */
function assertExactlyOnce(outcomes, executions) {
  let [reexecuted, stoppedBetween] = [0, 0]
  for (const [taskId, { x, value, attempts, at }] of outcomes) {
    assert.equal(value.y, right(x), taskId)
    const runs = executions.get(taskId) ?? []
    const fences = new Set(runs.map(({ fence }) => fence))
    assert.equal(fences.size, runs.length, `${taskId}: two executions under one fence`)
    assert.ok(fences.has(value.fence), `${taskId}: an outcome without an execution`)
    assert.ok(attempts >= 1 && runs.length >= 1)
    reexecuted += runs.length - 1
    for (const { asked, started, fence } of runs) {
      assert.ok(asked <= at, `${taskId}: the execution ${fence} was let in ${asked - at} ns after the outcome ${value.fence} was delivered`)
      if (started > at) stoppedBetween++
    }
  }
  assert.equal([...executions.keys()].filter((taskId) => !outcomes.has(taskId)).length, 0, 'executions of tasks that nobody accepted')
  return { reexecuted, stoppedBetween }
}

/** Agents in processes of their own, under fixed identities: whoever is killed comes back. */
class Agents {
  constructor(t, common, identities) {
    this.launch = (i) => {
      const connected = deferred()
      const process = start(t, 'agent.mjs', { ...common, identity: identities[i] }, connected.resolve)
      return { ...process, connected: connected.promise }
    }
    this.list = identities.map((_, i) => this.launch(i))
    this.counts = { kills: 0, stops: 0 }
  }

  async kill(i) {
    this.counts.kills++
    await this.list[i].kill()
    this.list[i] = this.launch(i)
  }

  /** Beyond its lease, and on. */
  async stop(i, ms) {
    this.counts.stops++
    const { child } = this.list[i]
    child.kill('SIGSTOP')
    await sleep(ms)
    child.kill('SIGCONT')
  }

  /** Nobody has ended by itself, and nobody does when it is killed. */
  async end() {
    for (const agent of this.list) {
      assert.ok(agent.running(), JSON.stringify(agent.running() || await agent.ended))
      await agent.kill()
    }
  }
}

test('10,000 tasks while agents are killed and stopped', { skip: NO_SIGNALS }, async (t) => {
  t.diagnostic(`MIDSTREAMER_CHAOS_SEED=${SEED}`)
  const random = generator(SEED)
  const tasks = 10_000 * SCALE
  const log = join(folder(t), 'executions')
  const c = await coordinator(t, { agentTimeoutMs: AGENT_TIMEOUT_MS })
  const identities = await Promise.all(['a', 'b', 'c'].map((id) => c.developmentIdentity(id)))
  const agents = new Agents(t, { address: c.address, log, slots: 8 }, identities)
  await Promise.all(agents.list.map(({ connected }) => connected))

  const outcomes = new Map()
  const submitted = Array.from({ length: tasks }, async (_, x) => {
    const { taskId, value, attempts } = await c.submit({ kind: 'work', payload: { x, ms: integer(random, 0, 20) }, maxAttempts })
    const at = process.hrtime.bigint()
    assert.ok(!outcomes.has(taskId), `${taskId} has two outcomes`)
    outcomes.set(taskId, { x, value, attempts, at })
  })
  let done = false
  const all = Promise.all(submitted).finally(() => { done = true })
  const trouble = (async () => {
    // So long that a stopped one is lost and its tasks are given away; two at once may be away.
    while (!done) {
      const i = integer(random, 0, 2)
      const act = random() < 0.5 ? agents.kill(i) : agents.stop(i, integer(random, AGENT_TIMEOUT_MS, 2 * AGENT_TIMEOUT_MS))
      await Promise.race([act, sleep(integer(random, 100, 400))])
      await act
      await sleep(integer(random, 50, 250))
    }
  })()
  await all
  await trouble

  assert.equal(outcomes.size, tasks)
  const seen = assertExactlyOnce(outcomes, executionsIn(log))
  const { completed, failed, queued, running, deadLettered } = c.stats()
  assert.deepEqual({ completed, failed, queued, running, deadLettered }, { completed: tasks, failed: 0, queued: 0, running: 0, deadLettered: 0 })
  // Late results have come by now, and have changed nothing.
  await Promise.all(agents.list.map(({ connected }) => connected))
  await until(() => c.agents().length === 3)
  for (const [taskId, { value, attempts }] of outcomes) {
    const again = await c.result(taskId)
    assert.deepEqual([again.value, again.attempts], [value, attempts])
  }
  t.diagnostic(JSON.stringify({ ...agents.counts, ...seen }))
  await agents.end()
})

test('the result of an agent that was stopped beyond its lease is refused, and it starts nothing that it had waiting', { skip: NO_SIGNALS }, async (t) => {
  const path = folder(t)
  const log = join(path, 'executions')
  const c = await coordinator(t, { agentTimeoutMs: AGENT_TIMEOUT_MS })
  const identities = [await c.developmentIdentity('stopped'), await c.developmentIdentity('heir')]
  const stopped = new Agents(t, { address: c.address, log, slots: 4 }, identities.slice(0, 1))
  const { child, connected } = stopped.list[0]
  await connected
  // The first keeps its event loop busy, so that the others wait in the process, which is then stopped.
  const gate = join(path, 'gate')
  const first = await c.enqueue({ kind: 'work', payload: { x: 0, ms: 0, gate }, maxAttempts })
  await until(() => existsSync(log) && readFileSync(log, 'utf8').includes(first.taskId))
  const others = [1, 2, 3].map((x) => c.enqueue({ kind: 'work', payload: { x, ms: 0 }, maxAttempts }))
  const ids = [first, ...await Promise.all(others)].map(({ taskId }) => taskId)
  await until(() => c.stats().running === 4)
  child.kill('SIGSTOP')
  const heirs = new Agents(t, { address: c.address, log, slots: 4 }, identities.slice(1))
  const outcomes = new Map()
  for (const [x, taskId] of ids.entries()) {
    const { value, attempts } = await c.result(taskId)
    outcomes.set(taskId, { x, value, attempts, at: process.hrtime.bigint() })
  }
  writeFileSync(gate, '')
  child.kill('SIGCONT')
  const back = c.submit({ kind: 'work', payload: { x: 4, ms: 0 }, requires: ['agent:stopped'], maxAttempts })
  const { value, taskId, attempts } = await back
  outcomes.set(taskId, { x: 4, value, attempts, at: process.hrtime.bigint() })
  for (const id of ids) assert.equal((await c.result(id)).value.fence, outcomes.get(id).value.fence)
  const executions = executionsIn(log)
  assertExactlyOnce(outcomes, executions)
  const [late] = executions.get(ids[0])
  assert.equal(late.pid, child.pid)
  assert.notEqual(late.fence, outcomes.get(ids[0]).value.fence)
  assert.equal(c.stats().completed, 5)
  await stopped.end()
  await heirs.end()
})

test('a durable coordinator killed again and again: every acknowledged task has exactly one outcome', { skip: NO_SIGNALS }, async (t) => {
  const random = generator(SEED + 1)
  const path = folder(t)
  const log = join(path, 'executions')
  const ca = await CertificateAuthority.open(join(path, 'ca'))
  const options = {
    identity: await ca.issue({ id: 'main', role: 'coordinator' }), dataDir: join(path, 'data'), agentTimeoutMs: 1500, listen: '127.0.0.1:0',
  }
  const accepted = new Map()
  const outcomes = new Map()
  let deliveries = 0

  /** One life of the coordinator. */
  async function life() {
    const ready = deferred()
    const its = start(t, 'coordinator.mjs', options, (line) => {
      const said = JSON.parse(line)
      if (said.ready) {
        ready.resolve(said.ready)
      } else if (said.accepted) {
        assert.ok(!accepted.has(said.accepted), `${said.accepted} was given to two tasks`)
        accepted.set(said.accepted, said.x)
      } else {
        deliveries++
        const { outcome: taskId, value, attempts, error, message } = said
        assert.equal(error, undefined, `${taskId}: ${message}`)
        const known = outcomes.get(taskId)
        // Told again in a later life: the same.
        if (known) assert.deepEqual([value, attempts], [known.value, known.attempts], taskId)
        else outcomes.set(taskId, { value, attempts, at: BigInt(said.at) })
      }
    })
    const address = await Promise.race([ready.promise, its.ended.then(({ errors }) => assert.fail(errors))])
    options.listen = address
    return its
  }

  let next = 0
  const batch = (size) => Array.from({ length: size }, () => next++)
  let its = await life()
  const identities = await Promise.all(['a', 'b'].map((id) => ca.issue({ id, role: 'agent' })))
  const agents = new Agents(t, { address: options.listen, log, slots: 8 }, identities)
  await Promise.all(agents.list.map(({ connected }) => connected))
  const lives = 6 * SCALE
  for (let i = 0; i < lives; i++) {
    const end = performance.now() + integer(random, 50, 700)
    while (performance.now() < end) {
      its.say({ enqueue: batch(integer(random, 1, 30)) })
      await sleep(integer(random, 0, 20))
    }
    assert.deepEqual((await its.kill()).signal, 'SIGKILL')
    // The agents notice, or do not.
    await sleep(pick(random, [0, 0, 100, 600]))
    its = await life()
  }
  its.say({ enqueue: batch(100) })
  // What an earlier life has accepted, and also what it has delivered.
  its.say({ result: [...accepted.keys()] })
  await until(() => accepted.size >= 100 && [...accepted.keys()].every((taskId) => outcomes.has(taskId)))
  const before = deliveries
  its.say({ result: [...accepted.keys()] })
  await until(() => deliveries >= before + accepted.size)

  assert.equal(outcomes.size, accepted.size, 'outcomes of tasks that were never acknowledged')
  const executions = executionsIn(log)
  // A task may have been durable and its coordinator dead before it could say so; it ran, and nobody knows its id.
  const unacknowledged = [...executions.keys()].filter((taskId) => !accepted.has(taskId))
  assert.ok(accepted.size + unacknowledged.length <= next)
  for (const taskId of unacknowledged) executions.delete(taskId)
  for (const [taskId, outcome] of outcomes) outcome.x = accepted.get(taskId)
  const seen = assertExactlyOnce(outcomes, executions)
  t.diagnostic(JSON.stringify({ lives, asked: next, accepted: accepted.size, unacknowledged: unacknowledged.length, ...seen }))
  assert.ok(accepted.size > 100)
  await agents.end()
  await its.kill()
})

test('500 tasks through a network that loses, reorders and is cut', async (t) => {
  const c = await coordinator(t, { agentTimeoutMs: 1000 })
  const between = await proxy(t, c.address, { random: generator(SEED + 2), loss: 0.05, late: 0.05, lateMs: 20 })
  const executed = []
  for (const id of ['a', 'b']) {
    const handlers = {
      async work({ x, bytes }, { taskId, fence }) {
        executed.push(`${taskId} ${fence}`)
        await sleep(x % 5)
        return { y: right(x), bytes }
      },
    }
    const identity = await c.developmentIdentity(id)
    const agent = await Agent.connect({ address: between.address, identity, handlers, concurrency: 4, connectTimeoutMs: 60_000 })
    t.after(() => agent.close())
  }
  let done = 0
  const tasks = Array.from({ length: 500 * SCALE }, async (_, x) => {
    // Some take a stream of their own.
    const bytes = new Uint8Array(x % 50 === 0 ? 200_000 : x).fill(x)
    const { value } = await c.submit({ kind: 'work', payload: { x, bytes }, maxAttempts })
    assert.deepEqual(value, { y: right(x), bytes })
    done++
  })
  const cut = async (at, ms) => {
    await until(() => done >= at)
    between.partitioned = true
    await sleep(ms)
    between.partitioned = false
  }
  // Once shorter than the patience of both sides, once longer.
  await Promise.all([...tasks, cut(100, 300).then(() => cut(250, 2000))])
  assert.equal(new Set(executed).size, executed.length, 'two executions under one fence')
  assert.equal(c.stats().completed, tasks.length)
  t.diagnostic(JSON.stringify({ ...between.counts, executed: executed.length }))
})
