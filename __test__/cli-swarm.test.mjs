// A whole story with the real program: an authority, a coordinator, a machine that joins, tasks, what can be seen of them,
// the audit log, a revocation, and the end in order.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { CertificateAuthority } from '@neural-trader/midstreamer'
import { cli, folder, json, service, write } from './support/cli.mjs'

const HANDLERS = `
export default async () => ({
  double: ({ x }) => ({ y: 2 * x, list: Float64Array.of(x, NaN) }),
  fail: () => { throw Object.assign(new Error('no \\u001b[31mcolour'), { code: 'MARKET_CLOSED', retryable: false }) },
  wait: (_, { signal }) => new Promise((resolve) => { signal.addEventListener('abort', () => resolve()) }),
})
`
const isPrivate = (path) => (statSync(path).mode & 0o077) === 0

/** An authority and a coordinator with its data in `cwd`. */
async function desk(t, cwd, more = []) {
  await json(['ca', 'init', '--name', 'desk'], { cwd })
  return await coordinator(t, cwd, more)
}

async function coordinator(t, cwd, more = []) {
  const process = service(t, ['coordinator', '--listen', '127.0.0.1:0', '--enroll-listen', '127.0.0.1:0', '--http', '127.0.0.1:0', ...more], { cwd })
  return { ...process, ...(await process.told('started')) }
}

/** A machine that joins, and its agent. */
async function worker(t, cwd, id, address, more = []) {
  await json(['token', 'create', '--out', `${id}.token`], { cwd })
  await json(['enroll', '--id', id, '--token-file', `${id}.token`, '--identity', `${id}.json`], { cwd })
  return service(t, ['agent', '--address', address, '--identity', `${id}.json`, ...more], { cwd })
}

test('from nothing to a revoked agent', { skip: process.platform === 'win32' && 'modes and signals' }, async (t) => {
  const cwd = folder(t)
  const its = await desk(t, cwd)
  const again = await cli(['ca', 'init'], { cwd })
  assert.equal(again.code, 1)
  assert.match(again.stderr, /is not overwritten/)
  assert.equal(its.id, 'coordinator')
  for (const file of ['midstreamer-authority', 'midstreamer-data', 'midstreamer-data/identity.json', 'midstreamer-data/control.sock']) assert.ok(isPrivate(join(cwd, file)), file)

  // A machine joins: by a file, and by the standard input.
  const { token, expiresAt, enrollAddress } = await json(['token', 'create', '--kinds', 'double,fail', '--ttl', '10m'], { cwd })
  assert.ok(Math.abs(expiresAt - Date.now() - 600_000) < 60_000 && enrollAddress === its.enrollAddress)
  const enrolled = await cli(['enroll', '--id', 'w1', '--token-file', '-', '--json'], { cwd, input: `${token}\n` })
  assert.equal(enrolled.code, 0, enrolled.stderr)
  assert.equal(enrolled.stdout.includes(token), false)
  const identity = join(cwd, 'midstreamer-identity.json')
  assert.ok(isPrivate(identity))
  const before = readFileSync(identity, 'utf8')
  const overwritten = await cli(['enroll', '--id', 'w2', '--json'], { cwd, env: { MIDSTREAMER_TOKEN: token } })
  assert.deepEqual([overwritten.code, JSON.parse(overwritten.stderr).error.code], [1, 'EXISTS'])
  assert.equal(readFileSync(identity, 'utf8'), before)
  const used = await cli(['enroll', '--id', 'w2', '--identity', 'w2.json', '--json'], { cwd, env: { MIDSTREAMER_TOKEN: token } })
  assert.deepEqual([used.code, JSON.parse(used.stderr).error.code], [78, 'UNAUTHENTICATED'])
  assert.equal(existsSync(join(cwd, 'w2.json')), false)

  // An agent with handlers, and tasks for it.
  const handlers = write(cwd, 'handlers.mjs', HANDLERS)
  const agent = service(t, ['agent', '--address', its.address, '--handlers', handlers], { cwd })
  assert.deepEqual((await agent.told('started')).kinds, ['double', 'fail', 'wait'])
  const done = await json(['submit', 'double', '--payload', write(cwd, 'task.json', { x: 21 })], { cwd })
  assert.deepEqual([done.value, done.agentId], [{ y: 42, list: [21, null] }, 'w1'])
  const failed = await cli(['submit', 'fail'], { cwd })
  assert.equal(failed.code, 1)
  assert.match(failed.stderr, /^no \?\[31mcolour \(MARKET_CLOSED\)$/m)
  const { taskId } = await json(['submit', 'double', '--payload', 'task.json', '--key', 'one', '--detach'], { cwd })
  const late = await json(['submit', '--result', 'one'], { cwd })
  assert.deepEqual([late.taskId, late.value.y], [taskId, 42])
  assert.equal((await json(['submit', 'double', '--payload', 'task.json', '--key', 'one', '--detach'], { cwd })).deduplicated, true)
  const unknown = await cli(['submit', '--result', 'nothing', '--json'], { cwd })
  assert.deepEqual([unknown.code, JSON.parse(unknown.stderr).error.code], [1, 'NOT_FOUND'])

  // What can be seen: over the socket, over HTTP, as text.
  const status = await json(['status'], { cwd })
  assert.deepEqual([status.ready, status.stats.agents, status.stats.completed], [true, 1, 2])
  assert.deepEqual([status.agents[0].id, status.agents[0].completed], ['w1', 2])
  assert.deepEqual(status.latencies.map(({ kind, count }) => [kind, count]), [['double', 2]])
  assert.ok(status.latencies[0].run.p50 <= status.latencies[0].run.p99)
  const overHttp = await json(['status', '--url', `http://${its.httpAddress}`], { cwd })
  assert.equal(overHttp.stats.completed, 2)
  assert.deepEqual(overHttp.agents?.map(({ id }) => id), ["w1"])
  const shown = await cli(['status'], { cwd })
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /^coordinator 127\.0\.0\.1:\d+ {2}ready\n/)
  assert.match(shown.stdout, /^w1 {5}worker /m)
  assert.equal(shown.stdout.includes('\x1b'), false)

  // The audit log, and who is thrown out.
  const anchor = write(cwd, 'anchor.json', await json(['audit', 'anchor'], { cwd }))
  const holds = await json(['audit', 'verify', '--anchor', anchor], { cwd })
  assert.ok(holds.ok && holds.signatures && holds.anchored && holds.entries > 3)
  const { revoked } = await json(['ca', 'revoke', 'w1', '--reason', 'sold'], { cwd })
  assert.deepEqual(revoked.map(({ id, reason }) => [id, reason]), [['w1', 'sold']])
  const refused = await agent.ended
  assert.equal(refused.code, 78)
  assert.match(JSON.parse(refused.stderr).error.message, /revoked/)
  const all = (await json(['ca', 'list', '--all'], { cwd })).certificates
  assert.deepEqual(all.map(({ id, role, state }) => [id, role, state]), [['coordinator', 'coordinator', 'valid'], ['w1', 'agent', 'revoked']])
  assert.deepEqual(all[1].grants, { kinds: ['double', 'fail'] })

  const { code, stderr } = await its.stop()
  assert.deepEqual([code, stderr], [0, ''])
  assert.deepEqual(its.seen.slice(-2).map(({ event }) => event), ['stopping', 'stopped'])
  assert.equal(existsSync(join(cwd, 'midstreamer-data', 'control.sock')), false)
  assert.equal((await cli(['status'], { cwd })).code, 69)
  assert.equal((await cli(['token', 'create'], { cwd })).code, 69)

  // The same identity again, and nothing new in the register.
  const kept = readFileSync(join(cwd, 'midstreamer-data', 'identity.json'), 'utf8')
  const next = await coordinator(t, cwd)
  assert.equal(readFileSync(join(cwd, 'midstreamer-data', 'identity.json'), 'utf8'), kept)
  assert.equal((await json(['ca', 'list'], { cwd })).certificates.length, 1)
  assert.equal((await next.stop('SIGINT')).code, 0)
  const later = await json(['audit', 'verify', '--anchor', anchor], { cwd })
  assert.ok(later.ok && later.entries > holds.entries)
})

test('an audit log that was changed: 3, and which entry', { skip: process.platform === 'win32' && 'signals' }, async (t) => {
  const cwd = folder(t)
  const its = await desk(t, cwd)
  const anchor = write(cwd, 'anchor.json', await json(['audit', 'anchor'], { cwd }))
  assert.equal((await its.stop()).code, 0)
  const directory = join(cwd, 'midstreamer-data', 'audit')
  const segment = readdirSync(directory).find((name) => name.endsWith('.jsonl'))
  const lines = readFileSync(join(directory, segment), 'utf8')
  write(directory, segment, lines.replace('"at":1', '"at":2'))
  const { code, stdout } = await cli(['audit', 'verify', directory, '--anchor', anchor, '--json'], { cwd })
  assert.equal(code, 3)
  assert.deepEqual([JSON.parse(stdout).ok, JSON.parse(stdout).brokenAt], [false, 1])
  const text = await cli(['audit', 'verify', directory], { cwd })
  assert.equal(text.code, 3)
  assert.match(text.stdout, /^does not hold: 0 entries/)
  assert.equal((await cli(['audit', 'verify', 'nowhere'], { cwd })).code, 1)
})

test('the end: a drain has a limit, what is left goes on, and a second signal does not wait', { skip: process.platform === 'win32' && 'signals' }, async (t) => {
  const cwd = folder(t)
  const its = await desk(t, cwd, ['--drain', '100ms'])
  const { taskId } = await json(['submit', 'nobody.has.it', '--detach'], { cwd })
  const { code } = await its.stop()
  assert.equal(code, 0)
  const stopped = its.seen.at(-1)
  assert.deepEqual([stopped.event, stopped.queued], ['stopped', 1])

  const next = await coordinator(t, cwd, ['--drain', '1h'])
  assert.equal((await json(['status'], { cwd })).stats.queued, 1)
  assert.ok(taskId)
  next.child.kill('SIGTERM')
  await next.told('stopping')
  next.child.kill('SIGTERM')
  assert.equal((await next.ended).code, 128 + 15)

  // Killed: the socket is left behind, and is no obstacle.
  const third = await coordinator(t, cwd, ['--drain', '0'])
  const agent = await worker(t, cwd, 'w1', third.address)
  await agent.told('started')
  assert.equal((await agent.stop()).code, 0)
  third.child.kill('SIGKILL')
  await third.ended
  assert.equal((await cli(['status'], { cwd })).code, 69)
  const fourth = await coordinator(t, cwd, ['--drain', '0'])
  assert.equal((await json(['status'], { cwd })).id, 'coordinator')
  const second = await cli(['coordinator', '--json', '--listen', '127.0.0.1:0'], { cwd })
  assert.equal(second.code, 1)
  assert.equal(JSON.parse(second.stderr.trim().split('\n').at(-1)).error.code, 'STORE')
  assert.equal((await json(['status'], { cwd })).id, 'coordinator')
  assert.equal((await fourth.stop()).code, 0)
})

test('agents: nobody there, handlers that cannot be had, an interrupted start', { skip: process.platform === 'win32' && 'signals' }, async (t) => {
  const cwd = folder(t)
  await json(['ca', 'init'], { cwd })
  const issued = await json(['ca', 'issue', 'w1', '--out', 'w1'], { cwd })
  assert.deepEqual(issued.files.map((file) => isPrivate(file)), [true, true, true])
  const again = await cli(['ca', 'issue', 'w1', '--out', 'w1'], { cwd })
  assert.deepEqual([again.code, (await json(['ca', 'list'], { cwd })).certificates.length], [1, 1])
  const agent = ['agent', '--identity', 'w1', '--address', '127.0.0.1:9']
  const alone = await cli([...agent, '--connect-timeout', '200ms'], { cwd })
  assert.equal(alone.code, 69)
  assert.match(alone.stderr, /midstreamer doctor/)
  const modules = {
    'none.mjs': ['export const size = 5', 2, /exports no handlers/],
    'wrong.mjs': ['export default [() => 1]', 2, /default export must be an object/],
    'value.mjs': ['export default { a: 5 }', 2, /handler of "a" must be a function, got 5/],
    'throws.mjs': ['throw new Error("not today")', 1, /cannot be loaded: Error: not today/],
    'rejects.mjs': ['export default async () => { throw new Error("no data") }', 1, /default export of .* threw: Error: no data/],
    'builtin.mjs': ['export default { dtw: () => 1 }', 2, /"dtw" is built in/],
  }
  for (const [name, [text, exit, expected]] of Object.entries(modules)) {
    const { code, stderr } = await cli([...agent, '--handlers', write(cwd, name, text)], { cwd })
    assert.match(stderr, expected, name)
    assert.equal(code, exit, name)
  }
  const waiting = service(t, [...agent, '--handlers', write(cwd, 'named.mjs', 'export const size = 5\nexport function grow() {}\nprocess.send ?? console.error("loaded")')], { cwd })
  await new Promise((resolve) => { waiting.child.stderr.once('data', resolve) })
  const { code, signal } = await waiting.stop()
  // Before its own handler of signals is in place, the system's ends it.
  assert.ok(code === 0 || signal === 'SIGTERM', `${code} ${signal}`)
})

test('an authority with a passphrase: from a file, the environment, never guessed', async (t) => {
  const cwd = folder(t)
  const file = write(cwd, 'passphrase', 'correct horse\n')
  assert.equal((await json(['ca', 'init', '--passphrase-file', file], { cwd })).encrypted, true)
  assert.deepEqual((await json(['ca', 'list'], { cwd, env: { MIDSTREAMER_PASSPHRASE: 'correct horse' } })).certificates, [])
  const without = await cli(['ca', 'list'], { cwd })
  assert.equal(without.code, 2)
  assert.match(without.stderr, /MIDSTREAMER_PASSPHRASE, --passphrase-file, or a terminal/)
  const wrong = await cli(['ca', 'list'], { cwd, env: { MIDSTREAMER_PASSPHRASE: 'staple' } })
  assert.equal(wrong.code, 1)
  assert.equal(wrong.stderr.includes('staple'), false)
  for (const [contents, expected] of [['', /is empty/], ['a\nb\n', /more than one line/]]) {
    const { code, stderr } = await cli(['ca', 'list', '--passphrase-file', write(cwd, 'bad', contents)], { cwd })
    assert.equal(code, 2)
    assert.match(stderr, expected)
  }
  const encrypt = await cli(['ca', 'init', '--authority', 'other', '--encrypt'], { cwd })
  assert.equal(encrypt.code, 2)
  assert.equal(existsSync(join(cwd, 'other')), false)
})

test('a coordinator with an identity and no authority', { skip: process.platform === 'win32' && 'signals' }, async (t) => {
  const cwd = folder(t)
  await json(['ca', 'init'], { cwd })
  await json(['ca', 'issue', 'desk-1', '--role', 'coordinator'], { cwd })
  await json(['ca', 'issue', 'w1'], { cwd })
  const both = await cli(['coordinator', '--identity', 'desk-1', '--authority', 'midstreamer-authority'], { cwd })
  assert.equal(both.code, 2)
  assert.match(both.stderr, /--identity and --authority exclude each other/)
  const enrols = await cli(['coordinator', '--identity', 'desk-1', '--enroll-listen', '127.0.0.1:0'], { cwd })
  assert.equal(enrols.code, 2)
  assert.match(enrols.stderr, /--enroll-listen needs --authority/)
  const wrong = await cli(['coordinator', '--identity', 'w1', '--listen', '127.0.0.1:0'], { cwd })
  assert.equal(wrong.code, 2)
  const its = service(t, ['coordinator', '--identity', 'desk-1', '--listen', '127.0.0.1:0'], { cwd })
  const { id, address } = await its.told('started')
  assert.equal(id, 'desk-1')
  const token = await cli(['token', 'create', '--json'], { cwd })
  assert.deepEqual([token.code, JSON.parse(token.stderr).error.code], [78, 'FORBIDDEN'])
  const agent = service(t, ['agent', '--identity', 'w1', '--address', address], { cwd })
  await agent.told('started')
  const { value } = await json(['submit', 'lcs', '--payload', '-', '--priority', '9'], { cwd, input: '{ "a": [1, 2, 3], "b": [1, 3] }' })
  assert.equal(value, 2)
  const live = service(t, ['status', '--watch', '--interval', '50ms'], { cwd })
  await new Promise((resolve) => { live.child.stdout.once('data', resolve) })
  assert.equal((await live.stop('SIGINT')).code, 0)
  assert.equal(live.seen[0].agents[0].id, 'w1')
  // The coordinator goes first: the agent dials on, and ends when it is told to.
  assert.equal((await its.stop()).code, 0)
  await agent.told('disconnected')
  assert.equal((await agent.stop()).code, 0)
})

test('a renewed identity is kept where the next start finds it, also after a kill', { skip: process.platform === 'win32' && 'modes and signals' }, async (t) => {
  const cwd = folder(t)
  await json(['ca', 'init', '--name', 'desk'], { cwd })
  const authority = await CertificateAuthority.open(join(cwd, 'midstreamer-authority'))
  // One that ends before it could be renewed at half of its life: the coordinator makes itself another.
  mkdirSync(join(cwd, 'midstreamer-data'), { mode: 0o700 })
  const kept = write(join(cwd, 'midstreamer-data'), 'identity.json', await authority.issue({ id: 'coordinator', role: 'coordinator', validMs: 30_000 }))
  const ending = readFileSync(kept, 'utf8')
  const { address } = await coordinator(t, cwd)
  assert.notEqual(JSON.parse(readFileSync(kept, 'utf8')).certificate, JSON.parse(ending).certificate)
  assert.ok(isPrivate(kept))

  // As a file, which is replaced, and as PEM files in a place that is only read.
  const first = { one: await authority.issue({ id: 'one', role: 'agent', validMs: 12_000 }), two: await authority.issue({ id: 'two', role: 'agent', validMs: 12_000 }) }
  write(cwd, 'one.json', first.one)
  mkdirSync(join(cwd, 'two'))
  for (const [file, part] of [['certificate.pem', 'certificate'], ['private-key.pem', 'privateKey'], ['ca.pem', 'ca']]) write(join(cwd, 'two'), file, first.two[part])
  const places = { one: ['--identity', 'one.json'], two: ['--identity', 'two', '--state', 'state'] }
  const files = { one: join(cwd, 'one.json'), two: join(cwd, 'state', 'identity.json') }
  await Promise.all(Object.keys(places).map(async (id) => {
    const before = service(t, ['agent', '--address', address, ...places[id]], { cwd })
    await before.told('started')
    const renewed = await before.told('identityRenewed')
    await before.stop('SIGKILL')
    assert.deepEqual([realpathSync(renewed.file), isPrivate(files[id])], [realpathSync(files[id]), true])
    const { certificate, privateKey } = JSON.parse(readFileSync(files[id], 'utf8'))
    assert.equal(renewed.notAfter, Date.parse(new X509Certificate(certificate).validTo))
    assert.ok(certificate !== first[id].certificate && privateKey !== first[id].privateKey)
    await setTimeout(Math.max(0, first[id].notAfter + 1500 - Date.now()))
    const after = service(t, ['agent', '--address', address, ...places[id]], { cwd })
    assert.equal((await after.told('started')).id, id)
    assert.equal((await after.stop()).code, 0)
  }))
  assert.deepEqual(readdirSync(join(cwd, 'two')).sort(), ['ca.pem', 'certificate.pem', 'private-key.pem'])
})
