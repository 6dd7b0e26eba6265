// AgentDB and the databases under it, for the tests of AgentDbSync: into scripts/agentdb/node_modules, which git ignores.
//
// | driver | Node |
// | --- | --- |
// | better-sqlite3 13, prebuilt in its package | 22 and later |
// | better-sqlite3 11, the one that AgentDB asks for, compiled here | the Node of this process when it is older |
// | node:sqlite | 22.16 and later |
// | sql.js | all |

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { install } from './install.mjs'
import { isMain, main, root, run } from './steps.mjs'

const folder = join(root, 'scripts', 'agentdb')

/** Whether this Node opens a database with a package; in a process of its own, since a binary of another Node may end it. */
function opens(name) {
  const path = join(folder, 'node_modules', name)
  const program = `new (require(${JSON.stringify(path)}))(':memory:').close()`
  return spawnSync(process.execPath, ['-e', program], { stdio: 'ignore' }).status === 0
}

/** Headers beside this Node, where it was unpacked or installed with them; node-gyp would download them. */
function headers() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? { npm_config_nodedir: prefix } : {}
}

export async function installAgentDb() {
  const note = await install(folder)
  if (opens('better-sqlite3-13') || opens('better-sqlite3')) return note
  await run('npm', ['rebuild', 'better-sqlite3', '--ignore-scripts=false', '--build-from-source', '--loglevel=error'], {
    cwd: folder,
    env: { ...headers(), JOBS: String(availableParallelism()) },
  })
  if (!opens('better-sqlite3')) throw new Error('better-sqlite3 was compiled and does not open a database')
  return 'compiled better-sqlite3'
}

if (isMain(import.meta.url)) await main(async () => console.log((await installAgentDb()) ?? 'installed'))
