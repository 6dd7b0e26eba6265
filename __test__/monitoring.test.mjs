// The dashboard and the deployment guide name metrics: those that there are, and all of them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { agent, coordinator } from './support/swarm.mjs'

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const NAME = /\b(?:midstreamer|quic|agentdb|reasoningbank)_[a-z0-9_]+/g
/** A histogram is three series. */
const base = (name) => name.replace(/_(?:bucket|sum|count)$/, '')
const namesIn = (text) => new Set((text.match(NAME) ?? []).map(base))
const sorted = (names) => [...names].sort()

/** What is registered: a counter without events does not show in the text. */
const sources = read('src/swarm/metrics.rs') + read('src/swarm/metrics/sync.rs')
const registered = new Set([...sources.matchAll(/"((?:midstreamer|quic|agentdb|reasoningbank)_[a-z0-9_]+)"/g)].map(([, name]) => name))
const dashboard = JSON.parse(read('docs/grafana/midstreamer-swarm.json'))
const guide = read('docs/deployment.md')

test('what a coordinator tells is what is registered', async (t) => {
  const c = await coordinator(t)
  await agent(t, c, 'a', { ok: () => 1, bad: () => { throw Object.assign(new Error('no'), { retryable: false }) } })
  await c.submit({ kind: 'ok' })
  await assert.rejects(c.submit({ kind: 'bad' }))
  const told = new Set([...c.metrics().matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name))
  assert.ok(told.size > 10, `${told.size} metrics`)
  assert.deepEqual(sorted(told).filter((name) => !registered.has(name)), [])
})

test('the dashboard shows every metric, and none that is not there', () => {
  const queries = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => expr))
  assert.deepEqual(sorted(namesIn(queries.join('\n'))), sorted(registered))
  const [, instances] = dashboard.templating.list
  assert.ok(registered.has(instances.definition.match(NAME)[0]))
})

test('the dashboard can be imported', () => {
  assert.equal(dashboard.uid, 'midstreamer-swarm')
  assert.equal(dashboard.id, null)
  assert.ok(dashboard.schemaVersion >= 39)
  assert.equal(dashboard.templating.list[0].type, 'datasource')
  const ids = dashboard.panels.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  const taken = new Set()
  for (const { title, type, datasource, targets = [], gridPos: { x, y, w, h } } of dashboard.panels) {
    assert.ok(x + w <= 24, title)
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        assert.ok(!taken.has(`${i} ${j}`), `${title} covers another panel`)
        taken.add(`${i} ${j}`)
      }
    }
    if (type !== 'row') assert.ok(targets.length > 0, title)
    for (const source of [datasource, ...targets.map((target) => target.datasource)]) {
      if (type !== 'row') assert.deepEqual(source, { type: 'prometheus', uid: '${datasource}' }, title)
    }
  }
})

test('the guide explains every metric, and its rules name none that is not there', () => {
  assert.deepEqual(sorted(namesIn(guide)), sorted(registered))
  const rows = guide.split('\n').filter((line) => line.startsWith('| `')).join('\n')
  assert.deepEqual(sorted(namesIn(rows)), sorted(registered))
})

test('the agents over HTTP are those that agents() tells', async (t) => {
  const c = await coordinator(t, { http: '127.0.0.1:0' })
  const ask = async () => {
    const response = await fetch(`http://${c.httpAddress}/agents`)
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'application/json'])
    return await response.json()
  }
  assert.deepEqual(await ask(), [])
  await agent(t, c, 'a', {}, { type: 'reasoning-bank', capabilities: ['gpu'], metadata: { desk: '"7"' } })
  await agent(t, c, 'b')
  await c.submit({ kind: 'dtw', payload: { a: [1], b: [2] } })
  const told = await ask()
  // What moves between two looks.
  const still = ({ lastSeenAt, load, memoryBytes, rttMs, ...rest }) => rest
  assert.deepEqual(told.map(still), c.agents().map(still))
  assert.deepEqual(Object.keys(told[0]).sort(), Object.keys(c.agents()[0]).sort())
  assert.deepEqual([told[0].metadata, told[0].type], [{ desk: '"7"' }, 'reasoning-bank'])
  const refused = await fetch(`http://${c.httpAddress}/agents`, { method: 'POST' })
  assert.equal(refused.status, 405)
})
