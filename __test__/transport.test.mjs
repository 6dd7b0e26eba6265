// loadQuicTransport of ./agentdb: messages between two addresses, over QUIC with certificates on both sides.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CertificateAuthority } from '@neural-trader/midstreamer'
import { isNative, isQuicAvailable, isStub, loadQuicTransport } from '@neural-trader/midstreamer/agentdb'

let folder
let authority
const open = []

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'transport-'))
  authority = await CertificateAuthority.open(join(folder, 'ca'))
})

after(async () => {
  await Promise.all(open.map((transport) => transport.close()))
  rmSync(folder, { recursive: true, force: true })
})

async function transport(id, options = {}) {
  const identity = await authority.issue({ id, role: 'peer', hosts: ['127.0.0.1'] })
  const made = await loadQuicTransport({ identity, ...options })
  open.push(made)
  return made
}

const message = (id, payload, more) => ({ id, type: 'task', payload, ...more })

test('it says what it is', async () => {
  assert.equal(isNative(), true)
  assert.equal(isStub(), false)
  assert.equal(await isQuicAvailable(), true)
})

test('messages arrive in order and are answered over the connection that they came on', async () => {
  const [desk, exchange] = await Promise.all([transport('desk'), transport('exchange')])
  const address = await exchange.listen(0, '127.0.0.1')
  await desk.sendBatch(address, [message('1', { side: 'buy' }), message('2', [1, 2, 3])])
  assert.deepEqual(await exchange.receive('desk'), message('1', { side: 'buy' }))
  assert.deepEqual(await exchange.receive('desk'), message('2', [1, 2, 3]))
  await exchange.send('desk', message('3', 'done'))
  assert.deepEqual(await desk.receive(address), message('3', 'done'))
  assert.deepEqual(await desk.getStats(), { active: 1, idle: 0, created: 1, closed: 0 })
})

test('a request gets its answer; streams do not wait for each other; handlers hear their stream', async () => {
  const [client, server] = await Promise.all([transport('client'), transport('server')])
  const address = await server.listen(0, '127.0.0.1')
  server.onMessage((from, { id, payload, streamId }) => server.send(from, message(`re:${id}`, payload * 2, { streamId })), { streamId: 'rpc' })
  const answers = await Promise.all([
    client.request(address, message('a', 21, { streamId: 'rpc' })),
    client.send(address, message('b', 'event', { streamId: 7 })),
  ])
  assert.deepEqual(answers[0], message('re:a', 42, { streamId: 'rpc' }))
  assert.deepEqual((await server.receive('client', 7)).payload, 'event')
})

test('a message of many pieces arrives whole, one that is too long is refused', async () => {
  const [client, server] = await Promise.all([transport('big'), transport('store')])
  const address = await server.listen(0, '127.0.0.1')
  const text = 'tick '.repeat(300_000)
  await client.send(address, message('1', text))
  assert.equal((await server.receive('big')).payload, text)
  await assert.rejects(client.send(address, message('2', 'x'.repeat(17 << 20))), { code: 'TOO_LARGE' })
})

test('a peer of another authority is refused', async () => {
  const stranger = await CertificateAuthority.open(join(folder, 'other'))
  const identity = await stranger.issue({ id: 'stranger', role: 'peer' })
  const client = await loadQuicTransport({ identity, connectTimeoutMs: 5_000 })
  open.push(client)
  const server = await transport('guarded')
  const address = await server.listen(0, '127.0.0.1')
  await assert.rejects(client.send(address, message('1', null)), { code: 'UNAUTHENTICATED' })
})

test('who waits is told when it is closed, and when nobody answers', async () => {
  const [client, server] = await Promise.all([transport('patient', { requestTimeoutMs: 50 }), transport('silent')])
  const address = await server.listen(0, '127.0.0.1')
  await assert.rejects(client.request(address, message('1', null)), { code: 'TIMEOUT' })
  const waiting = assert.rejects(client.receive(address), { code: 'CLOSED' })
  await client.close()
  await waiting
  await assert.rejects(client.send(address, message('2', null)), { code: 'CLOSED' })
})

test('a request that is late while its connection is not there yet is a TIMEOUT, and nothing else', async () => {
  const client = await transport('hasty', { requestTimeoutMs: 50, connectTimeoutMs: 400 })
  await assert.rejects(client.request('127.0.0.1:1', message('1', null)), { code: 'TIMEOUT' })
  // The attempt to connect ends later, when nobody listens to it: that must not be an unhandled rejection.
  await new Promise((resolve) => { setTimeout(resolve, 600) })
  const server = await transport('late')
  const address = await server.listen(0, '127.0.0.1')
  // A timeout that no timer can wait for is a long one, not none.
  const patient = await transport('enduring', { requestTimeoutMs: 2 ** 40 })
  server.onMessage((from, { id, payload }) => { server.send(from, message(id, payload * 2)) })
  assert.equal((await patient.request(address, message('2', 21))).payload, 42)
})

test('certificates may come from files, and there is none without', async () => {
  const { certificate, privateKey, ca } = await authority.issue({ id: 'filed', role: 'agent' })
  const paths = Object.entries({ certPath: certificate, keyPath: privateKey, caPath: ca }).map(([name, text]) => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return [name, path]
  })
  const made = await loadQuicTransport({ tls: Object.fromEntries(paths), serverName: 'x', maxIdleTimeoutMs: 1000, maxConcurrentStreams: 4, enable0Rtt: false })
  open.push(made)
  // An agent dials, it does not listen.
  await assert.rejects(made.listen(0, '127.0.0.1'), { code: 'FORBIDDEN' })
  await assert.rejects(loadQuicTransport(), { code: 'INVALID_ARGUMENT', message: /identity/ })
  await assert.rejects(loadQuicTransport({ enable0Rtt: true }), { code: 'INVALID_ARGUMENT', message: /enable0Rtt/ })
  await assert.rejects(loadQuicTransport({ tls: { pinnedFingerprints: ['sha256/x'] } }), { code: 'INVALID_ARGUMENT', message: /pinnedFingerprints/ })
  await assert.rejects(loadQuicTransport({ port: 1 }), { code: 'INVALID_ARGUMENT', message: /port/ })
  await assert.rejects(made.send('127.0.0.1:1', { id: '1' }), { code: 'INVALID_ARGUMENT', message: /type/ })
})
