/** Agents as child processes, for examples that run on one machine. On several, systemd starts them: docs/deployment.md. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../agent.mjs', import.meta.url))
const PATIENCE_MS = 30_000

/**
 * Starts `agent.mjs` once for each directory with an identity, and waits until the coordinator has welcomed them all.
 *
 * @returns {Promise<() => Promise<void>>} tells them to end, and waits until they have
 */
export async function startAgents(coordinator, directories) {
  // By the channel they notice when this process is gone, however it went.
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc']
  const children = directories.map((directory) =>
    spawn(process.execPath, [PROGRAM, '--address', coordinator.address, '--identity', directory, '--state', join(directory, 'state')], { stdio }),
  )
  const ends = children.map((child) => once(child, 'exit'))
  const stop = async () => {
    // As systemd would. Where there are no signals (Windows) it ends at once, and the coordinator gives its work to others.
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(ends)
  }
  const until = Date.now() + PATIENCE_MS
  while (coordinator.agents().length < children.length) {
    const ended = children.find((child) => child.exitCode !== null)
    if (ended !== undefined || Date.now() > until) {
      await stop()
      throw new Error(ended ? `an agent ended with code ${ended.exitCode}` : `no agents within ${PATIENCE_MS} ms`)
    }
    await sleep(10)
  }
  return stop
}
