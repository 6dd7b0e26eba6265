// Join tokens: an operator makes one, a machine becomes an agent with it. In processes of their own where that matters.

import assert from 'node:assert/strict'
import { X509Certificate, createHash, createPrivateKey } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Agent, CertificateAuthority, Coordinator } from '@neural-trader/midstreamer'
import { coded, rejects } from './support/assertions.mjs'
import { coordinator, program } from './support/swarm.mjs'

/** A directory that is gone after the test. */
function directory(t) {
  const path = mkdtempSync(join(tmpdir(), 'midstreamer-enrolment-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function operator(t, options) {
  const place = join(directory(t), 'authority')
  const authority = await CertificateAuthority.open(place, { name: 'desk' })
  const c = await coordinator(t, { authority, enrollListen: '127.0.0.1:0', ...options })
  return { authority, place, c }
}

const secretOf = (token) => token.slice(token.lastIndexOf('.') + 1)

test('a machine enrols, connects and does what its token allows', async (t) => {
  const { authority, c } = await operator(t)
  assert.match(c.enrollAddress, /^127\.0\.0\.1:\d+$/)
  const token = await c.createJoinToken({ grants: { kinds: ['echo'], agentTypes: ['worker'] } })
  assert.match(token, /^NTS1\.[0-9a-f]{64}\.127\.0\.0\.1:\d+\.[0-9a-f]{16}\.[0-9a-f]{32}$/)
  const spki = new X509Certificate(authority.certificate).publicKey.export({ type: 'spki', format: 'der' })
  assert.equal(token.split('.')[1], createHash('sha256').update(spki).digest('hex'))

  const identity = await Agent.enroll({ address: c.enrollAddress, token, agentId: 'agent-7' })
  assert.deepEqual(Object.keys(identity).sort(), ['ca', 'certificate', 'privateKey'])
  const certificate = new X509Certificate(identity.certificate)
  assert.equal(certificate.subjectAltName, 'URI:spiffe://desk.midstreamer/swarm/desk/agent/agent-7')
  assert.ok(certificate.checkPrivateKey(createPrivateKey(identity.privateKey)))
  const listed = (await authority.list()).find(({ id }) => id === 'agent-7')
  assert.deepEqual(listed.grants, { agentTypes: ['worker'], kinds: ['echo'] })
  const hours = (listed.notAfter - Date.now()) / 3_600_000
  assert.ok(hours > 23 && hours < 25, `${hours} h`)

  const agent = await Agent.connect({ address: c.address, identity, handlers: { echo: (x) => x, other: (x) => x } })
  t.after(() => agent.close())
  assert.equal((await c.submit({ kind: 'echo', payload: [1, 2] })).agentId, 'agent-7')
  await rejects(() => c.submit({ kind: 'other', timeoutMs: 200 }), 'NO_AGENT')
})

test('operator, new machine and restarted coordinator as processes', async (t) => {
  const place = join(directory(t), 'authority')
  const serve = (listen) => program(`
    const authority = await m.CertificateAuthority.open(${JSON.stringify(place)}, { name: 'desk' })
    const c = await m.Coordinator.start({ authority, enrollListen: '${listen}', onLog: (entry) => process.stderr.write(JSON.stringify(entry)) })
    const say = (value) => console.log(JSON.stringify(value))
    say({ address: c.address, enrollAddress: c.enrollAddress })
    for await (const line of (await import('node:readline')).createInterface({ input: process.stdin })) {
      if (line === 'token') say(await c.createJoinToken({ uses: 2 }))
      else if (line === 'task') say((await c.submit({ kind: 'echo', payload: 5 })).agentId)
      else if (line === 'close') break
    }
    await c.close()`)
  const machine = (address, enrollAddress, id) => program(`
    const line = (await import('node:readline')).createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    const identity = await m.Agent.enroll({ address: '${enrollAddress}', token: (await line.next()).value, agentId: '${id}' })
    const agent = await m.Agent.connect({ address: '${address}', identity, handlers: { echo: (x) => x } })
    console.log(JSON.stringify(agent.id))
    await line.next()
    await agent.close()
    process.exit(0)`)

  const first = serve('127.0.0.1:0')
  const one = await first.line()
  first.child.stdin.write('token\n')
  const token = await first.line()
  const a = machine(one.address, one.enrollAddress, 'machine-a')
  a.child.stdin.write(`${token}\n`)
  assert.equal(await a.line(), 'machine-a')
  first.child.stdin.write('task\n')
  assert.equal(await first.line(), 'machine-a')
  a.child.stdin.end()
  assert.equal((await a.ended).errors, '')
  first.child.stdin.end('close\n')
  const firstEnded = await first.ended
  assert.equal(firstEnded.code, 0)

  const second = serve(one.enrollAddress)
  const two = await second.line()
  assert.equal(two.enrollAddress, one.enrollAddress)
  const b = machine(two.address, two.enrollAddress, 'machine-b')
  b.child.stdin.write(`${token}\n`)
  assert.equal(await b.line(), 'machine-b')
  b.child.stdin.end()
  await b.ended
  await rejects(() => Agent.enroll({ address: two.enrollAddress, token, agentId: 'machine-c' }), 'UNAUTHENTICATED', 'used up')
  second.child.stdin.end('close\n')
  const secondEnded = await second.ended
  assert.equal(secondEnded.code, 0)

  // What was logged names the token by its id, and the secret is nowhere on disk.
  const logged = firstEnded.errors + secondEnded.errors
  assert.ok(logged.includes('agent enrolled') && logged.includes('an enrolment was refused') && logged.includes(token.split('.').at(-2)))
  assert.ok(!logged.includes(secretOf(token)))
  for (const file of readdirSync(place)) assert.ok(!readFileSync(join(place, file), 'utf8').includes(secretOf(token)), file)
})

test('a token is good once, for a while, at its own authority', async (t) => {
  const { c } = await operator(t)
  const { c: other } = await operator(t)
  const enroll = (token, agentId, address = c.enrollAddress) => Agent.enroll({ address, token, agentId })
  const token = await c.createJoinToken()
  await rejects(() => enroll(token, 'a', other.enrollAddress), 'UNAUTHENTICATED', "token's authority")
  const wrong = token.slice(0, -32) + '0'.repeat(32)
  await rejects(() => enroll(wrong, 'a'), 'UNAUTHENTICATED', 'not valid')
  // The one in the token, when none is given.
  await Agent.enroll({ token, agentId: 'a' })
  await rejects(() => enroll(token, 'b'), 'UNAUTHENTICATED', 'used up')
  const short = await c.createJoinToken({ ttlMs: 1 })
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  await rejects(() => enroll(short, 'b'), 'UNAUTHENTICATED', 'expired')
  const twice = await c.createJoinToken({ uses: 2 })
  const outcomes = await Promise.allSettled(['c', 'd', 'e', 'f'].map((id) => enroll(twice, id)))
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 2)
})

test('an id that is taken is FORBIDDEN until its certificate is revoked', async (t) => {
  const { authority, c } = await operator(t)
  const token = await c.createJoinToken({ uses: 2 })
  const first = await Agent.enroll({ address: c.enrollAddress, token, agentId: 'a' })
  await rejects(() => Agent.enroll({ address: c.enrollAddress, token, agentId: 'a' }), 'FORBIDDEN', '"a"', 'revoked before')
  await rejects(() => Agent.enroll({ address: c.enrollAddress, token, agentId: c.id }), 'FORBIDDEN')
  await authority.revoke('a', 'replaced')
  const second = await Agent.enroll({ address: c.enrollAddress, token, agentId: 'a' })
  await rejects(() => Agent.connect({ address: c.address, identity: first }), 'UNAUTHENTICATED')
  await (await Agent.connect({ address: c.address, identity: second })).close()
})

test('what makes no sense is refused by name', async (t) => {
  const { authority, c } = await operator(t)
  for (const [options, ...texts] of [
    [{ ttlMs: 0 }, 'ttlMs'], [{ ttlMs: '1h' }, 'ttlMs'], [{ ttlMs: 400 * 86_400_000 }, 'ttlMs'], [{ uses: 0 }, 'uses'], [{ uses: 1.5 }, 'uses'],
    [{ uses: 100_001 }, 'uses'], [{ grants: ['dtw'] }, 'grants'], [{ grants: { kind: ['dtw'] } }, 'kinds'], [{ grants: { kinds: 'dtw' } }, 'grants.kinds'],
    [{ tll: 1 }, 'ttlMs'], [5, 'options'],
  ]) await rejects(() => c.createJoinToken(options), 'INVALID_ARGUMENT', ...texts)
  await rejects(() => Coordinator.start({ enrollListen: '127.0.0.1:0' }), 'INVALID_ARGUMENT', 'enrollListen', 'authority')
  await rejects(() => Coordinator.start({ authority, enrollListen: 'nowhere' }), 'INVALID_ARGUMENT', 'enrollListen')
  await rejects(() => Coordinator.start({ authority, enrollListen: c.enrollAddress }), 'CONNECTION', 'enrollListen')

  const without = await coordinator(t, { authority })
  assert.equal(without.enrollAddress, null)
  await rejects(() => without.createJoinToken(), 'FORBIDDEN', 'enrollListen')

  const address = c.enrollAddress
  const token = await c.createJoinToken()
  for (const [options, ...texts] of [
    [undefined, 'token'], [{ address, agentId: 'a' }, 'token'], [{ address, token }, 'agentId'], [{ address, token, agentId: 'a/b' }, 'agentId'],
    [{ address: 'here', token, agentId: 'a' }, 'address'], [{ address, token: `${token} `, agentId: 'a' }, 'token'], [{ address, token: 5, agentId: 'a' }, 'token'],
    [{ address, token: token.replace('NTS1', 'NTS7'), agentId: 'a' }, 'token', 'version'], [{ address, token, agentId: 'a', timeout: 1 }, 'timeout'],
    [{ address, token, agentId: 'a', signal: 1 }, 'signal'],
  ]) {
    await rejects(() => Agent.enroll(options), 'INVALID_ARGUMENT', ...texts)
    await assert.rejects(Agent.enroll(options), (error) => !inspect(error).includes(secretOf(token)))
  }
  // None of that has used it.
  await Agent.enroll({ address, token, agentId: 'a' })
})

test('an enrolment can be aborted, and nobody there is CONNECTION', async (t) => {
  const { c } = await operator(t)
  const token = await c.createJoinToken()
  const { createSocket } = await import('node:dgram')
  const silent = createSocket('udp4')
  await new Promise((resolve) => { silent.bind(0, '127.0.0.1', resolve) })
  t.after(() => silent.close())
  const address = `127.0.0.1:${silent.address().port}`
  const reason = new Error('enough')
  const controller = new AbortController()
  const enrolling = Agent.enroll({ address, token, agentId: 'a', signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(enrolling, (error) => coded('ABORTED')(error) && error.cause === reason)
  await rejects(() => Agent.enroll({ address, token, agentId: 'a', signal: controller.signal }), 'ABORTED')
  await rejects(() => Agent.enroll({ address, token, agentId: 'a' }), 'CONNECTION', address)
  // The port of tasks is not the one of tokens.
  await rejects(() => Agent.enroll({ address: c.address, token, agentId: 'a' }), 'PROTOCOL')
})

test('secrets show nowhere', async (t) => {
  const entries = []
  const { c } = await operator(t, { onLog: (entry) => entries.push(entry) })
  const token = await c.createJoinToken()
  await Agent.enroll({ address: c.enrollAddress, token, agentId: 'a' })
  const refused = await Agent.enroll({ address: c.enrollAddress, token, agentId: 'b' }).catch((error) => error)
  await c.close()
  const shown = [inspect(refused, { depth: 9, showHidden: true }), JSON.stringify(entries), inspect(c, { depth: 9, showHidden: true })].join('\n')
  assert.ok(shown.includes('join token made') && !shown.includes(secretOf(token)))
})

test('a program that only enrols ends by itself', async (t) => {
  const { c } = await operator(t)
  const p = program(`
    const line = (await import('node:readline')).createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    const identity = await m.Agent.enroll({ token: (await line.next()).value, agentId: 'short-lived' })
    console.log(JSON.stringify(identity.certificate.length > 0))
    process.stdin.destroy()`)
  p.child.stdin.write(`${await c.createJoinToken()}\n`)
  assert.equal(await p.line(), true)
  assert.deepEqual(await p.ended, { code: 0, signal: null, errors: '' })
})
