/** Processes of this benchmark: they answer one question at a time, and none outlives the run. */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const running = new Set()

function track(process) {
  running.add(process)
  process.once('exit', () => running.delete(process))
  return process
}

/** For the end, whichever it is. */
export function killAll() {
  for (const process of running) process.kill('SIGKILL')
}

/** A process of child.mjs, or of another such program, in one of its roles. */
export class Child {
  #process
  #pending = null

  constructor(role, program = new URL('child.mjs', import.meta.url)) {
    this.#process = track(fork(fileURLToPath(program), [role], { serialization: 'advanced' }))
    this.#process.on('message', ({ answer, error }) => {
      const { resolve, reject } = this.#pending
      this.#pending = null
      if (error === undefined) resolve(answer)
      else reject(new Error(`${role}: ${error}`))
    })
    this.#process.on('exit', (code, signal) => this.#pending?.reject(new Error(`the process '${role}' has ended with ${code ?? signal}`)))
  }

  /** @returns {Promise<any>} the answer of the role's function `name` */
  ask(name, ...args) {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#process.send({ name, args }, (error) => { if (error) reject(error) })
    })
  }

  /** Without its channel it has nothing left to do. */
  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.disconnect()
    await ended
  }
}

/** A NATS server on a free port of loopback; undefined where none is installed. */
export async function natsServer() {
  const server = track(spawn('nats-server', ['--addr', '127.0.0.1', '--port', '-1'], { stdio: ['ignore', 'ignore', 'pipe'] }))
  const address = await new Promise((resolve, reject) => {
    let log = ''
    server.on('error', (error) => (error.code === 'ENOENT' ? resolve(undefined) : reject(error)))
    server.on('exit', (code) => reject(new Error(`nats-server has ended with ${code}: ${log}`)))
    server.stderr.setEncoding('utf8').on('data', (text) => {
      log += text
      const listens = /Listening for client connections on (\S+)[\s\S]*Server is ready/.exec(log)
      if (listens) resolve({ address: listens[1], version: /Version:\s+(\S+)/.exec(log)?.[1] })
    })
  })
  if (address === undefined) {
    running.delete(server)
    return undefined
  }
  return {
    ...address,
    async stop() {
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      await ended
    },
  }
}
