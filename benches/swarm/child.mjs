/** The other process: `node child.mjs ROLE`, with questions and answers over the channel to its parent. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Agent, Coordinator } from '@neural-trader/midstreamer'
import { collectGarbage } from '../js/rounds.mjs'
import { GRPC_SERVICE, frame, frames, swarmPeers } from './peers.mjs'

const LOOPBACK = '127.0.0.1'

/** Each echoes what it gets and says where it listens. */
const ECHOES = {
  async net() {
    const server = createServer({ noDelay: true }, (socket) => frames(socket, (payload) => socket.write(frame(payload))))
    await once(server.listen(0, LOOPBACK), 'listening')
    return server.address().port
  },

  async ws() {
    const { WebSocketServer } = swarmPeers()('ws')
    const server = new WebSocketServer({ host: LOOPBACK, port: 0, perMessageDeflate: false })
    server.on('connection', (socket) => socket.on('message', (payload) => socket.send(payload)))
    await once(server, 'listening')
    return server.address().port
  },

  async nats(address) {
    const connection = await swarmPeers()('@nats-io/transport-node').connect({ servers: address })
    connection.subscribe('echo', { callback: (_, message) => message.respond(message.data) })
    await connection.flush()
  },

  async grpc() {
    const { Server, ServerCredentials } = swarmPeers()('@grpc/grpc-js')
    const server = new Server()
    server.addService(GRPC_SERVICE, {
      unary: (call, answer) => answer(null, call.request),
      stream: (call) => call.on('data', (payload) => call.write(payload)).on('end', () => call.end()),
    })
    return await new Promise((resolve, reject) => {
      server.bindAsync(`${LOOPBACK}:0`, ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port)))
    })
  },
}

/** A coordinator on its own, so that its memory can be told from that of its callers. */
class CoordinatorRole {
  #coordinator
  #joined = 0

  async start(options) {
    this.#coordinator = await Coordinator.start(options)
    this.#coordinator.on('agentJoined', () => { this.#joined += 1 })
    return this.#coordinator.address
  }

  async identities(count, from) {
    const issued = []
    for (let i = 0; i < count; i++) {
      const id = `agent-${from + i}`
      issued.push({ id, identity: await this.#coordinator.developmentIdentity(id) })
    }
    return issued
  }

  rss() {
    collectGarbage()
    return process.memoryUsage.rss()
  }

  /** How many, and how many were announced. */
  agents() {
    return { connected: this.#coordinator.stats().agents, joined: this.#joined }
  }

  cpu() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
}

/** Agents of one process. */
class AgentsRole {
  #agents = []

  async echo(address, identity, concurrency) {
    this.#agents.push(await Agent.connect({ address, identity, concurrency, handlers: { echo: (payload) => payload } }))
  }

  /** `atOnce` of them at a time. @returns the time of each connect() */
  async connect(address, identities, atOnce = identities.length) {
    const times = []
    const left = identities.values()
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (const { identity } of left) {
        const begun = performance.now()
        this.#agents.push(await Agent.connect({ address, identity }))
        times.push(performance.now() - begun)
      }
    }))
    return times
  }
}

const role = process.argv[2]
const ROLES = { coordinator: CoordinatorRole, agents: AgentsRole }
const target = role in ROLES ? new ROLES[role]() : { listen: ECHOES[role] }

process.on('disconnect', () => process.exit(0))
process.on('message', async ({ name, args }) => {
  try {
    process.send({ answer: await target[name](...args) })
  } catch (error) {
    process.send({ error: error.stack })
  }
})
