'use strict'
// What `doctor` looks at. Each check gives `{ name, status: 'ok' | 'warning' | 'failed', detail, advice? }` and changes nothing.

const { X509Certificate, createPrivateKey } = require('node:crypto')
const { lookup } = require('node:dns/promises')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const manifest = require('../../package.json')
const api = require('./api.js')
const { certificateOf, isAuthority } = require('./authority.js')
const { readCoordinator } = require('./coordinator-view.js')
const { PEMS, isDirectory, readIdentity } = require('./files.js')
const { age } = require('./terminal.js')

const result = (status) => (name, detail, advice) => (advice === undefined ? { name, status, detail } : { name, status, detail, advice })
const ok = result('ok')
const warning = result('warning')
const failed = result('failed')

const LEAST_NODE = 18

/** What a coordinator asks the system for, in bytes. */
const WANTED_BUFFER = 4 * 2 ** 20

/** Certificates are valid from five minutes before they were issued: a clock that is behind by more refuses them. */
const CLOCK_FAILS_MS = 300_000
const CLOCK_WARNS_MS = 5000

/** No clock that is right can be before this version was made. */
const EARLIEST = Date.UTC(2026, 0, 1)

const HANDSHAKE_MS = 10_000

function node() {
  const name = 'Node.js'
  const detail = `${process.versions.node} on ${process.platform} ${process.arch}`
  if (Number(process.versions.node.split('.')[0]) < LEAST_NODE) return failed(name, detail, `install Node.js ${LEAST_NODE} or later`)
  return ok(name, detail)
}

function addon() {
  const name = 'addon'
  try {
    const { package: version, kernel, threads } = api.version()
    const detail = `version ${version}, kernel ${kernel}, ${threads} threads`
    if (version !== manifest.version) return failed(name, detail, `the package is ${manifest.version}: remove node_modules and install again`)
    if (process.env.MIDSTREAMER_KERNEL) return warning(name, detail, `MIDSTREAMER_KERNEL=${process.env.MIDSTREAMER_KERNEL} forces the kernel: unset it for the fastest one`)
    if (kernel === 'scalar' || kernel === 'portable') return warning(name, detail, 'the processor has no vector instructions that the kernels know: results are the same and take longer')
    return ok(name, detail)
  } catch (error) {
    return failed(name, error.message, `npm install ${manifest.name}, without --omit=optional`)
  }
}

function processors() {
  const name = 'processors'
  const [cores, all] = [(os.availableParallelism ?? (() => os.cpus().length))(), os.cpus().length]
  const load = os.loadavg()[0]
  const detail = `${cores} of ${all} usable, load ${load.toFixed(1)}, ${os.cpus()[0]?.model.trim() ?? 'unknown model'}`
  if (load > 2 * Math.max(1, cores)) return warning(name, detail, 'the machine is busy: agents answer late, and agentTimeoutMs may have to be longer')
  return ok(name, detail)
}

/** A coordinator and an agent in this process: certificates, QUIC and a task over UDP on loopback. */
async function loopback() {
  const name = 'QUIC on this machine'
  let coordinator, agent
  try {
    coordinator = await api.Coordinator.start()
    agent = await api.Agent.connect({ address: coordinator.address, identity: await coordinator.developmentIdentity('doctor'), connectTimeoutMs: HANDSHAKE_MS })
    const { value } = await coordinator.submit({ kind: 'dtw', payload: { a: [1, 2, 3], b: [2, 3, 4] }, timeoutMs: HANDSHAKE_MS })
    if (value !== 2) return failed(name, `a task gave ${value}, not 2`, 'report this as a defect')
    const [{ rttMs, keyExchange }] = coordinator.agents()
    return ok(name, `a task went over UDP on loopback (${keyExchange}, round trip ${rttMs.toFixed(2)} ms)`)
  } catch (error) {
    return failed(name, `${error.message} (${error.code})`, 'UDP on 127.0.0.1 has to be allowed: look at local firewalls and sandboxes')
  } finally {
    await agent?.close()
    await coordinator?.close()
  }
}

/** Linux gives less than what is asked for unless it is allowed to. */
function buffers() {
  if (process.platform !== 'linux') return undefined
  const name = 'UDP buffers'
  let most
  try {
    most = ['rmem_max', 'wmem_max'].map((file) => [file, Number(fs.readFileSync(`/proc/sys/net/core/${file}`, 'utf8'))])
  } catch {
    return ok(name, 'the system does not tell: with fewer than a hundred agents it does not matter')
  }
  const detail = most.map(([file, bytes]) => `net.core.${file} = ${bytes}`).join(', ')
  if (most.every(([, bytes]) => bytes >= WANTED_BUFFER)) return ok(name, detail)
  return warning(name, detail, `a coordinator of a hundred agents or more: sysctl -w net.core.rmem_max=${WANTED_BUFFER} net.core.wmem_max=${WANTED_BUFFER}`)
}

/**
 * Whether a coordinator answers over UDP. It is asked by a stranger, with a certificate of nobody: it refuses that, which proves that
 * packets go both ways and that it speaks the protocol, and disturbs no agent.
 */
async function reach(address) {
  const name = `coordinator ${address}`
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '')
  try {
    await lookup(host)
  } catch (error) {
    return failed(name, `${host} has no address: ${error.message}`, 'look at the name, and at DNS')
  }
  const stranger = await api.Coordinator.start()
  try {
    const agent = await api.Agent.connect({ address, identity: await stranger.developmentIdentity('doctor'), connectTimeoutMs: HANDSHAKE_MS })
    await agent.close()
    return failed(name, 'it took a certificate of nobody', 'what answers there is no coordinator of a swarm')
  } catch (error) {
    if (error.code === 'UNAUTHENTICATED') return ok(name, 'answers over UDP, and refuses a stranger, as it should')
    const advice = error.code === 'CONNECTION'
      ? 'is it running, is it the right port, and does the firewall let UDP through? On its machine: tcpdump -n udp port <port>'
      : 'something else may listen there: look at the address'
    return failed(name, `${error.message} (${error.code})`, advice)
  } finally {
    await stranger.close()
  }
}

/** The end of a certificate, against how long it lasts at all: short ones are renewed at half of that. */
function lifeOf(name, pem, renewal) {
  const certificate = new X509Certificate(pem)
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
  const now = Date.now()
  const who = (certificate.subjectAltName ?? certificate.subject).replace(/^URI:/, '')
  if (now < from) return failed(name, `${who}: valid only from ${new Date(from).toISOString()}`, 'the clock of this machine is behind')
  if (now >= to) return failed(name, `${who}: ended ${age(now - to)} ago`, renewal)
  const detail = `${who}: ends in ${age(to - now)}`
  return to - now < (to - from) / 4 ? warning(name, detail, renewal) : ok(name, detail)
}

function identity(place, state) {
  const name = `identity ${place}`
  try {
    const wide = process.platform === 'win32' ? undefined : secretFiles(place).find((file) => (fs.statSync(file).mode & 0o077) !== 0)
    if (wide !== undefined) return failed(name, `others can read ${wide}`, `chmod 600 ${wide}, and ask who has read it`)
    const { certificate, privateKey, ca } = readIdentity(place, state)
    const parsed = new X509Certificate(certificate)
    if (!parsed.checkPrivateKey(createPrivateKey(privateKey))) return failed(name, 'the private key does not belong to the certificate', 'enrol again, or have another identity issued')
    const roots = ca.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g) ?? []
    if (!roots.some((root) => parsed.verify(new X509Certificate(root).publicKey))) return failed(name, 'the certificate is of no authority that the identity trusts', 'enrol again, or have another identity issued')
    return lifeOf(name, certificate, 'it is renewed while its agent is connected to a coordinator with the authority; otherwise enrol again, or have another issued')
  } catch (error) {
    return failed(name, error.message, 'enrol, or have an identity issued (`midstreamer enroll`, `midstreamer ca issue`)')
  }
}

/** The files of an identity that hold a private key. */
function secretFiles(place) {
  const files = isDirectory(place) ? [path.join(place, PEMS.privateKey), path.join(place, 'identity.json')] : [place]
  return files.filter((file) => fs.existsSync(file))
}

function authority(directory) {
  const name = `authority ${directory}`
  try {
    if (!isAuthority(directory)) return failed(name, 'there is none', '`midstreamer ca init` makes one')
    const mode = fs.statSync(directory).mode & 0o077
    if (process.platform !== 'win32' && mode !== 0) return failed(name, 'others can open the directory', `chmod 700 ${directory}, and ask who has read it`)
    return lifeOf(name, certificateOf(directory), 'change the root in time: docs/security.md, "Changing the authority"')
  } catch (error) {
    return failed(name, error.message, 'restore the directory from a backup')
  }
}

/** Against the clock of a coordinator where its HTTP address is known; otherwise only whether the time can be right at all. */
async function clock(url) {
  const name = 'clock'
  const now = new Date()
  if (now.getTime() < EARLIEST) return failed(name, now.toISOString(), 'set the clock: every certificate is refused')
  if (url === undefined) return ok(name, `${now.toISOString()}; --url compares it with a coordinator's`)
  try {
    const before = Date.now()
    const { date } = await readCoordinator({ url })
    if (date === undefined) return warning(name, `${url} does not tell its time`, 'compare the clocks by hand')
    // Whole seconds, and the time on the way: half a second is the middle.
    const offset = Math.max(0, Math.abs((before + Date.now()) / 2 - (date + 500)) - 500)
    const detail = offset < 1000 ? `as the coordinator's, to the second` : `${age(offset)} from the coordinator's`
    if (offset > CLOCK_FAILS_MS) return failed(name, detail, 'set the clock: certificates are refused')
    return offset > CLOCK_WARNS_MS ? warning(name, detail, 'synchronise both clocks (NTP): beyond 5 minutes certificates are refused') : ok(name, detail)
  } catch (error) {
    return failed(name, error.message, 'is this the http address of a coordinator?')
  }
}

async function readiness(url) {
  const name = `monitoring ${url}`
  try {
    const { ready, reason, stats } = await readCoordinator({ url })
    const detail = `${stats.agents} agents, ${stats.queued} tasks queued, ${stats.running} running`
    return ready ? ok(name, detail) : failed(name, `not ready: ${reason}`, 'docs/deployment.md, "When something is wrong"')
  } catch (error) {
    return failed(name, error.message, 'is this the http address of a coordinator?')
  }
}

/** Variables that look like ours and are none: a slip means the default. */
function environment(known) {
  const name = 'configuration'
  const unknown = Object.keys(process.env).filter((key) => key.startsWith('MIDSTREAMER_') && !known.has(key))
  if (unknown.length === 0) return ok(name, 'no variable that is unknown')
  return warning(name, `${unknown.join(', ')} ${unknown.length === 1 ? 'is' : 'are'} not known`, 'docs/cli.md lists the variables')
}

module.exports = { node, addon, processors, loopback, buffers, reach, identity, authority, clock, readiness, environment }
