// Installs the development dependencies, unless they are there already.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { root, run } from './steps.mjs'

/**
 * Whether node_modules holds what the lock file asks for: npm writes what it installed to
 * node_modules/.package-lock.json. Packages for other platforms are in the lock file alone.
 */
export function installed(folder = root) {
  const written = join(folder, 'node_modules', '.package-lock.json')
  if (!existsSync(written)) return false
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages
  const [have, want] = [packages(written), packages(join(folder, 'package-lock.json'))]
  const wanted = Object.entries(want).filter(([path, entry]) => path !== '' && (path in have || !entry.optional))
  return (
    wanted.length >= Object.keys(have).length &&
    wanted.every(([path, entry]) => have[path]?.version === entry.version && isDeepStrictEqual(have[path].integrity, entry.integrity))
  )
}

/** `npm ci` where it is needed. Returns a note when it was not. */
export async function install(folder = root) {
  if (installed(folder)) return 'already installed'
  await run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], { cwd: folder })
}
