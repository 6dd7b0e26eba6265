'use strict'
// loadQuicTransport, isNative and isStub as agentic-flow and its relatives look for them: messages between two addresses,
// over QUIC with certificates on both sides.

const { readFile } = require('node:fs/promises')
const native = require('../../native.js')
const { failure, fromNative, invalid, show } = require('../../errors.js')
const { callback, count, readOptions, checksOf } = require('../../options.js')
const { object, port, text, unsupported } = require('./options.js')

/** Links of this name reach each other. */
const NAME = 'agent-transport'
const DEFAULT_STREAM = 'default'
/** Pieces that a message travels in; the first byte says whether another one follows. */
const PIECE = 256 * 1024 - 1
const LONGEST_MESSAGE = 16 * 1024 * 1024
/** Messages that may wait for `receive` from one address. Who sends more without being read is cut off. */
const MOST_WAITING = 4096
/** As long as a timer can be. */
const LONGEST_MS = 2 ** 31 - 1

const CONFIG = checksOf({
  identity: object,
  tls: object,
  requestTimeoutMs: count,
  connectTimeoutMs: count,
  // What the peer is called is in its certificate, keep-alives follow from our own time-outs, and streams are queues: taken, and of no effect.
  serverName: text,
  maxIdleTimeoutMs: count,
  maxConcurrentStreams: count,
  enable0Rtt(name, value) {
    if (value === false) return value
    throw invalid(`${name} must be false, got ${show(value)}: what arrives before the handshake could be replayed`)
  },
})

const TLS = checksOf({
  certPath: text,
  keyPath: text,
  caPath: text,
  pinnedFingerprints: unsupported('peers are verified by the authority that issued their certificates'),
})

async function identityOf({ identity, tls }) {
  if (identity !== undefined) return identity
  const { certPath, keyPath, caPath } = readOptions(tls, TLS, {}, 'tls')
  if (certPath === undefined || keyPath === undefined || caPath === undefined) {
    throw invalid('loadQuicTransport needs identity, or tls with certPath, keyPath and caPath: there is no peer without a certificate')
  }
  const [certificate, privateKey, ca] = await Promise.all([certPath, keyPath, caPath].map((path) => readFile(path, 'utf8')))
  return { certificate, privateKey, ca }
}

function encoded(message) {
  object('message', message)
  text('message.id', message.id)
  text('message.type', message.type)
  let json
  try {
    json = JSON.stringify(message)
  } catch (error) {
    throw invalid(`message cannot be written as JSON: ${error.message}`)
  }
  const bytes = Buffer.from(json)
  if (bytes.length > LONGEST_MESSAGE) throw failure('TOO_LARGE', `the message has ${bytes.length} bytes, more than ${LONGEST_MESSAGE}`)
  return bytes
}

const streamOf = (message) => String(message.streamId ?? DEFAULT_STREAM)

/** The links of one address that was dialled, or all that came in. */
class Side {
  #native
  #transport
  #address
  /** Link -> address, and pieces of a message that is not whole. */
  links = new Map()

  constructor(transport, address) {
    this.#transport = transport
    this.#address = address
    this.#native = new native.NativeTransport(NAME, () => this.#take())
  }

  listen(address, { certificate, privateKey, ca }) {
    return this.#native.listen(address, certificate, privateKey, ca)
  }

  connect({ certificate, privateKey, ca }, timeoutMs) {
    return this.#native.connect(this.#address, certificate, privateKey, ca, timeoutMs)
  }

  send(link, bytes) {
    for (let at = 0; at === 0 || at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE)
      const framed = Buffer.allocUnsafe(piece.length + 1)
      framed[0] = at + PIECE < bytes.length ? 1 : 0
      piece.copy(framed, 1)
      this.#native.send(link, framed)
    }
  }

  cut(link) {
    this.#native.closeLink(link)
  }

  close() {
    return this.#native.close()
  }

  #take() {
    for (const { link, kind, text: peer, bytes } of this.#native.take()) {
      if (kind === 'up') {
        this.links.set(link, { address: this.#address ?? peer, pieces: [], length: 0 })
        this.#transport.opened()
      } else if (kind === 'down') {
        if (this.links.delete(link)) this.#transport.ended()
      } else {
        this.#piece(link, bytes)
      }
    }
  }

  #piece(link, bytes) {
    const state = this.links.get(link)
    if (state === undefined) return
    state.pieces.push(bytes.subarray(1))
    state.length += bytes.length - 1
    if (state.length > LONGEST_MESSAGE) return this.cut(link)
    if (bytes[0] === 1) return
    const whole = Buffer.concat(state.pieces)
    state.pieces = []
    state.length = 0
    let message
    try {
      message = JSON.parse(whole.toString())
    } catch {
      message = undefined
    }
    // Who sends anything else speaks something else.
    if (message === null || typeof message !== 'object') return this.cut(link)
    if (!this.#transport.deliver(state.address, message)) this.cut(link)
  }
}

class QuicTransport {
  #identity
  #config
  #dialled = new Map()
  #inbound
  #queues = new Map()
  #waiters = new Map()
  #handlers = new Set()
  #created = 0
  #closed = 0
  #ended = false
  /** It does nothing: it is what keeps the process alive until the transport is closed. */
  #timer = setInterval(() => {}, LONGEST_MS)

  constructor(identity, config) {
    this.#identity = identity
    this.#config = config
  }

  /** Takes connections; port 0 is a free one. Resolves with host:port. The identity's role must be `peer`. */
  async listen(wanted, host = '0.0.0.0') {
    port('port', wanted)
    this.#check()
    this.#inbound ??= new Side(this, undefined)
    return this.#guard(this.#inbound.listen(`${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${wanted}`, this.#identity))
  }

  /** `address` is host:port, or the id of a peer that has connected to this side. */
  async send(address, message) {
    const bytes = encoded(message)
    const [side, link] = await this.#route(text('address', address))
    this.#sync(() => side.send(link, bytes))
  }

  async sendBatch(address, messages) {
    const all = Array.from(messages, encoded)
    const [side, link] = await this.#route(text('address', address))
    this.#sync(() => all.forEach((bytes) => side.send(link, bytes)))
  }

  /** The next message from there that no handler has taken. */
  async receive(address, streamId = DEFAULT_STREAM) {
    this.#check()
    const key = `${text('address', address)}#${streamId}`
    const queue = this.#queues.get(key)
    if (queue !== undefined) {
      const message = queue.shift()
      if (queue.length === 0) this.#queues.delete(key)
      return message
    }
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(key) ?? []
      waiters.push({ resolve, reject })
      this.#waiters.set(key, waiters)
    })
  }

  /** Sends, and waits for the next message on the same stream. */
  async request(address, message) {
    const stream = streamOf(object('message', message))
    const key = `${text('address', address)}#${stream}`
    const answer = this.receive(address, stream)
    const waiter = this.#waiters.get(key)?.at(-1)
    const ms = this.#config.requestTimeoutMs
    let timer
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(failure('TIMEOUT', `${show(address)} has not answered within ${ms} ms`)), Math.min(ms, LONGEST_MS))
    })
    // Whoever is beaten in the race may reject when nobody listens any more.
    for (const promise of [answer, late]) promise.catch(() => {})
    try {
      return await Promise.race([this.send(address, message).then(() => answer), late])
    } catch (error) {
      // What comes now is for the next one that asks.
      const waiters = this.#waiters.get(key)
      if (waiters?.includes(waiter)) waiters.splice(waiters.indexOf(waiter), 1)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** `handler(address, message)` for every message, or for those of one stream; what it takes does not wait for `receive`. */
  onMessage(handler, options = {}) {
    this.#handlers.add({ handler: callback('handler', handler), streamId: options.streamId === undefined ? undefined : String(options.streamId) })
  }

  async getStats() {
    const active = [...this.#dialled.values(), this.#inbound].reduce((sum, side) => sum + (side?.side?.links.size ?? side?.links?.size ?? 0), 0)
    return { active, idle: 0, created: this.#created, closed: this.#closed }
  }

  async close() {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#timer)
    for (const waiters of this.#waiters.values()) for (const { reject } of waiters) reject(failure('CLOSED', 'the transport was closed'))
    this.#waiters.clear()
    this.#queues.clear()
    await Promise.all([...[...this.#dialled.values()].map(({ side }) => side.close()), this.#inbound?.close()])
  }

  /** For Side. */
  opened() {
    this.#created += 1
  }

  /** For Side. */
  ended() {
    this.#closed += 1
  }

  /** For Side: false when nobody reads. */
  deliver(address, message) {
    const stream = streamOf(message)
    const key = `${address}#${stream}`
    let taken = false
    for (const { handler, streamId } of this.#handlers) {
      if (streamId !== undefined && streamId !== stream) continue
      taken = true
      // A handler that fails must not keep the others from their messages: it fails as a listener of an EventEmitter would.
      Promise.resolve().then(() => handler(address, message)).catch((error) => process.nextTick(() => { throw error }))
    }
    const waiters = this.#waiters.get(key)
    const waiter = waiters?.shift()
    if (waiters?.length === 0) this.#waiters.delete(key)
    if (waiter !== undefined) {
      waiter.resolve(message)
      return true
    }
    if (taken) return true
    const queue = this.#queues.get(key) ?? []
    if (queue.length >= MOST_WAITING) return false
    queue.push(message)
    this.#queues.set(key, queue)
    return true
  }

  async #route(address) {
    this.#check()
    for (const [link, state] of this.#inbound?.links ?? []) if (state.address === address) return [this.#inbound, link]
    let entry = this.#dialled.get(address)
    if (entry === undefined) {
      const side = new Side(this, address)
      entry = { side, up: this.#guard(side.connect(this.#identity, this.#config.connectTimeoutMs)) }
      this.#dialled.set(address, entry)
      entry.up.catch(() => {
        if (this.#dialled.get(address) === entry) this.#dialled.delete(address)
        return side.close()
      })
    }
    await entry.up
    const [link] = entry.side.links.keys()
    if (link === undefined) throw failure('CONNECTION', `${address} is not connected at the moment; it is dialled again`)
    return [entry.side, link]
  }

  #check() {
    if (this.#ended) throw failure('CLOSED', 'the transport was closed')
  }

  #sync(call) {
    try {
      call()
    } catch (error) {
      throw fromNative(error)
    }
  }

  async #guard(promise) {
    try {
      return await promise
    } catch (error) {
      throw fromNative(error)
    }
  }
}

async function loadQuicTransport(config = {}) {
  const read = readOptions(config, CONFIG, { requestTimeoutMs: 30_000, connectTimeoutMs: 30_000 }, 'loadQuicTransport')
  return new QuicTransport(await identityOf(read), read)
}

/** This is a native addon with QUIC in it. */
const isNative = () => true

/** And nothing in it is simulated. */
const isStub = () => false

const isQuicAvailable = async () => true

module.exports = { loadQuicTransport, isNative, isStub, isQuicAvailable }
