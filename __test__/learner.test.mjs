// PatternLearner: matches, outcomes, and what is kept of them.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import os from 'node:os'
import path from 'node:path'
import { PatternLearner, PatternLibrary, Coordinator, Agent } from '../index.mjs'
import { until } from './support/swarm.mjs'

const DAY = 86_400_000
const SPX = { symbol: 'SPX', timeframe: '1d' }

async function temporary(t) {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'learner-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Up and down, each with its outcome. */
function library(count = 20) {
  const library = new PatternLibrary({ length: 8, normalize: 'zscore' })
  library.add(Array.from({ length: count }, (_, i) => {
    const up = i % 2 === 0
    const values = Float64Array.from({ length: 8 }, (_, k) => (up ? k : -k) + 0.3 * Math.sin(i * 7 + k))
    return { id: `p${i}`, values, meta: { endsAt: i * DAY, outcome: up ? 0.01 : -0.01, outcomeAt: (i + 1) * DAY, patternType: up ? 'rise' : 'fall' } }
  }))
  return library
}

const RISE = Float64Array.from({ length: 8 }, (_, k) => k)
const rejects = (promise, code, pattern = /./) => assert.rejects(promise, (error) => {
  assert.equal(error.name, 'MidstreamerError')
  assert.equal(error.code, code, error.message)
  assert.match(error.message, pattern)
  return true
})
const experience = (at, predicted = 0.01, more = {}) => ({ patternType: 'flag', values: RISE, similarity: 0.9, confidence: 0.6, predicted, context: SPX, at, ...more })

test('a match predicts with what was known, and its outcome is judged', async () => {
  const learner = await PatternLearner.open({ library: library(), costBps: 5 })
  const found = await learner.match(RISE, { ...SPX, at: 10 * DAY })
  assert.equal(found.patternType, 'rise')
  assert.ok(found.matches.every(({ meta }) => meta.endsAt <= 10 * DAY && meta.outcomeAt <= 10 * DAY))
  assert.equal(found.matches.length, 10)
  assert.equal(found.signal, null)
  assert.ok(found.similarity === found.matches[0].similarity && found.confidence > 0.5 && found.predicted > 0)
  const weight = found.matches.reduce((sum, { similarity }) => sum + similarity, 0)
  const mean = found.matches.reduce((sum, { similarity, meta }) => sum + similarity * meta.outcome, 0) / weight
  assert.ok(Math.abs(found.predicted - mean) < 1e-15)
  const verdict = await learner.resolve(found.experienceId, 0.02, 12 * DAY)
  assert.equal(verdict.directionCorrect, true)
  assert.ok(Math.abs(verdict.netReturn - 0.0195) < 1e-15)
  assert.ok(Math.abs(verdict.magnitudeError - (0.02 - mean) / 0.02) < 1e-12)
  assert.ok(Math.abs(verdict.quality - (0.5 + 0.5 * (1 - verdict.magnitudeError))) < 1e-15)
  assert.deepEqual(learner.thresholds('rise'), { similarity: 0, confidence: 0, samples: 1 })
  assert.equal((await learner.trajectory('rise')).samples, 1)
  const before = await learner.match(RISE, { ...SPX, at: -1 })
  assert.equal(before.matches.length, 0)
  assert.match(before.reason, /no pattern/)
  await learner.close()
  await rejects(learner.match(RISE, { ...SPX, at: 0 }), 'CLOSED')
  await learner.close()
})

test('outcomes come once, twice, differently, unknown, or never', async () => {
  const learner = await PatternLearner.open({ library: library() })
  const id = await learner.record(experience(1000, 0.01, { horizonEndsAt: 2000 }))
  const first = await learner.resolve(id, -0.03)
  assert.deepEqual(await learner.resolve(id, -0.03), first)
  await rejects(learner.resolve(id, 0.03), 'IDEMPOTENCY_MISMATCH', /-0\.03 already, 0\.03/)
  await rejects(learner.resolve('nobody', 0.03), 'NOT_FOUND', /nobody/)
  await rejects(learner.resolve(`${'0'.repeat(32)}-1`, 0.03), 'NOT_FOUND')
  const late = await learner.record(experience(1000))
  await rejects(learner.resolve(late, 0.03, 1000), 'INVALID_ARGUMENT', /after its match/)
  const atOnce = await learner.record(experience(Date.now()))
  assert.equal((await learner.resolve(atOnce, 0.01)).directionCorrect, true)
  await learner.record(experience(3000, 0.01, { horizonEndsAt: 4000 }))
  const { samples, expired } = await learner.trajectory('flag')
  assert.deepEqual({ samples, expired }, { samples: 2, expired: 1 })
  const both = await Promise.allSettled([learner.resolve(late, 0.5, 9000), learner.resolve(late, 0.6, 9000)])
  assert.deepEqual(both.map(({ status }) => status), ['fulfilled', 'rejected'])
  await learner.close()
})

test('arguments are checked and named', async () => {
  const own = library()
  for (const [options, pattern] of [
    [undefined, /library is required/], [{ library: {} }, /library must be a PatternLibrary/], [{ library: own, alpha: 1 }, /alpha/], [{ library: own, policy: 'hope' }, /policy/],
    [{ library: own, costBps: -1 }, /costBps/], [{ library: own, halfLife: 0 }, /halfLife/], [{ library: own, minSamples: 1.5 }, /minSamples/], [{ library: own, dataDir: '' }, /dataDir/],
    [{ library: own, similarityThreshold: 2 }, /similarityThreshold/], [{ library: own, periodsPerYear: 0 }, /periodsPerYear/], [{ library: own, neighbours: 3 }, /neighbors/],
  ]) await rejects(PatternLearner.open(options), 'INVALID_ARGUMENT', pattern)
  const learner = await PatternLearner.open({ library: own })
  for (const [field, value] of [['patternType', ''], ['similarity', 1.1], ['confidence', NaN], ['predicted', Infinity], ['at', '1'], ['horizonEndsAt', 1], ['taken', 1], ['context', null], ['context', { symbol: 'X' }], ['context', { ...SPX, volatility: -1 }]]) {
    await rejects(learner.record({ ...experience(1000), [field]: value }), 'INVALID_ARGUMENT', new RegExp(`experience\\.${field}`))
  }
  await rejects(learner.record({ ...experience(0), values: [1, NaN] }), 'NON_FINITE', /experience\.values\[1\]/)
  await rejects(learner.match(RISE, SPX), 'INVALID_ARGUMENT', /context\.at/)
  await rejects(learner.match([1, 2], { ...SPX, at: 0 }), 'LENGTH_MISMATCH')
  await rejects(learner.resolve(1, 0), 'INVALID_ARGUMENT', /experienceId/)
  await rejects(learner.resolve('x', NaN), 'INVALID_ARGUMENT', /actualReturn/)
  await rejects(learner.attach({}), 'INVALID_ARGUMENT', /agent/)
  await rejects(learner.exportTo({}), 'INVALID_ARGUMENT', /db/)
  await rejects(learner.report(''), 'INVALID_ARGUMENT', /path/)
  assert.throws(() => learner.thresholds(7), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => new PatternLearner(), { code: 'INVALID_ARGUMENT' })
  await learner.close()
})

test('what is kept is there after a restart, with the same conclusions', async (t) => {
  const dataDir = await temporary(t)
  let learner = await PatternLearner.open({ library: library(), dataDir })
  await rejects(PatternLearner.open({ library: library(), dataDir }), 'STORE', /in use/)
  const ids = await Promise.all(Array.from({ length: 300 }, (_, i) => learner.record(experience(i * 10, i % 3 ? 0.01 : -0.01))))
  assert.equal(new Set(ids).size, 300)
  await Promise.all(ids.slice(0, 200).map((id, i) => learner.resolve(id, i % 5 ? 0.02 : -0.02, i * 10 + 5)))
  const before = await learner.trajectory('flag')
  await learner.close()
  learner = await PatternLearner.open({ library: library(), dataDir })
  assert.deepEqual(await learner.trajectory('flag'), before)
  await learner.resolve(ids[250], 0.02, 2505)
  assert.equal(learner.thresholds('flag').samples, 201)
  await learner.close()
  await writeFile(path.join(dataDir, 'experiences.redb'), 'no database')
  await rejects(PatternLearner.open({ library: library(), dataDir }), 'CORRUPT')
})

test('nothing that was acknowledged is lost by kill -9', async (t) => {
  const dataDir = await temporary(t)
  const program = `
    const { PatternLearner, PatternLibrary } = require(${JSON.stringify(path.resolve('index.js'))})
    const library = new PatternLibrary({ length: 2 })
    PatternLearner.open({ library, dataDir: ${JSON.stringify(dataDir)} }).then(async (learner) => {
      const one = async (n) => {
        const id = await learner.record({ patternType: 'flag', values: [n, 1], similarity: 0.9, confidence: 0.6, predicted: 0.01, context: { symbol: 'X', timeframe: '1d' }, at: n })
        process.stdout.write('record ' + id + '\\n')
        await learner.resolve(id, n % 2 ? 0.02 : -0.02, n + 1)
        process.stdout.write('resolve ' + id + '\\n')
      }
      for (let n = 1; ; n += 4) await Promise.all([one(n), one(n + 1), one(n + 2), one(n + 3)])
    })`
  const recorded = new Set(), resolved = new Set()
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    child.stdout.on('data', (data) => {
      printed += data
      if (printed.length > 3000 * (round + 1)) child.kill('SIGKILL')
    })
    await once(child, 'close')
    for (const line of printed.split('\n').slice(0, -1)) {
      const [what, id] = line.split(' ')
      ;(what === 'record' ? recorded : resolved).add(id)
    }
    const learner = await PatternLearner.open({ library: new PatternLibrary({ length: 2 }), dataDir })
    const { samples } = learner.thresholds('flag')
    assert.ok(samples >= resolved.size, `${samples} of ${resolved.size}`)
    for (const id of resolved) {
      // The other outcome: only one that is known can be contradicted.
      await rejects(learner.resolve(id, 0.5), 'IDEMPOTENCY_MISMATCH')
    }
    await learner.close()
  }
  assert.ok(recorded.size >= resolved.size && resolved.size > 10)
})

test('later bars change nothing', async () => {
  const assess = async (shuffle) => {
    const own = library(12)
    const later = Array.from({ length: 6 }, (_, i) => ({ id: `later${i}`, values: RISE.map((x) => x * (shuffle ? -1 : 1) + Math.cos(i + x)), meta: { endsAt: (20 + i) * DAY, outcome: shuffle ? -9 : 9, outcomeAt: (21 + i) * DAY } }))
    own.add(later)
    own.add({ id: 'open', values: RISE, meta: { endsAt: DAY, outcome: shuffle ? -5 : 5, outcomeAt: 30 * DAY } })
    const learner = await PatternLearner.open({ library: own, policy: 'utility', minSamples: 1 })
    for (let i = 0; i < 60; i++) {
      const id = await learner.record(experience(i * DAY, 0.01, { patternType: 'rise' }))
      await learner.resolve(id, i < 14 ? 0.02 : shuffle ? -0.5 : 0.5, (i + 0.5) * DAY)
    }
    const { experienceId, ...found } = await learner.match(RISE, { ...SPX, at: 14 * DAY, patternType: 'rise' })
    await learner.close()
    return found
  }
  const [one, other] = [await assess(false), await assess(true)]
  assert.deepEqual(one, other)
  assert.equal(one.signal?.direction, 'long')
})

test('learners that have met agree, and a new one catches up', async (t) => {
  const coordinator = await Coordinator.start({ listen: '127.0.0.1:0' })
  t.after(() => coordinator.close())
  const member = async (id) => {
    const agent = await Agent.connect({ address: coordinator.address, identity: await coordinator.developmentIdentity(id) })
    const learner = await PatternLearner.open({ library: library() })
    t.after(async () => { await learner.close(); await agent.close() })
    return { agent, learner }
  }
  const [a, b] = [await member('a'), await member('b')]
  for (const [i, { learner }] of [a, b].entries()) {
    for (let n = 0; n < 40; n++) {
      const id = await learner.record(experience(n * 10 + i, n % 3 ? 0.01 : -0.01))
      if (n % 4) await learner.resolve(id, 0.001 * (n % 7) - 0.002, n * 10 + 50)
    }
  }
  await a.learner.attach(a.agent)
  await b.learner.attach(b.agent)
  const agree = async (learners, samples) => {
    for (let tries = 0; learners.some((learner) => learner.thresholds('flag').samples < samples); tries++) {
      assert.ok(tries < 1000, 'they do not agree')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const [first, ...rest] = await Promise.all(learners.map((learner) => learner.trajectory('flag')))
    for (const other of rest) assert.deepEqual(other, first)
  }
  await agree([a.learner, b.learner], 60)
  const id = await a.learner.record(experience(5000))
  await a.learner.resolve(id, 0.03, 5001)
  const c = await member('c')
  await c.learner.attach(c.agent)
  await agree([a.learner, b.learner, c.learner], 61)
})

test('news travel in a handful of messages however many learners there are, also in small ones', async (t) => {
  const coordinator = await Coordinator.start({ listen: '127.0.0.1:0', maxMessageBytes: 4096 })
  t.after(() => coordinator.close())
  let said = 0
  const learners = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const agent = await Agent.connect({ address: coordinator.address, identity: await coordinator.developmentIdentity(`n${i}`) })
    const { publish } = agent
    agent.publish = (...args) => { said += 1; return publish.apply(agent, args) }
    const learner = await PatternLearner.open({ library: library() })
    t.after(async () => { await learner.close(); await agent.close() })
    await learner.attach(agent)
    return learner
  }))
  const agree = (samples) => until(() => learners.every((learner) => learner.thresholds('flag').samples >= samples))
  said = 0
  // All of them have something new at the same time, as at the close of a bar.
  await Promise.all(learners.map(async (learner, i) => learner.resolve(await learner.record(experience(i * 10)), 0.01, i * 10 + 5)))
  await agree(8)
  assert.ok(said < 400, `${said} messages`)
  // More than a message holds.
  for (let n = 10; n < 40; n++) await learners[0].resolve(await learners[0].record(experience(n * 10)), 0.01, n * 10 + 5)
  await agree(38)
})

test('figures as of an instant: what was known and expired then', async (t) => {
  const learner = await PatternLearner.open({ library: library() })
  t.after(() => learner.close())
  for (let day = 0; day < 4; day++) {
    const id = await learner.record(experience(day * DAY, 0.01, { horizonEndsAt: (day + 0.5) * DAY }))
    if (day % 2 === 0) await learner.resolve(id, 0.02, (day + 0.5) * DAY)
  }
  const figures = async (options) => {
    const { samples, expired } = await learner.trajectory('flag', options)
    return [samples, expired]
  }
  // The clock is far behind all of them.
  assert.deepEqual(await figures(), [2, 2])
  assert.deepEqual(await figures({ asOf: DAY }), [1, 0])
  // A day of grace after the horizon of the second.
  assert.deepEqual(await figures({ asOf: 2.6 * DAY }), [2, 1])
  assert.deepEqual(await figures({ asOf: -1 }), [0, 0])
  await rejects(learner.trajectory('flag', { asOf: NaN }), 'INVALID_ARGUMENT', /asOf/)
  await rejects(learner.trajectory('flag', { at: 1 }), 'INVALID_ARGUMENT', /trajectory/)
})

test('what is no finite number is no outcome, and shapes fit the library', async (t) => {
  const odd = library(0)
  for (const [i, outcome] of [0.02, null, '', false, '0.02', [], undefined].entries()) {
    odd.add([{ id: `o${i}`, values: RISE.map((x) => x + i / 10), meta: { endsAt: 0, outcomeAt: DAY, ...(outcome === undefined ? {} : { outcome }) } }])
  }
  const learner = await PatternLearner.open({ library: odd })
  t.after(() => learner.close())
  const { matches, predicted } = await learner.match(RISE, { ...SPX, at: 2 * DAY })
  assert.deepEqual([matches.length, predicted], [1, 0.02])
  await rejects(learner.record(experience(3 * DAY, 0.01, { values: [1, 2, 3] })), 'LENGTH_MISMATCH', /experience\.values/)
})

test('a coordinator judges, pushes what follows, and keeps it for those who come late', async (t) => {
  const coordinator = await Coordinator.start({ listen: '127.0.0.1:0' })
  t.after(() => coordinator.close())
  const connect = async (id) => {
    const agent = await Agent.connect({ address: coordinator.address, identity: await coordinator.developmentIdentity(id) })
    const told = []
    agent.on('adapt', (detail) => told.push(detail))
    t.after(() => agent.close())
    return { agent, told }
  }
  const learners = await Promise.all([1, 2, 3].map(() => PatternLearner.open({ library: library() })))
  t.after(() => Promise.all(learners.map((learner) => learner.close())))
  const [central, taught, late] = learners
  await central.attach(coordinator)
  const first = await connect('first')
  const watcher = await connect('watcher')
  await taught.attach(first.agent)
  const similar = await taught.record(experience(1000, 0.01, { similarity: 0.9 }))
  const verdict = await taught.resolve(similar, 0.008, 2000)
  await taught.resolve(await taught.record(experience(3000, 0.01, { similarity: 0.8 })), -0.01, 4000)
  const results = ({ told }) => told.flatMap(({ payload }) => payload.results)
  await until(() => results(first).length > 0 && results(watcher).length > 0 && central.thresholds('flag').samples === 2)
  const { adaptations, ...judged } = verdict
  assert.deepEqual(adaptations, [])
  assert.deepEqual(results(watcher), [{ ...judged, patternType: 'flag', similarity: 0.9, predicted: 0.01, actual: 0.008 }])
  assert.ok(watcher.told.every(({ command }) => command === 'midstreamer.learning'))
  // Both verdicts count, whatever their similarity.
  await until(() => /^reasoningbank_quality_score_count 2$/m.test(coordinator.metrics()))
  await taught.close()
  await first.agent.close()
  const joined = await connect('late')
  await until(() => joined.told.length > 0)
  const [{ payload }] = joined.told
  assert.deepEqual(payload, { families: [{ patternType: 'flag', thresholds: central.thresholds('flag'), adaptations: [] }], results: [] })
  await late.attach(joined.agent)
  await until(() => late.thresholds('flag').samples === 2)
  assert.deepEqual(await late.trajectory('flag'), await central.trajectory('flag'))
  await coordinator.close()
  // Without anybody to tell, it goes on learning.
  await central.record(experience(9000))
})

test('the report is one page that needs nothing else', async (t) => {
  const directory = await temporary(t)
  const learner = await PatternLearner.open({ library: library(), policy: 'utility', minSamples: 5 })
  const file = path.join(directory, 'report.html')
  await learner.report(file)
  assert.match(await readFile(file, 'utf8'), /Nothing has been recorded/)
  for (let n = 0; n < 80; n++) {
    const { experienceId } = await learner.match(RISE.map((x, k) => x + 0.4 * Math.sin(n * k)), { ...SPX, at: (30 + n) * DAY, patternType: '<b>&' })
    await learner.resolve(experienceId, n % 3 ? 0.01 : -0.012, (30.5 + n) * DAY)
  }
  await learner.report(file)
  const html = await readFile(file, 'utf8')
  assert.ok(!/<script|https?:|src=|url\(|NaN|undefined|<b>/.test(html.replace(/<title>|n\/a/g, '')), html.match(/.{40}(<script|https?:|src=|url\(|NaN|undefined|<b>).{40}/)?.[0])
  for (const part of ['Signals', 'Calibration', 'Thresholds', 'Best matches', 'Worst matches', 'random choices']) assert.ok(html.includes(part), part)
  assert.deepEqual(await readdir(directory), ['report.html'])
  await rejects(learner.report(path.join(directory, 'none', 'x.html')), 'STORE', /x\.html/)
  await learner.close()
})
