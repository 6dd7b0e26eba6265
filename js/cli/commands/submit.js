'use strict'
// submit: one task for the coordinator that runs on a data directory.

const fs = require('node:fs')
const { askControl } = require('../control.js')
const { failed, usage } = require('../exit.js')
const { lifetime } = require('../lifetime.js')
const { option, duration, fileOrStdin, flag, integer, list, string } = require('../options.js')
const { plain } = require('../output.js')
const shared = require('../shared-options.js')

const command = {
  name: 'submit',
  summary: 'hand in a task and wait for its result',
  description: 'Hands a task to the coordinator that runs on the data directory, waits, and prints what it gave, as JSON. Ctrl-C cancels it. With --detach it only says the id of the task, and `submit --result <id>` waits for it later.',
  arguments: [['[kind]', 'which handler runs it']],
  options: [
    shared.dataDir,
    option('payload', 'path', fileOrStdin, 'file with the payload as JSON, - for the standard input', { shown: 'null', environment: false }),
    option('priority', 'n', integer(0, 9), '9 first', { fallback: 0, shown: '0', environment: false }),
    option('requires', 'names', list, 'capabilities that the agent must have, separated by commas', { environment: false }),
    option('timeout', 'duration', duration, 'from acceptance to outcome', { shown: "the coordinator's", environment: false }),
    option('key', 'text', string, 'idempotency key: the same key is the same task', { environment: false }),
    option('detach', undefined, flag, 'do not wait', { fallback: false, environment: false }),
    option('result', 'id', string, 'wait for the task of this id or key instead', { environment: false }),
  ],
  async run({ settings, args: [kind], out }) {
    const { dataDir, detach, result } = settings
    if ((kind === undefined) === (result === undefined)) throw usage('say either a kind of task or --result with the id of one')
    if (settings.timeout === 0) throw usage('--timeout must be longer than 0')
    const life = lifetime()
    try {
      if (result !== undefined) return show(await askControl(dataDir, 'POST /tasks/result', { id: result }, life), out)
      const { priority, requires, timeout: timeoutMs, key: idempotencyKey } = settings
      const task = { kind, payload: payloadOf(settings.payload), priority, requires, timeoutMs, idempotencyKey }
      if (!detach) return show(await askControl(dataDir, 'POST /tasks', task, life), out)
      const accepted = await askControl(dataDir, 'POST /tasks/queued', task, life)
      out.result(accepted, [accepted.taskId])
    } catch (error) {
      if (error.name === 'AbortError') throw failed('cancelled', 'ABORTED')
      if (error.remoteError === undefined) throw error
      throw failed(`${error.message}\n${error.remoteError.message}${error.remoteError.code ? ` (${error.remoteError.code})` : ''}`, error.code)
    } finally {
      life.release()
    }
  },
}

function show(outcome, out) {
  const { agentId, attempts, queuedMs, runMs } = outcome
  out.result(outcome, [JSON.stringify(outcome.value ?? null, plain, 2)])
  out.note(`by ${agentId}; ${queuedMs} ms in the queue, ${runMs} ms at work${attempts > 1 ? `, ${attempts} attempts` : ''}`)
}

function payloadOf(file) {
  if (file === undefined) return null
  let text
  try {
    text = fs.readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw usage(`the payload cannot be read: ${error.message}`)
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw usage(`the payload is no JSON: ${error.message}`)
  }
}

module.exports = { commands: [command] }
