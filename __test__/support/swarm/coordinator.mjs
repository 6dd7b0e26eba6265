// A durable coordinator in a process of its own, to be killed. argv: the options of Coordinator.start, as JSON.
//
// Lines in: { enqueue: [x, ...] } and { result: [taskId, ...] }. Lines out: { ready: address }, { accepted: taskId, x } for every
// task, and { outcome: taskId, value, attempts, at } for every task it was asked for or has accepted, `at` by the monotonic
// clock when the outcome was delivered. Writes to a pipe are synchronous: what was said before a SIGKILL was said.

import { createInterface } from 'node:readline'
import { Coordinator } from '@neural-trader/midstreamer'

const coordinator = await Coordinator.start(JSON.parse(process.argv[2]))
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

async function deliver(taskId) {
  try {
    const { value, attempts } = await coordinator.result(taskId)
    say({ outcome: taskId, value, attempts, at: String(process.hrtime.bigint()) })
  } catch (error) {
    say({ outcome: taskId, error: error.code, message: error.message, at: String(process.hrtime.bigint()) })
  }
}

async function enqueue(x) {
  const { taskId } = await coordinator.enqueue({ kind: 'work', payload: { x, ms: x % 8 }, maxAttempts: 1000 })
  say({ accepted: taskId, x })
  await deliver(taskId)
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { enqueue: tasks = [], result = [] } = JSON.parse(line)
    for (const x of tasks) enqueue(x)
    for (const taskId of result) deliver(taskId)
  })
  // Whoever started it is gone, or wants it gone.
  .on('close', () => process.exit(0))
say({ ready: coordinator.address })
