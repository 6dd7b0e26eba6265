// An agent in a process of its own, to be killed and stopped. argv: { address, identity, log, slots }, as JSON.
//
// It writes down every execution before it works, one line at a time, so that nothing a signal can do takes it back:
// `<asked> <started> <task> <attempt> <fence> <id>`, both times by the monotonic clock, which all processes share. `asked` is
// read before the agent asks whether the lease still holds, `started` in the first statement of the handler.

import { createRequire } from 'node:module'
import { existsSync, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from '@neural-trader/midstreamer'

const { address, identity, log, slots } = JSON.parse(process.argv[2])
const file = openSync(log, 'a')
const cell = new Int32Array(new SharedArrayBuffer(4))
let asked = 0n

// The handler runs in the same turn as this question, so the last time is that of its task.
const { NativeAgent } = createRequire(import.meta.url)('../../../js/native.js')
const { mayStart } = NativeAgent.prototype
NativeAgent.prototype.mayStart = function (token) {
  asked = process.hrtime.bigint()
  return mayStart.call(this, token)
}

const handlers = {
  /** `gate`: the first attempt keeps the event loop busy until that file is there. */
  async work({ x, ms, gate }, { taskId, attempt, fence }) {
    const started = process.hrtime.bigint()
    writeSync(file, `${asked} ${started} ${taskId} ${attempt} ${fence} ${process.pid}\n`)
    if (ms > 0) await sleep(ms)
    while (gate !== undefined && attempt === 1 && !existsSync(gate)) Atomics.wait(cell, 0, 0, 5)
    return { y: 3 * x + 1, fence }
  },
}

// Whoever started it is gone, or wants it gone.
process.stdin.on('end', () => process.exit(0)).resume()
const agent = await Agent.connect({ address, identity, handlers, concurrency: slots, connectTimeoutMs: 60_000 })
agent.on('closed', (error) => {
  process.stderr.write(`agent ${agent.id} closed: ${error?.code} ${error?.message}\n`)
  process.exit(3)
})
process.stdout.write('connected\n')
