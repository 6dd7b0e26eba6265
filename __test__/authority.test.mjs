// CertificateAuthority: what it issues, who may read it, and what two processes do to it at once.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CertificateAuthority } from '@neural-trader/midstreamer'
import { rejects, throws } from './support/assertions.mjs'

const DAY_MS = 24 * 60 * 60 * 1000

/** A path below a directory that is gone after the test; nothing is there yet. */
async function scratch(t) {
  const folder = await mkdtemp(join(tmpdir(), 'midstreamer-authority-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'authority')
}

/** Every URI, DNS name and address of a certificate. */
function namesOf(certificate) {
  return certificate.subjectAltName.split(', ')
}

test('an identity is what was asked for', async (t) => {
  const authority = await CertificateAuthority.open(await scratch(t), { name: 'Desk' })
  const root = new X509Certificate(authority.certificate)
  assert.ok(root.ca && root.checkIssued(root) && root.verify(root.publicKey))
  assert.equal(authority.fingerprint, root.fingerprint256.replaceAll(':', '').toLowerCase())
  assert.ok(Math.abs(Date.parse(root.validTo) - Date.now() - 3650 * DAY_MS) < DAY_MS)
  const usages = { agent: ['1.3.6.1.5.5.7.3.2'], coordinator: ['1.3.6.1.5.5.7.3.1'], peer: ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1'] }
  for (const role of ['agent', 'coordinator', 'peer']) {
    const before = Date.now()
    const issued = await authority.issue({ id: 'node-1', role, hosts: ['localhost', '127.0.0.1'] })
    assert.deepEqual(Object.keys(issued).sort(), ['ca', 'certificate', 'id', 'notAfter', 'privateKey', 'role', 'serial'])
    assert.deepEqual([issued.id, issued.role, issued.ca], ['node-1', role, authority.certificate])
    const certificate = new X509Certificate(issued.certificate)
    assert.ok(!certificate.ca && certificate.checkIssued(root) && certificate.verify(root.publicKey))
    assert.ok(certificate.checkPrivateKey(createPrivateKey(issued.privateKey)))
    assert.equal(certificate.serialNumber.toLowerCase(), issued.serial)
    assert.match(issued.serial, /^[0-9a-f]{32}$/)
    assert.equal(Date.parse(certificate.validTo), issued.notAfter)
    assert.ok(Math.abs(issued.notAfter - before - 90 * DAY_MS) < 60_000)
    assert.ok(Date.parse(certificate.validFrom) < before)
    assert.deepEqual(namesOf(certificate), [`URI:spiffe://desk.midstreamer/swarm/Desk/${role}/node-1`, 'DNS:localhost', 'IP Address:127.0.0.1'])
    assert.deepEqual(certificate.keyUsage.sort(), usages[role].sort())
  }
})

test('nothing outlives the authority, and a short life is short', async (t) => {
  const authority = await CertificateAuthority.open(await scratch(t), { validDays: 1 })
  const end = Date.parse(new X509Certificate(authority.certificate).validTo)
  assert.equal((await authority.issue({ id: 'a', role: 'agent' })).notAfter, end)
  assert.equal((await authority.issue({ id: 'a', role: 'agent', validMs: Number.MAX_SAFE_INTEGER })).notAfter, end)
  const { notAfter } = await authority.issue({ id: 'a', role: 'agent', validMs: 60_000 })
  assert.ok(Math.abs(notAfter - Date.now() - 60_000) < 30_000)
})

test('the register survives', async (t) => {
  const directory = await scratch(t)
  const authority = await CertificateAuthority.open(directory, { name: 'desk' })
  const grants = { kinds: ['dtw'], topics: [] }
  const first = await authority.issue({ id: 'a', role: 'agent', grants })
  const second = await authority.issue({ id: 'a', role: 'agent' })
  const third = await authority.issue({ id: 'b', role: 'peer' })
  assert.deepEqual(await authority.revoked(), [])
  const before = Date.now()
  await authority.revoke(first.serial.toUpperCase(), 'lost')
  const again = await CertificateAuthority.open(directory)
  assert.deepEqual([again.certificate, again.fingerprint], [authority.certificate, authority.fingerprint])
  const [revoked, ...others] = await again.revoked()
  assert.deepEqual(others, [])
  assert.deepEqual({ ...revoked, at: 0 }, { serial: first.serial, id: 'a', at: 0, reason: 'lost' })
  assert.ok(revoked.at >= before && revoked.at <= Date.now())
  await again.revoke('a')
  await again.revoke('b')
  assert.deepEqual((await authority.revoked()).map(({ serial, reason }) => [serial, reason]), [[first.serial, 'lost'], [second.serial, undefined], [third.serial, undefined]])
  const later = await again.issue({ id: 'a', role: 'agent' })
  assert.deepEqual(await authority.list(), [
    { serial: first.serial, id: 'a', role: 'agent', notAfter: first.notAfter, revoked: true, grants },
    { serial: second.serial, id: 'a', role: 'agent', notAfter: second.notAfter, revoked: true, grants: {} },
    { serial: third.serial, id: 'b', role: 'peer', notAfter: third.notAfter, revoked: true, grants: {} },
    { serial: later.serial, id: 'a', role: 'agent', notAfter: later.notAfter, revoked: false, grants: {} },
  ])
  await rejects(() => authority.revoke('nobody'), 'NOT_FOUND', 'nobody')
})

test('arguments: every mistake is named', async (t) => {
  const directory = await scratch(t)
  const open = CertificateAuthority.open
  throws(() => new CertificateAuthority(), 'INVALID_ARGUMENT', 'CertificateAuthority.open')
  for (const bad of [undefined, null, 5, '', 'a\0b', ['a']]) await rejects(() => open(bad), 'INVALID_ARGUMENT', 'directory')
  for (const bad of ['', 'a b', '..', 'a/b', 5, 'x'.repeat(65)]) await rejects(() => open(directory, { name: bad }), 'INVALID_ARGUMENT', 'name')
  for (const bad of [0, -1, 1.5, NaN, '1', 36_501, Number.MAX_SAFE_INTEGER]) await rejects(() => open(directory, { validDays: bad }), 'INVALID_ARGUMENT', 'validDays')
  for (const bad of ['', new Uint8Array(), 5, null, ['secret'], '\ud800']) await rejects(() => open(directory, { passphrase: bad }), 'INVALID_ARGUMENT', 'passphrase')
  await rejects(() => open(directory, { pasphrase: 'a' }), 'INVALID_ARGUMENT', 'did you mean "passphrase"')
  await rejects(() => open(directory, null), 'INVALID_ARGUMENT', 'options')
  // None of them has made anything.
  await assert.rejects(stat(join(directory, 'authority.json')))
  const authority = await open(directory)
  const usual = { id: 'a', role: 'agent' }
  const refused = (request, ...named) => rejects(() => authority.issue(request), 'INVALID_ARGUMENT', ...named)
  await refused(undefined, 'id is required')
  await refused(null, 'issue')
  await refused({ id: 'a' }, 'role')
  for (const id of ['', '.', '..', 'a/b', 'a b', '\u00e4', 'x'.repeat(129), 5]) await refused({ ...usual, id }, 'id')
  for (const role of ['admin', 'Agent', '', 0]) await refused({ ...usual, role }, 'role')
  for (const hosts of ['localhost', [5], [''], ['a b'], ['http://a'], [undefined]]) await refused({ ...usual, hosts }, 'hosts')
  for (const validMs of [0, -1, 0.5, NaN, Infinity, '5']) await refused({ ...usual, validMs }, 'validMs')
  for (const grants of [5, null, [], { kinds: 'dtw' }, { kinds: [''] }, { topics: [5] }, { rights: [] }]) await refused({ ...usual, grants }, 'grants')
  await refused({ ...usual, grants: { databases: ['x'.repeat(257)] } }, 'grants.databases')
  await refused({ ...usual, days: 5 }, 'days')
  for (const bad of [undefined, '', 5]) await rejects(() => authority.revoke(bad), 'INVALID_ARGUMENT', 'idOrSerial')
  await rejects(() => authority.revoke('a', 5), 'INVALID_ARGUMENT', 'reason')
  assert.deepEqual(await authority.list(), [])
  await rejects(() => open(directory, { name: 'other' }), 'INVALID_ARGUMENT', 'name', '"swarm"')
})

test('the passphrase: encrypts, is asked for, and is in no message', async (t) => {
  const directory = await scratch(t)
  const { fingerprint } = await CertificateAuthority.open(directory, { passphrase: 'open sesame' })
  const text = await readFile(join(directory, 'authority.json'), 'utf8')
  assert.ok(!text.includes('PRIVATE KEY') && !text.includes('sesame'))
  const bytes = new TextEncoder().encode('open sesame')
  const authority = await CertificateAuthority.open(directory, { passphrase: bytes })
  assert.equal(authority.fingerprint, fingerprint)
  assert.equal(new TextDecoder().decode(bytes), 'open sesame')
  assert.ok((await authority.issue({ id: 'a', role: 'agent' })).privateKey.includes('PRIVATE KEY'))
  await rejects(() => CertificateAuthority.open(directory), 'DECRYPT', 'passphrase')
  await assert.rejects(CertificateAuthority.open(directory, { passphrase: 'hunter2' }), (error) => {
    assert.equal(error.code, 'DECRYPT')
    assert.ok(!`${error.stack}`.includes('hunter2'))
    return true
  })
})

test('what others can read is refused', { skip: process.platform === 'win32' }, async (t) => {
  const directory = await scratch(t)
  const authority = await CertificateAuthority.open(directory)
  await authority.issue({ id: 'a', role: 'agent' })
  const mode = async (path) => (await stat(path)).mode & 0o777
  assert.equal(await mode(directory), 0o700)
  for (const file of await readdir(directory)) {
    const path = join(directory, file)
    assert.equal(await mode(path), 0o600, file)
    await chmod(path, 0o640)
    await rejects(() => CertificateAuthority.open(directory), 'FORBIDDEN', path, '0640')
    await chmod(path, 0o600)
  }
  await chmod(directory, 0o755)
  await rejects(() => CertificateAuthority.open(directory), 'FORBIDDEN', directory, '0755')
  await chmod(directory, 0o700)
  await CertificateAuthority.open(directory)
  const wide = `${directory}-wide`
  await mkdir(wide)
  await chmod(wide, 0o755)
  await rejects(() => CertificateAuthority.open(wide), 'FORBIDDEN')
  assert.deepEqual(await readdir(wide), [])
})

test('damage and refusals of the system have their codes', async (t) => {
  const directory = await scratch(t)
  const authority = await CertificateAuthority.open(directory)
  await authority.issue({ id: 'a', role: 'agent' })
  const register = join(directory, 'register.json')
  const whole = await readFile(register)
  await writeFile(register, whole.subarray(0, 20))
  await rejects(() => authority.list(), 'CORRUPT', 'register.json')
  await rejects(() => authority.issue({ id: 'b', role: 'agent' }), 'CORRUPT', 'register.json')
  await rejects(() => CertificateAuthority.open(directory), 'CORRUPT', 'register.json')
  await writeFile(register, whole)
  assert.equal((await authority.list()).length, 1)
  await writeFile(join(directory, 'authority.json'), '{}')
  await rejects(() => CertificateAuthority.open(directory), 'CORRUPT', 'authority.json')
  const file = `${directory}-file`
  await writeFile(file, '')
  await rejects(() => CertificateAuthority.open(file), 'STORE', file)
})

test('a hundred at once', async (t) => {
  const authority = await CertificateAuthority.open(await scratch(t))
  const ids = Array.from({ length: 100 }, (_, index) => `agent-${index}`)
  let turns = 0
  const turning = setInterval(() => turns++, 1)
  const issued = await Promise.all(ids.map((id) => authority.issue({ id, role: 'agent' })))
  clearInterval(turning)
  assert.ok(turns > 0, 'the event loop went on')
  const serials = new Set(issued.map(({ serial }) => serial))
  assert.equal(serials.size, 100)
  assert.deepEqual(new Set((await authority.list()).map(({ serial }) => serial)), serials)
})

test('two processes at once make one authority, and no certificate is missing in its register', async (t) => {
  const directory = await scratch(t)
  const program = `
    import { CertificateAuthority } from '@neural-trader/midstreamer'
    const [directory, name] = process.argv.slice(1)
    const authority = await CertificateAuthority.open(directory)
    const serials = []
    for (let i = 0; i < 10; i++) serials.push((await authority.issue({ id: name + i, role: 'agent' })).serial)
    await authority.revoke(name + 3)
    process.stdout.write(JSON.stringify([authority.fingerprint, serials]))
  `
  const run = async (name) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, directory, name], { cwd: import.meta.dirname ?? new URL('.', import.meta.url).pathname })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk) => { output += chunk })
    child.stderr.on('data', (chunk) => { errors += chunk })
    const [status] = await once(child, 'close')
    assert.deepEqual([errors, status], ['', 0])
    return JSON.parse(output)
  }
  const [[first, a], [second, b]] = await Promise.all([run('a'), run('b')])
  const authority = await CertificateAuthority.open(directory)
  assert.deepEqual([first, second], [authority.fingerprint, authority.fingerprint])
  assert.deepEqual(new Set((await authority.list()).map(({ serial }) => serial)), new Set([...a, ...b]))
  assert.deepEqual((await authority.revoked()).map(({ id }) => id).sort(), ['a3', 'b3'])
})
