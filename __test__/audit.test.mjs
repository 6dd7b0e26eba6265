// The audit log of a real coordinator, verified by the package and by a verifier that knows docs/audit-log.md alone.

import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, verify } from 'node:crypto'
import { appendFileSync, chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Agent, CertificateAuthority, Coordinator, Keyring, verifyAuditLog } from '@neural-trader/midstreamer'
import { rejects } from './support/assertions.mjs'
import { coordinator, program, until } from './support/swarm.mjs'

function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'midstreamer-audit-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const segments = (directory) => readdirSync(directory).filter((name) => /^audit-\d{16}\.jsonl$/.test(name)).sort().map((name) => join(directory, name))
const entries = (directory) => segments(directory).flatMap((file) => readFileSync(file, 'utf8').split('\n').slice(0, -1)).map((line) => JSON.parse(line))
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

/** What docs/audit-log.md says that a verifier has to do. Throws where the log does not hold; returns its last entry. */
function independent(directory, publicKey) {
  const log = sha256(Buffer.from(publicKey.replace(/-----.*-----|\s/g, ''), 'base64'))
  const signed = (seq, head, at, signature) => {
    const statement = `midstreamer audit checkpoint 1\n${log}\n${seq}\n${head}\n${at}\n`
    assert.ok(verify(null, Buffer.from(statement), publicKey, Buffer.from(signature, 'hex')), `checkpoint of ${seq}`)
  }
  let seq = 0
  let head = '0'.repeat(64)
  const newest = JSON.parse(readFileSync(join(directory, 'checkpoint.json'), 'utf8'))
  assert.equal(newest.log, log)
  signed(newest.seq, newest.head, newest.at, newest.signature)
  for (const file of segments(directory)) {
    assert.equal(Number(file.slice(-22, -6)), seq + 1)
    const bytes = readFileSync(file)
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(10, start)
      assert.ok(end > 0, 'every line ends')
      const line = bytes.subarray(start, end)
      const entry = JSON.parse(line.toString('utf8'))
      assert.equal(entry.seq, seq + 1)
      assert.equal(entry.prev, head)
      assert.equal(entry.hash, sha256(line.subarray(0, -75)))
      if (entry.action === 'checkpoint') {
        assert.deepEqual([entry.object, entry.detail.seq, entry.detail.head], [log, seq, head])
        signed(seq, head, entry.at, entry.detail.signature)
      }
      ;({ seq, hash: head } = entry)
      if (seq === newest.seq) assert.equal(head, newest.head)
      start = end + 1
    }
  }
  assert.ok(seq >= newest.seq, 'nothing is cut off')
  return { seq, head }
}

/** A coordinator with an authority and a data directory, and what makes agents for it. */
async function desk(t, dataDir, options = {}) {
  const ca = await CertificateAuthority.open(join(dataDir, 'ca'), { name: 'desk' })
  const identity = await ca.issue({ id: 'main', role: 'coordinator' })
  const its = await coordinator(t, { identity, dataDir, ...options })
  const join_ = async (id, handlers = {}, given) => {
    const agent = await Agent.connect({ address: its.address, identity: given ?? await ca.issue({ id, role: 'agent' }), handlers })
    t.after(() => agent.close())
    return agent
  }
  return { ca, identity, coordinator: its, join: join_ }
}

test('what happens to a coordinator is in its log, over its lives, and the log holds', async (t) => {
  const dataDir = folder(t)
  const first = await desk(t, dataDir)
  const { path, publicKey } = first.coordinator.auditLog()
  assert.equal(path, join(dataDir, 'audit'))
  assert.match(publicKey, /^-----BEGIN PUBLIC KEY-----\n/)
  assert.equal(readFileSync(join(path, 'public.pem'), 'utf8'), publicKey)
  const worker = await first.join('worker', { double: (x) => 2 * x, bad: () => { throw Object.assign(new Error('no'), { retryable: false }) } })
  assert.equal((await first.coordinator.submit({ kind: 'double', payload: 4, idempotencyKey: 'key 1' })).value, 8)
  await rejects(() => first.coordinator.submit({ kind: 'bad' }), 'TASK_FAILED')
  const waiting = await first.coordinator.enqueue({ kind: 'nobody' })
  assert.ok(await first.coordinator.cancel(waiting.taskId))
  // Somebody of another swarm.
  const strangers = await CertificateAuthority.open(join(dataDir, 'strangers'), { name: 'desk' })
  const stranger = await strangers.issue({ id: 'stranger', role: 'agent' })
  await rejects(() => first.join('stranger', {}, { ...stranger, ca: stranger.ca + first.ca.certificate }), 'UNAUTHENTICATED')
  await first.coordinator.revoke('worker', 'left the desk')
  await until(() => worker.state === 'closed')
  await first.coordinator.rotateIdentity(await first.ca.issue({ id: 'main', role: 'coordinator' }))
  await first.coordinator.close()
  const { head, entries: count, ...found } = await verifyAuditLog(path, { publicKey })
  assert.deepEqual(found, { ok: true, truncated: false, unsignedTail: 0 })
  assert.deepEqual(independent(path, publicKey), { seq: count, head })

  const log = entries(path)
  const of = (action) => log.filter((entry) => entry.action === action)
  assert.deepEqual([log[0].action, log.at(-2).action, log.at(-1).action], ['log-opened', 'log-closed', 'checkpoint'])
  const name = 'spiffe://desk.midstreamer/swarm/desk/agent/worker'
  const [connected] = of('agent-connected')
  assert.deepEqual([connected.actor, connected.object, connected.objectHash.length], [name, 'worker', 64])
  assert.match(connected.detail.address, /^127\.0\.0\.1:\d+$/)
  assert.equal(connected.detail.keyExchange, 'X25519MLKEM768')
  assert.ok(of('agent-disconnected').some(({ actor, detail }) => actor === name && detail.reason === 'revoked: left the desk'))
  const refused = of('peer-refused')
  assert.ok(refused.some(({ actor, object }) => actor === 'unauthenticated 127.0.0.1' && object === 'other_authority'), JSON.stringify(refused))
  assert.deepEqual(of('revoked').map(({ actor, object, detail }) => [actor, object, detail]), [['operator', 'worker', { reason: 'left the desk' }]])
  assert.equal(of('identity-rotated').length, 1)
  const accepted = of('tasks').flatMap(({ detail }) => detail.accepted ?? [])
  const ended = of('tasks').flatMap(({ detail }) => detail.ended ?? [])
  assert.deepEqual(accepted.map(({ kind, key }) => [kind, key]), [['double', 'key 1'], ['bad', undefined], ['nobody', undefined]])
  assert.deepEqual(ended.map(({ task, outcome, agent }) => [task, outcome, agent]), [
    [accepted[0].task, 'completed', 'worker'], [accepted[1].task, 'failed', 'worker'], [waiting.taskId, 'cancelled', undefined],
  ])
  assert.ok(accepted.every(({ hash }) => /^[0-9a-f]{64}$/.test(hash)))

  // The next life goes on where this one has ended, and an anchor of this life is met.
  const second = await desk(t, dataDir)
  assert.equal(second.coordinator.auditLog().publicKey, publicKey)
  await rejects(() => second.join('worker'), 'UNAUTHENTICATED')
  const { anchor } = second.coordinator.auditLog()
  assert.ok(anchor.seq > count)
  // Also while it is written.
  assert.ok((await verifyAuditLog(path, { publicKey, anchor })).ok)
  await second.coordinator.close()
  const whole = await verifyAuditLog(dataDir, { publicKey, anchor: { seq: count, head } })
  assert.ok(whole.ok && whole.entries > anchor.seq, JSON.stringify(whole))
  assert.ok((await verifyAuditLog(segments(path)[0], { publicKey })).ok)
  assert.equal(independent(path, publicKey).seq, whole.entries)
  assert.ok(entries(path).some(({ action, object }) => action === 'peer-refused' && object === 'revoked'))
})

test('what is changed afterwards is found', async (t) => {
  const dataDir = folder(t)
  const { coordinator: its } = await desk(t, dataDir)
  const { path, publicKey } = its.auditLog()
  for (let i = 0; i < 5; i++) await its.revoke(`agent-${i}`, 'a test')
  const { anchor } = its.auditLog()
  await its.close()
  const { entries: count, head } = await verifyAuditLog(path, { publicKey })
  const copies = folder(t)
  let number = 0
  /** A copy with other lines. */
  const changed = async (change, options = {}) => {
    const copy = join(copies, String(number++))
    cpSync(path, copy, { recursive: true })
    const [file] = segments(copy)
    const lines = readFileSync(file, 'utf8').split(/(?<=\n)/)
    writeFileSync(file, change(lines, copy).join(''))
    return await verifyAuditLog(copy, { publicKey, ...options })
  }
  assert.ok((await changed((lines) => lines)).ok)
  for (let i = 0; i < count; i++) {
    const found = await changed((lines) => lines.map((line, k) => (k === i ? line.replace('"at":', '"at":1') : line)))
    assert.deepEqual([found.ok, found.brokenAt, found.entries], [false, i + 1, i])
    const removed = await changed((lines) => lines.filter((_, k) => k !== i))
    assert.deepEqual([removed.ok, removed.brokenAt, removed.truncated], i + 1 === count ? [false, undefined, true] : [false, i + 1, false])
    const swapped = await changed((lines) => (i === 0 ? lines : [...lines.slice(0, i - 1), lines[i], lines[i - 1], ...lines.slice(i + 1)]))
    assert.deepEqual([swapped.ok, swapped.brokenAt], i === 0 ? [true, undefined] : [false, i])
    const cut = await changed((lines) => lines.slice(0, i))
    assert.deepEqual([cut.ok, cut.truncated, cut.brokenAt, cut.entries], [false, true, undefined, i])
  }
  // Without the newest checkpoint beside it, the anchor alone tells.
  const bare = (lines, copy) => {
    rmSync(join(copy, 'checkpoint.json'))
    return lines.slice(0, 2)
  }
  assert.ok((await changed(bare)).ok)
  const anchored = await changed(bare, { anchor })
  assert.deepEqual([anchored.ok, anchored.truncated], [false, true])
  const other = await verifyAuditLog(path, { publicKey, anchor: { seq: 2, head: 'ab'.repeat(32) } })
  assert.deepEqual([other.ok, other.truncated, other.brokenAt], [false, true, 2])
  // A chain that somebody made anew, with a key of his own.
  const { publicKey: strange } = generateKeyPairSync('ed25519')
  const foreign = await verifyAuditLog(path, { publicKey: strange.export({ type: 'spki', format: 'pem' }) })
  assert.deepEqual([foreign.ok, foreign.brokenAt], [false, 2])
  const lines = readFileSync(segments(path)[0])
  truncateSync(segments(path)[0], lines.length - 10)
  assert.ok((await verifyAuditLog(path)).truncated)
  writeFileSync(segments(path)[0], lines)
  appendFileSync(segments(path)[0], 'x\0'.repeat(100_000))
  assert.equal((await verifyAuditLog(path)).brokenAt, count + 1)
  writeFileSync(segments(path)[0], lines)
  assert.deepEqual(await verifyAuditLog(path, { publicKey, anchor: { seq: count, head } }), { ok: true, entries: count, head, truncated: false, unsignedTail: 0 })
})

test('a process that is killed leaves a log that holds', async (t) => {
  const dataDir = folder(t)
  const body = `
    const c = await m.Coordinator.start({ dataDir: ${JSON.stringify(dataDir)} })
    console.log(JSON.stringify(c.auditLog()))
    for (let i = 0; ; i++) {
      await c.revoke('agent-' + i)
      console.log(JSON.stringify(c.auditLog().anchor))
    }`
  let anchor
  let publicKey
  for (let round = 0; round < 3; round++) {
    const { child, ended, line } = program(body)
    t.after(() => child.kill('SIGKILL'))
    ;({ publicKey } = await line())
    for (let i = 0; i < 5 + round; i++) anchor = await line()
    child.kill('SIGKILL')
    await ended
    // What was not acknowledged may be in pieces until the log is opened again.
    const c = await Coordinator.start({ dataDir })
    await c.close()
    const found = await verifyAuditLog(dataDir, { publicKey, anchor })
    assert.ok(found.ok && found.unsignedTail === 0, JSON.stringify(found))
  }
})

test('a log that cannot be kept', { skip: process.platform === 'win32' }, async (t) => {
  const dataDir = folder(t)
  const { coordinator: its, join: connect } = await desk(t, dataDir, { http: '127.0.0.1:0' })
  const { path, publicKey } = its.auditLog()
  const ready = async () => {
    const response = await fetch(`http://${its.httpAddress}/readyz`)
    return [response.status, await response.text()]
  }
  assert.deepEqual(await ready(), [200, 'ready\n'])
  assert.match(its.metrics(), /midstreamer_audit_failing 0\n/)
  const [, total] = its.metrics().match(/midstreamer_audit_entries_total (\d+)\n/)
  assert.ok(total >= 2)
  if (process.getuid() !== 0) {
    // The newest checkpoint cannot be put beside it any more; entries still go into the open segment.
    chmodSync(path, 0o500)
    for (let i = 0; i < 1001; i++) its.revoke(`agent-${i}`).catch(() => {})
    await until(() => /midstreamer_audit_failing 1\n/.test(its.metrics()))
    assert.deepEqual(await ready(), [503, 'the audit log cannot be written\n'])
    // Tasks go on.
    await connect('worker', { double: (x) => 2 * x })
    assert.equal((await its.submit({ kind: 'double', payload: 4 })).value, 8)
    chmodSync(path, 0o700)
    await until(() => /midstreamer_audit_failing 0\n/.test(its.metrics()))
    assert.deepEqual(await ready(), [200, 'ready\n'])
  }
  await its.close()
  assert.ok((await verifyAuditLog(path, { publicKey })).ok)

  // Nobody else may have read or written it.
  assert.equal(statSync(path).mode & 0o777, 0o700)
  chmodSync(path, 0o755)
  await rejects(() => Coordinator.start({ dataDir }), 'FORBIDDEN', '0755')
  chmodSync(path, 0o700)
  // It was changed: there is no going on from there.
  const [file] = segments(path)
  const lines = readFileSync(file, 'utf8')
  writeFileSync(file, lines.replace('"at":', '"at":1'))
  await rejects(() => Coordinator.start({ dataDir }), 'CORRUPT', 'entry 1')
  writeFileSync(file, lines)
  const again = await Coordinator.start({ dataDir })
  await again.close()
})

test('without a directory there is no log', async (t) => {
  const its = await coordinator(t)
  assert.equal(its.auditLog(), null)
  assert.match(its.metrics(), /midstreamer_audit_failing 0\n/)
})

test('bad arguments', async (t) => {
  const directory = folder(t)
  for (const path of [undefined, null, '', 1, {}, 'a\0b']) await rejects(() => verifyAuditLog(path), 'INVALID_ARGUMENT', 'path')
  await rejects(() => verifyAuditLog(directory), 'NOT_FOUND')
  await rejects(() => verifyAuditLog(join(directory, 'none')), 'NOT_FOUND')
  const good = join(directory, 'audit-0000000000000001.jsonl')
  mkdirSync(good)
  await rejects(() => verifyAuditLog(directory), 'STORE')
  rmSync(good, { recursive: true })
  writeFileSync(good, '')
  assert.deepEqual(await verifyAuditLog(directory), { ok: true, entries: 0, head: '0'.repeat(64), truncated: false, unsignedTail: 0 })
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = (key, type) => key.export({ type, format: 'pem' })
  for (const key of [null, 1, '', 'PEM', pem(publicKey, 'spki'), pem(privateKey, 'pkcs8'), Buffer.from('x')]) {
    await rejects(() => verifyAuditLog(directory, { publicKey: key }), 'INVALID_ARGUMENT')
  }
  const head = '0'.repeat(64)
  for (const anchor of [null, 1, [], {}, { seq: 1 }, { head }, { seq: -1, head }, { seq: 1.5, head }, { seq: 1, head: 'x' }, { seq: 1, head: 'A'.repeat(64) }, { seq: 1, head, more: 1 }]) {
    await rejects(() => verifyAuditLog(directory, { anchor }), 'INVALID_ARGUMENT', 'anchor')
  }
  await rejects(() => verifyAuditLog(directory, { key: 'x' }), 'INVALID_ARGUMENT', 'key')
  await rejects(() => verifyAuditLog(directory, 1), 'INVALID_ARGUMENT')
})

test('the steps of a key are written down, and a step that cannot be is told', async (t) => {
  const root = folder(t)
  const dataDir = join(root, 'data')
  const c = await Coordinator.start({ dataDir })
  t.after(() => c.close())
  const ring = await Keyring.open(join(root, 'ring'), { audit: c })
  const first = ring.currentKeyId
  const second = await ring.generate()
  const exported = await ring.export(second, 'secret of the export')
  await ring.use(second)
  await ring.retire(first).catch((error) => assert.equal(error.code, 'INVALID_ARGUMENT'))
  await ring.remove(first)
  const other = await Keyring.open(join(root, 'other'), { audit: c })
  assert.equal(await other.install(exported, 'secret of the export'), second)
  await rejects(() => ring.use('0'.repeat(16)), 'NOT_FOUND')
  await c.close()
  // What was done is done; that it is not in the log is told.
  await assert.rejects(ring.generate(), (error) => error.code === 'CLOSED' && error.message.includes("'generate'"))
  assert.equal(ring.keys().length, 2)

  const steps = entries(join(dataDir, 'audit')).filter(({ action }) => action === 'key-changed')
  const kept = steps.map(({ object, detail }) => [detail.step, object])
  assert.deepEqual(kept.filter(([step]) => step !== 'retire'), [['generate', second], ['export', second], ['use', second], ['remove', first], ['install', second]])
  assert.equal((await verifyAuditLog(dataDir)).ok, true)

  const memory = await Coordinator.start()
  t.after(() => memory.close())
  await rejects(() => Keyring.open(join(root, 'ring'), { audit: memory }), 'INVALID_ARGUMENT', 'audit', 'dataDir')
  for (const wrong of [true, {}, 'log', null]) await rejects(() => Keyring.open(join(root, 'ring'), { audit: wrong }), 'INVALID_ARGUMENT', 'audit')
})
