/** Callers in this process, handlers in another: each sends bytes, and its promise resolves to the bytes that come back. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Coordinator } from '@neural-trader/midstreamer'
import { Child, natsServer } from './children.mjs'
import { GRPC_SERVICE, frame, frames } from './peers.mjs'

export const PAYLOAD_BYTES = 256
export const IN_FLIGHT = 64

const payload = Buffer.alloc(PAYLOAD_BYTES, 7)

/** Answers come in the order of the questions. */
class Turns {
  #waiting = []
  #first = 0

  wait() {
    return new Promise((resolve) => { this.#waiting.push(resolve) })
  }

  answer(bytes) {
    this.#waiting[this.#first++](bytes)
    if (this.#first < 1024) return
    this.#waiting = this.#waiting.slice(this.#first)
    this.#first = 0
  }
}

async function handler(role, ...args) {
  const child = new Child(role)
  return { child, at: await child.ask('listen', ...args) }
}

export async function net() {
  const { child, at } = await handler('net')
  const socket = connect({ port: at, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const turns = new Turns()
  frames(socket, (bytes) => turns.answer(bytes))
  return {
    name: 'Node net, framed echo',
    call: () => {
      socket.write(frame(payload))
      return turns.wait()
    },
    async stop() {
      socket.destroy()
      await child.stop()
    },
  }
}

export async function ws(load, version) {
  const { child, at } = await handler('ws')
  const socket = new (load('ws'))(`ws://127.0.0.1:${at}`, { perMessageDeflate: false })
  await once(socket, 'open')
  const turns = new Turns()
  socket.on('message', (bytes) => turns.answer(bytes))
  return {
    name: `ws ${version}, echo`,
    call: () => {
      socket.send(payload)
      return turns.wait()
    },
    async stop() {
      socket.terminate()
      await child.stop()
    },
  }
}

/** Undefined without a server. */
export async function nats(load, version) {
  const server = await natsServer()
  if (server === undefined) return undefined
  const { child } = await handler('nats', server.address)
  const connection = await load('@nats-io/transport-node').connect({ servers: server.address })
  return {
    name: `NATS ${server.version}, request-reply (client ${version})`,
    call: async () => (await connection.request('echo', payload, { timeout: 30_000 })).data,
    async stop() {
      await connection.close()
      await child.stop()
      await server.stop()
    },
  }
}

/** Both ways of gRPC, to one server. */
export async function grpc(load, version) {
  const { child, at } = await handler('grpc')
  const { makeGenericClientConstructor, credentials } = load('@grpc/grpc-js')
  const client = new (makeGenericClientConstructor(GRPC_SERVICE, 'echo'))(`127.0.0.1:${at}`, credentials.createInsecure())
  const stream = client.stream()
  const turns = new Turns()
  stream.on('data', (bytes) => turns.answer(bytes))
  return [
    {
      name: `@grpc/grpc-js ${version}, unary`,
      call: () => new Promise((resolve, reject) => client.unary(payload, (error, bytes) => (error ? reject(error) : resolve(bytes)))),
      stop: async () => {},
    },
    {
      name: `@grpc/grpc-js ${version}, stream`,
      call: () => {
        stream.write(payload)
        return turns.wait()
      },
      async stop() {
        stream.on('error', () => {}) // that it was cancelled
        stream.cancel()
        client.close()
        await child.stop()
      },
    },
  ]
}

/** Ours: the same bytes through a handler in JavaScript, and short series through a kernel of the agent. */
export async function swarm() {
  const coordinator = await Coordinator.start()
  const child = new Child('agents')
  await child.ask('echo', coordinator.address, await coordinator.developmentIdentity('handler'), IN_FLIGHT)
  const a = Float64Array.from({ length: 16 }, (_, i) => Math.sin(i))
  const b = Float64Array.from({ length: 16 }, (_, i) => Math.cos(i))
  return [
    {
      name: 'ours, handler in JavaScript',
      call: async () => (await coordinator.submit({ kind: 'echo', payload })).value,
      stop: async () => {},
    },
    {
      name: "ours, built-in kind 'dtw' of 16 x 16",
      call: async () => (await coordinator.submit({ kind: 'dtw', payload: { a, b } })).value,
      isNative: true,
      async stop() {
        await coordinator.close()
        await child.stop()
      },
    },
  ]
}

/** The bytes came back. */
export function assertEcho({ name }, bytes) {
  if (!payload.equals(bytes)) throw new Error(`${name} gave ${bytes?.length} bytes that are not what was sent`)
}
