// neural-trader 2.8.11 as it is on npm, and our entry of that name beside it: the same names and shapes, what the original
// answers, and that ours is computed. docs/neural-trader.md says in a table what is shown here.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CertificateAuthority, correlationMatrix, dtwSync, lcsSync } from '@neural-trader/midstreamer'
import * as ours from '@neural-trader/midstreamer/neural-trader'
import { loadPeer, whyNoNeuralTrader } from '../benches/js/peers.mjs'
import { coded, rejects, throws } from './support/assertions.mjs'
import { generator, walk } from './support/random.mjs'
import { program, until } from './support/swarm.mjs'

const skip = whyNoNeuralTrader() ?? false
const theirs = skip ? undefined : loadPeer('neural-trader')
const { swarm } = ours

const ADDED = ['TemporalCompare', 'setMarketData']
const ADDED_TO_SWARM = ['coordinator', 'handle']

// The swarm is one a process: every test that has one ends it, and a failed one must not spoil the next.
const destroy = () => swarm.destroy().catch((error) => assert.equal(error.code, 'CLOSED'))
after(destroy)

/** Types by key, in place of values; null, which is "not known", is of any type. */
function shapeOf(value) {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])]
  if (value === null || typeof value !== 'object') return typeof value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, shapeOf(value[key])]))
}

/** Every key of theirs is in ours, of the same type, or null; ours may have more. */
function fits(our, their, path = 'it') {
  if (Array.isArray(their)) {
    assert.ok(Array.isArray(our), path)
    if (their.length > 0 && our.length > 0) fits(our[0], their[0], `${path}[0]`)
  } else if (their !== null && typeof their === 'object') {
    for (const key of Object.keys(their)) {
      assert.ok(key in our, `${path} lacks ${key}`)
      fits(our[key], their[key], `${path}.${key}`)
    }
  } else if (their !== null && our !== null) assert.equal(typeof our, typeof their, path)
}

test('the names are those of the original', { skip }, () => {
  for (const [name, value] of Object.entries(ours)) if (!ADDED.includes(name)) assert.equal(typeof value, typeof theirs[name], name)
  assert.deepEqual(Object.keys(swarm).filter((name) => !ADDED_TO_SWARM.includes(name)).sort(), Object.keys(theirs.swarm).sort())
})

test('laid over the original, everything else stays', { skip }, () => {
  const both = Object.assign({ ...theirs }, ours)
  assert.equal(both.swarm, swarm)
  assert.equal(both.calculateSma, theirs.calculateSma)
  assert.deepEqual(Object.keys(both).filter((name) => !(name in theirs)).sort(), ADDED)
})

test('DTW: the same numbers, and those of our kernels', { skip }, () => {
  const random = generator(71)
  const history = walk(random, 2000)
  const pattern = walk(random, 40)
  for (const name of ['dtwDistanceRust', 'dtwDistanceRustOptimized']) {
    const our = ours[name](pattern, history.subarray(0, 60))
    assert.deepEqual(our, theirs[name](pattern, history.subarray(0, 60)), name)
    assert.equal(our.distance, dtwSync(pattern, history.subarray(0, 60)))
  }
  for (const name of ['dtwBatch', 'dtwBatchParallel', 'dtwBatchAdaptive']) {
    const our = ours[name](pattern, history, 40)
    assert.deepEqual(our, theirs[name](pattern, history, 40), name)
    assert.deepEqual(our, Array.from({ length: 50 }, (_, i) => dtwSync(pattern, history.subarray(i * 40, i * 40 + 40))))
  }
})

test('DTW: what ends the process there is an error here; NaN is not hidden', { skip }, () => {
  const call = "require('neural-trader').dtwBatchParallel(Float64Array.of(1, 2), Float64Array.of(1, 2), 0); console.log('lived')"
  const { status, signal, stdout } = spawnSync(process.execPath, ['-e', call], { cwd: new URL('../benches/peers/', import.meta.url), encoding: 'utf8' })
  assert.ok(signal === 'SIGABRT' || status === 134, `status ${status}, signal ${signal}`)
  assert.equal(stdout, '')
  throws(() => ours.dtwBatchParallel(Float64Array.of(1, 2), Float64Array.of(1, 2), 0), 'INVALID_ARGUMENT', 'patternLength')
  assert.ok(!Number.isFinite(theirs.dtwDistanceRust(Float64Array.of(1, NaN), Float64Array.of(1, 2)).distance))
  throws(() => ours.dtwDistanceRust(Float64Array.of(1, NaN), Float64Array.of(1, 2)), 'NON_FINITE', 'a[1] is NaN')
})

/** Closes of three symbols, the second made of the first. */
function market() {
  const random = generator(72)
  const [AAPL, noise, GOOGL] = [walk(random, 120), walk(random, 120), walk(random, 120)]
  return { AAPL, MSFT: AAPL.map((price, i) => price * noise[i]), GOOGL }
}

test('correlationAnalysis: one fixed matrix there, correlations here', { skip }, async () => {
  const fixed = {
    AAPL: { AAPL: 1, GOOGL: 0.78, MSFT: 0.82 }, GOOGL: { AAPL: 0.78, GOOGL: 1, MSFT: 0.73 }, MSFT: { AAPL: 0.82, GOOGL: 0.73, MSFT: 1 },
  }
  for (const symbols of [['AAPL', 'MSFT', 'GOOGL'], ['WHEAT'], []]) {
    const their = JSON.parse(await theirs.correlationAnalysis(symbols, 30, true))
    assert.deepEqual([their.correlation_matrix, their.gpu_accelerated], [fixed, true], `of ${symbols}`)
  }
  assert.deepEqual(JSON.parse(await theirs.crossAssetCorrelationMatrix(['AAPL', 'MSFT'], 30)).correlation_matrix, {})

  const closes = market()
  const symbols = Object.keys(closes)
  const their = JSON.parse(await theirs.correlationAnalysis(symbols, 90, true))
  const our = JSON.parse(await ours.correlationAnalysis(closes, 90, true))
  fits(our, their)
  assert.deepEqual([our.symbols, our.period_days, our.observations, our.gpu_accelerated], [their.symbols, 90, 89, false])
  assert.deepEqual(Object.keys(our).filter((key) => !(key in their)), ['observations'])
  fits(JSON.parse(await ours.crossAssetCorrelationMatrix(closes, 90)), JSON.parse(await theirs.crossAssetCorrelationMatrix(symbols, 90)))
})

test('correlationAnalysis: the numbers of our kernel, on closes that are passed or asked for', async (t) => {
  const closes = market()
  const symbols = Object.keys(closes)
  const returns = symbols.map((symbol) => closes[symbol].subarray(-90)).map((prices) => prices.subarray(1).map((price, i) => price / prices[i] - 1))
  const { size, data } = await correlationMatrix(returns, { method: 'pearson' })
  const expected = Object.fromEntries(symbols.map((row, i) => [row, Object.fromEntries(symbols.map((column, j) => [column, data[i * size + j]]))]))
  assert.notEqual(expected.AAPL.MSFT, expected.AAPL.GOOGL)
  t.after(() => ours.setMarketData(null))
  const asked = []
  ours.setMarketData(async (symbol, days) => { asked.push([symbol, days]); return Array.from(closes[symbol]) })
  for (const of of [closes, symbols]) {
    assert.deepEqual(JSON.parse(await ours.correlationAnalysis(of)).correlation_matrix, expected)
    assert.deepEqual(JSON.parse(await ours.crossAssetCorrelationMatrix(of, 90)).correlation_matrix, expected)
  }
  assert.deepEqual(asked, [...symbols, ...symbols].map((symbol) => [symbol, 90]))
  assert.equal(JSON.parse(await ours.correlationAnalysis(closes, 1000)).observations, 119)
  const hostile = JSON.parse(await ours.correlationAnalysis(JSON.parse('{ "__proto__": [1, 2, 3] }'))).correlation_matrix
  assert.deepEqual(Object.keys(hostile), ['__proto__'])
})

test('correlationAnalysis: without prices there is no number', async (t) => {
  t.after(() => ours.setMarketData(null))
  for (const call of [ours.correlationAnalysis, ours.crossAssetCorrelationMatrix]) {
    await rejects(() => call(['AAPL']), 'NOT_FOUND', 'no prices of AAPL', 'setMarketData')
    await rejects(() => call([]), 'INVALID_ARGUMENT', 'is empty')
    await rejects(() => call({}), 'INVALID_ARGUMENT', 'is empty')
    await rejects(() => call(['A', 'A']), 'INVALID_ARGUMENT', '"A" twice')
    await rejects(() => call([1]), 'INVALID_ARGUMENT', '[0] must be a string')
    for (const wrong of [undefined, null, 'AAPL', 7]) await rejects(() => call(wrong), 'INVALID_ARGUMENT', 'array of symbols')
    for (const days of [2, -5, 1.5, '90', NaN]) await rejects(() => call({ A: [1, 2, 3] }, days), 'INVALID_ARGUMENT', 'an integer >= 3')
    await rejects(() => call({ A: [1, 2, 3], B: [1, 2, 3, 4] }), 'LENGTH_MISMATCH', 'B has 4 closes and A 3')
    await rejects(() => call({ A: [1, 2] }), 'LENGTH_MISMATCH', 'the closes of A are 2')
    await rejects(() => call({ A: [] }), 'EMPTY_SERIES', 'the closes of A')
    await rejects(() => call({ A: 'text' }), 'INVALID_ARGUMENT', 'the closes of A')
    await rejects(() => call({ A: [1, 0, 3] }), 'INVALID_ARGUMENT', 'the closes of A[1] is 0')
    await rejects(() => call({ A: [1, NaN, 3] }), 'NON_FINITE', 'the closes of A[1] is NaN')
  }
  await rejects(() => ours.correlationAnalysis({ A: [1, 2, 3] }, 3, 'gpu'), 'INVALID_ARGUMENT', 'useGpu')
  throws(() => ours.setMarketData('url'), 'INVALID_ARGUMENT', 'source')
  ours.setMarketData(() => { throw new Error('the exchange is closed') })
  await assert.rejects(ours.correlationAnalysis(['AAPL']), { message: 'the exchange is closed' })
})

/** What a program written for neural-trader does with its swarm, and what it was told. */
async function drive(its, task) {
  const told = { before: await its.healthCheck(), id: await its.init({ topology: 'star', max_agents: 4, strategy: 'balanced', enable_reasoning: true }) }
  told.empty = await its.healthCheck()
  told.first = await its.spawnAgent({ agent_type: 'trader', name: 'momentum', capabilities: ['dtw'] })
  told.second = await its.spawnAgent({ agent_type: 'analyzer', name: 'pairs' })
  told.status = await its.getStatus()
  told.agents = await its.listAgents()
  told.healthy = await its.healthCheck()
  told.result = await its.orchestrateTask(task)
  told.scaled = await its.scale(4)
  told.stopped = await its.stopAgent(told.first)
  told.left = (await its.listAgents()).length
  told.stranger = await its.stopAgent('nobody')
  told.destroyed = await its.destroy()
  return told
}

test('swarm: a program for the original runs on ours, and is told what is so', { skip, timeout: 60_000 }, async () => {
  const [a, b] = [Float64Array.of(1, 2, 3, 5), Float64Array.of(1, 3, 5)]
  const task = { task_type: 'dtw', description: 'compare two series', priority: 'high', strategy: 'parallel' }
  const their = await drive(theirs.swarm, task)
  const our = await drive(swarm, { ...task, payload: { a, b } })
  fits(our, their)
  assert.deepEqual(shapeOf({ ...our, status: null, result: null }), shapeOf({ ...their, status: null, result: null }))
  for (const key of ['before', 'empty', 'healthy', 'destroyed', 'stopped']) assert.equal(our[key], their[key], key)
  assert.deepEqual(our.agents.map(({ agentId, ...rest }) => rest), their.agents.map(({ agentId, ...rest }) => rest))

  // A sentence there, whatever was asked; the distance here.
  assert.equal(their.result.result, "Task 'compare two series' completed using parallel strategy")
  assert.deepEqual([our.result.value, our.result.result], [dtwSync(a, b), String(dtwSync(a, b))])
  assert.ok(our.agents.some(({ agentId }) => agentId === our.result.agentsUsed[0]))
  // Nothing is scaled there, and whoever is stopped there was.
  assert.deepEqual([their.scaled, their.left, their.stranger], [2, 1, true])
  assert.deepEqual([our.scaled, our.left, our.stranger], [4, 3, false])
})

test('swarm: there a task of any kind is completed, without an agent too', { skip }, async () => {
  await theirs.swarm.createMeshSwarm(2)
  const { status, agentsUsed, result } = await theirs.swarm.orchestrateTask({ task_type: 'nonsense', description: 'x' })
  assert.deepEqual([status, agentsUsed, result], ['completed', [], "Task 'x' completed using adaptive strategy"])
  for (let i = 0; i < 5; i++) await theirs.swarm.spawnAgent({ agent_type: 'trader', name: `${i}` })
  assert.equal((await theirs.swarm.getStatus()).agentCount, 5, 'of at most 2')
  await theirs.swarm.destroy()
})

test('swarm: tasks are run by agents, with handlers of the user', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  await swarm.createMeshSwarm(3)
  const ids = [await swarm.spawnAgent({ agent_type: 'trader', name: 'a' })]
  await rejects(() => swarm.orchestrateTask({ task_type: 'backtest', description: 'x' }), 'NO_AGENT', "swarm.handle('backtest'")
  const seen = []
  swarm.handle('backtest', async (payload, { taskId }) => { seen.push(payload); return typeof taskId === 'string' && payload.days ? payload.days * 2 : payload.description })
  // While this one connects, a handler is given.
  const second = swarm.spawnAgent({ agent_type: 'trader', name: 'b' })
  swarm.handle('late', () => 'here')
  ids.push(await second)
  for (const { value } of await Promise.all(ids.map(() => swarm.orchestrateTask({ task_type: 'late', description: 'x' })))) assert.equal(value, 'here')
  const told = await swarm.orchestrateTask({ task_type: 'backtest', description: 'the whole of it' })
  assert.deepEqual(seen, [{ task_type: 'backtest', description: 'the whole of it' }])
  assert.deepEqual([told.result, told.value, told.status], ['the whole of it', 'the whole of it', 'completed'])
  for (const strategy of ['parallel', 'sequential', 'adaptive']) {
    seen.length = 0
    const days = Array.from({ length: 40 }, (_, i) => i + 1)
    const { value, result, agentsUsed } = await swarm.orchestrateTask({ task_type: 'backtest', description: strategy, strategy, payloads: days.map((n) => ({ days: n })) })
    assert.deepEqual(value, days.map((n) => 2 * n))
    assert.equal(result, JSON.stringify(value))
    assert.ok(agentsUsed.length >= 1 && agentsUsed.every((id) => ids.includes(id)))
    if (strategy === 'sequential') assert.deepEqual(seen.map(({ days: n }) => n), days)
  }
  assert.equal((await swarm.listAgents()).reduce((sum, { tasksCompleted }) => sum + tasksCompleted, 0), 123)
  const lcs = await swarm.orchestrateTask({ task_type: 'lcs', description: 'built in', payload: { a: 'ABCBDAB', b: 'BDCABA' } })
  assert.equal(lcs.value, lcsSync('ABCBDAB', 'BDCABA'))
  assert.equal((await swarm.orchestrateTask({ task_type: 'dtw.matrix', description: 'x', payload: { series: [[1, 2], [2, 4]] } })).result, '{"size":2,"data":[0,3,3,0]}')

  swarm.handle('backtest', () => { throw Object.assign(new Error('no data'), { retryable: false }) })
  await rejects(() => swarm.orchestrateTask({ task_type: 'backtest', description: 'x' }), 'TASK_FAILED', 'no data')
  await rejects(() => swarm.orchestrateTask({ task_type: 'dtw', description: 'x', payload: { a: [1] } }), 'TASK_FAILED', 'payload.b')
  swarm.handle('backtest', () => new Promise(() => {}))
  await rejects(() => swarm.orchestrateTask({ task_type: 'backtest', description: 'x', timeout_ms: 100 }), 'TIMEOUT')
})

test('swarm: who gets a task follows from its strategy', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  const task = { task_type: 'lcs', description: 'x', payload: { a: 'a', b: 'a' } }
  const users = async (config) => {
    await swarm.init({ topology: 'star', ...config })
    await swarm.spawnAgent({ agent_type: 'any', name: 'any' })
    const only = await swarm.spawnAgent({ agent_type: 'lcs', name: 'lcs', capabilities: ['lcs'] })
    const { agentsUsed } = await swarm.orchestrateTask({ ...task, payload: undefined, payloads: Array(20).fill(task.payload), strategy: 'sequential' })
    const other = await swarm.orchestrateTask({ task_type: 'dtw', description: 'x', payload: { a: [1], b: [2] } }).catch((error) => error)
    await swarm.destroy()
    return { special: agentsUsed.every((id) => id === only), other }
  }
  const specialized = await users({ strategy: 'specialized' })
  assert.ok(specialized.special)
  coded('NO_AGENT', "no agent has the capability 'dtw'")(specialized.other)
  const adaptive = await users({ strategy: 'adaptive' })
  assert.ok(adaptive.special)
  assert.equal(adaptive.other.value, 1)
  assert.equal((await users({ strategy: 'balanced' })).other.value, 1)
})

test('swarm: limits, names and states', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  const agent = { agent_type: 'trader', name: 'a' }
  const task = { task_type: 'dtw', description: 'x' }
  for (const call of [() => swarm.getStatus(), () => swarm.listAgents(), () => swarm.spawnAgent(agent), () => swarm.orchestrateTask(task), () => swarm.stopAgent('a'), () => swarm.scale(1)]) {
    await rejects(call, 'CLOSED', 'Swarm not initialized')
  }
  await rejects(() => swarm.destroy(), 'CLOSED', 'No swarm to destroy')
  throws(() => swarm.coordinator(), 'CLOSED', 'Swarm not initialized')
  assert.equal(await swarm.healthCheck(), 'not_initialized')

  await rejects(() => swarm.init(), 'INVALID_ARGUMENT', 'config must be an object')
  await rejects(() => swarm.init({}), 'INVALID_ARGUMENT', 'topology must be one of: mesh, hierarchical, ring, star')
  await rejects(() => swarm.init({ topology: 'tree' }), 'INVALID_ARGUMENT', '"tree"')
  await rejects(() => swarm.init({ topology: 'star', strategy: 'best' }), 'INVALID_ARGUMENT', 'strategy')
  await rejects(() => swarm.init({ topology: 'star', max_agents: 0 }), 'INVALID_ARGUMENT', 'max_agents')
  await rejects(() => swarm.init({ topology: 'star', maxAgents: 3 }), 'INVALID_ARGUMENT', 'maxAgents')
  await rejects(() => swarm.init({ topology: 'star', coordinator: { listen: 'nowhere' } }), 'INVALID_ARGUMENT', 'listen')

  const [first, second] = await Promise.allSettled([swarm.init({ topology: 'ring', max_agents: 2 }), swarm.init({ topology: 'star' })])
  assert.match(first.value, /^[0-9a-f-]{36}$/)
  coded('INVALID_ARGUMENT', 'Swarm already initialized')(second.reason)
  const { topology, requestedTopology, agentCount, swarmId } = await swarm.getStatus()
  assert.deepEqual([topology, requestedTopology, agentCount, swarmId], ['star', 'ring', 0, first.value])
  await rejects(() => swarm.orchestrateTask(task), 'NO_AGENT', 'the swarm has no agents')

  for (const wrong of [undefined, null, 'a', { name: 'a' }, { agent_type: 'a' }, { ...agent, capabilities: 'dtw' }, { ...agent, name: '' }]) {
    await rejects(() => swarm.spawnAgent(wrong), 'INVALID_ARGUMENT')
  }
  // More at once than there is room for.
  const spawned = await Promise.allSettled([1, 2, 3].map(() => swarm.spawnAgent(agent)))
  assert.deepEqual(spawned.map(({ status }) => status), ['fulfilled', 'fulfilled', 'rejected'])
  coded('OVERLOADED', 'max_agents: 2')(spawned[2].reason)
  await rejects(() => swarm.scale(50), 'OVERLOADED', 'targetAgents is 50')
  for (const wrong of [-1, 1.5, '2', NaN, undefined]) await rejects(() => swarm.scale(wrong), 'INVALID_ARGUMENT', 'targetAgents')
  assert.equal(await swarm.scale(0), 0)
  assert.equal(await swarm.scale(2), 2)
  assert.deepEqual((await swarm.listAgents()).map(({ agentType, name }) => [agentType, name]), [['worker', 'worker-1'], ['worker', 'worker-2']])

  for (const wrong of [undefined, {}, { description: 'x' }, { task_type: 'dtw' }, { ...task, priority: 'urgent' }, { ...task, strategy: 'best' }, { ...task, payloads: [] },
    { ...task, payload: 1, payloads: [1] }, { ...task, timeout_ms: 0 }, { ...task, description: '' }, { ...task, payload: NaN }]) await rejects(() => swarm.orchestrateTask(wrong), 'INVALID_ARGUMENT')
  for (const wrong of [undefined, '', 7]) await rejects(() => swarm.stopAgent(wrong), 'INVALID_ARGUMENT', 'agentId')
  throws(() => swarm.handle('dtw', () => 1), 'INVALID_ARGUMENT', 'built in')
  throws(() => swarm.handle('mine', 1), 'INVALID_ARGUMENT', 'handler')
})

test('swarm: what is under way when it is destroyed is told so', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  await swarm.createStarSwarm()
  await swarm.spawnAgent({ agent_type: 'trader', name: 'a' })
  swarm.handle('endless', (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)))
  const waiting = [swarm.orchestrateTask({ task_type: 'endless', description: 'x' }), swarm.spawnAgent({ agent_type: 'trader', name: 'b' })].map((promise) => promise.catch((error) => error))
  assert.equal(await swarm.destroy(), true)
  for (const error of await Promise.all(waiting)) coded('CLOSED')(error)
})

test('swarm: an agent of another process joins, and is one of the swarm', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  await swarm.init({ topology: 'star', coordinator: { listen: '127.0.0.1:0' } })
  const { address } = swarm.coordinator()
  const identity = await swarm.coordinator().developmentIdentity('elsewhere')
  const p = program(`
    const agent = await m.Agent.connect({ address: ${JSON.stringify(address)}, identity: ${JSON.stringify(identity)}, handlers: { pid: () => process.pid } })
    process.stdin.on('end', () => agent.close()).resume()
    console.log(JSON.stringify(process.pid))`)
  const pid = await p.line()
  await until(async () => (await swarm.listAgents()).length === 1)
  const { value, agentsUsed } = await swarm.orchestrateTask({ task_type: 'pid', description: 'who are you' })
  assert.deepEqual([value, agentsUsed], [pid, ['elsewhere']])
  assert.equal(await swarm.stopAgent('elsewhere'), false, 'not ours to stop')
  assert.equal(await swarm.scale(0), 1)
  p.child.stdin.end()
  await p.ended
  await until(async () => (await swarm.listAgents()).length === 0)
})

test('swarm: with an authority and a directory of its own', { timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midstreamer-trader-'))
  t.after(async () => {
    await destroy()
    rmSync(folder, { recursive: true })
  })
  const authority = await CertificateAuthority.open(join(folder, 'authority'))
  const id = await swarm.init({ topology: 'star', coordinator: { authority, dataDir: join(folder, 'tasks') } })
  const agent = await swarm.spawnAgent({ agent_type: 'trader', name: 'a' })
  assert.equal((await swarm.orchestrateTask({ task_type: 'lcs', description: 'x', payload: { a: 'ab', b: 'b' } })).value, 1)
  assert.ok((await authority.list()).some((member) => member.id === agent), 'it is in the register')
  assert.equal(JSON.parse(await ours.shutdownSwarm(id)).state_saved, true)

  const identity = await authority.issue({ id: 'coordinator', role: 'coordinator' })
  await swarm.init({ topology: 'star', coordinator: { identity } })
  await rejects(() => swarm.spawnAgent({ agent_type: 'trader', name: 'a' }), 'FORBIDDEN')
})

test('swarm: it does not keep the process, and what was asked of it does', async () => {
  const p = program(`
    const { swarm } = await import('@neural-trader/midstreamer/neural-trader')
    await swarm.createStarSwarm()
    await swarm.spawnAgent({ agent_type: 'a', name: 'a' })
    swarm.handle('slow', () => new Promise((resolve) => setTimeout(resolve, 100, 'done').unref()))
    console.log(JSON.stringify((await swarm.orchestrateTask({ task_type: 'slow', description: 'x' })).result))
    await swarm.destroy()
    await swarm.createStarSwarm()
    await swarm.spawnAgent({ agent_type: 'a', name: 'a' })`)
  assert.equal(await p.line(), 'done')
  assert.deepEqual(await p.ended, { code: 0, signal: null, errors: '' })
})

test('dashboards: three invented agents there, the real ones here; what nobody knows is null', { skip, timeout: 60_000 }, async (t) => {
  t.after(destroy)
  const id = await swarm.createStarSwarm(4)
  const agents = [await swarm.spawnAgent({ agent_type: 'trader', name: 'a' }), await swarm.spawnAgent({ agent_type: 'trader', name: 'b' })]
  await swarm.orchestrateTask({ task_type: 'lcs', description: 'x', payload: { a: 'a', b: 'a' } })
  await swarm.orchestrateTask({ task_type: 'lcs', description: 'x', payload: {} }).catch(() => {})
  const both = async (name, ...args) => {
    const [their, our] = [JSON.parse(await theirs[name]('anything', ...args)), JSON.parse(await ours[name](id, ...args))]
    fits(our, their, name)
    return { their, our }
  }

  const status = await both('getSwarmStatus')
  assert.deepEqual(status.their.agents.map(({ agent_id, pnl }) => [agent_id, pnl]), [['agent_001', 1250.5], ['agent_002', 980.25], ['agent_003', 450.75]])
  assert.deepEqual(status.our.agents.map(({ agent_id, pnl, trades }) => [agent_id, pnl, trades]), agents.map((agent) => [agent, null, null]))
  assert.deepEqual([status.our.agent_count, status.our.total_trades, status.our.metrics.total_pnl], [2, null, null])
  assert.deepEqual([status.our.metrics.success_rate, status.our.metrics.error_rate], [0.5, 0.5])

  const metrics = await both('getSwarmMetrics', '24h')
  assert.equal(metrics.their.metrics.total_pnl, 2681.5)
  assert.deepEqual([metrics.our.time_range, metrics.our.metrics.total_pnl, metrics.our.metrics.success_rate], ['since_start', null, 0.5])
  assert.ok(metrics.our.metrics.latency_ms > 0 && metrics.our.metrics.throughput_tps > 0)

  const health = await both('monitorSwarmHealth', 5)
  assert.deepEqual(health.our.agent_health.map(({ agent_id }) => agent_id), agents)
  assert.deepEqual([health.our.health_status, health.our.alerts, health.our.interval], ['healthy', [], 5])

  const scaled = await both('scaleSwarm', 4, 'immediate', false)
  assert.deepEqual([scaled.their.current_agents, scaled.their.target_agents], [3, 4])
  assert.match(scaled.their.message, /mock implementation/)
  assert.deepEqual([scaled.our.previous_agents, scaled.our.current_agents], [2, 4])

  assert.match(JSON.parse(await theirs.executeSwarmStrategy('anything', 'momentum')).message, /mock implementation/)
  assert.equal(JSON.parse(await theirs.executeSwarmStrategy('anything', 'momentum')).total_pnl, 450.75)
  await rejects(() => ours.executeSwarmStrategy(id, 'momentum'), 'INVALID_ARGUMENT', 'trades nothing', 'swarm.handle("momentum"')

  const shut = await both('shutdownSwarm', 1)
  assert.equal(shut.their.final_metrics.total_pnl, 2681.5)
  assert.deepEqual([shut.our.agents_stopped, shut.our.force, shut.our.state_saved, shut.our.final_metrics.total_pnl], [4, false, false, null])
  await rejects(() => swarm.getStatus(), 'CLOSED')
})

test('dashboards: another swarm, and bad arguments', { timeout: 60_000 }, async (t) => {
  t.after(destroy)
  const calls = [ours.getSwarmStatus, ours.getSwarmMetrics, ours.monitorSwarmHealth, ours.scaleSwarm, ours.shutdownSwarm, ours.executeSwarmStrategy]
  for (const call of calls) await rejects(() => call('a', 1), 'CLOSED', 'Swarm not initialized')
  const id = await swarm.createStarSwarm(1)
  for (const call of calls) {
    await rejects(() => call('another', 1), 'NOT_FOUND', id)
    for (const wrong of [undefined, '', 7]) await rejects(() => call(wrong, 1), 'INVALID_ARGUMENT', 'swarmId')
  }
  for (const [name, ...args] of [['getSwarmMetrics', 5], ['getSwarmMetrics', '24h', null, 5], ['monitorSwarmHealth', -1], ['monitorSwarmHealth', 'often'], ['scaleSwarm', -5], ['scaleSwarm', 1, 7],
    ['scaleSwarm', 1, 'gradual', 'yes'], ['shutdownSwarm', -1], ['shutdownSwarm', 'now']]) await rejects(() => ours[name](id, ...args), 'INVALID_ARGUMENT')
  // Nothing is rated before anything has ended, and no one is healthy where no one is.
  const { metrics } = JSON.parse(await ours.getSwarmStatus(id))
  assert.deepEqual(metrics, { avg_latency_ms: null, success_rate: null, error_rate: null, total_pnl: null })
  assert.deepEqual(JSON.parse(await ours.monitorSwarmHealth(id)).alerts, ['warning: no agents'])

  await swarm.scale(1)
  swarm.handle('endless', (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)))
  const task = swarm.orchestrateTask({ task_type: 'endless', description: 'x' }).catch((error) => error)
  await until(() => swarm.coordinator().stats().running === 1)
  assert.equal(JSON.parse(await ours.shutdownSwarm(id, 0)).force, true)
  coded('CLOSED')(await task)
})

test('midstreamer: the window changes nothing, and its QUIC is none', () => {
  const { TemporalCompare, QuicMultistream } = loadPeer('midstreamer')
  const random = generator(73)
  const [a, b] = [walk(random, 30), walk(random, 30)]
  const distances = [undefined, 1, 3, 10].map((window) => new TemporalCompare(window).dtw(a, b))
  assert.deepEqual(distances, distances.map(() => new ours.TemporalCompare(3).dtw(a, b)))
  assert.notEqual(dtwSync(a, b, { window: 1 }), distances[0])
  const quic = new QuicMultistream()
  const stream = quic.open_stream(1)
  assert.equal(quic.send(stream, Uint8Array.of(1, 2, 3)), 3)
  assert.deepEqual(quic.receive(stream, 8), new Uint8Array(8))
  quic.free()
})

test('the programs of docs/neural-trader.md run', () => {
  const programs = [...readFileSync(new URL('../docs/neural-trader.md', import.meta.url), 'utf8').matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1])
  assert.equal(programs.length, 2)
  for (const text of programs) {
    const { status, stderr } = spawnSync(process.execPath, ['-e', text], { cwd: new URL('..', import.meta.url), encoding: 'utf8' })
    assert.deepEqual([status, stderr], [0, ''], text)
  }
})
