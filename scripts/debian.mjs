// Programs of Debian, unpacked below a folder and installed nowhere: another compiler on the PATH could be taken for the first one.

import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, run } from './steps.mjs'
import { firstLine } from './toolchain.mjs'

/** Why nothing can be had from Debian here, or null. */
export function noDebian() {
  const missing = ['apt-get', 'apt-cache', 'dpkg-deb'].find((command) => firstLine(command, ['--version']) === null)
  if (process.platform !== 'linux' || missing !== undefined) return 'this is no Debian'
  return process.getuid() === 0 ? null : 'only root can fetch what Debian has'
}

/** Folders of shared libraries below `place`, and those in them that programs find only by being told. */
function libraries(place) {
  const lib = join(place, 'usr', 'lib')
  const folder = readdirSync(lib).find((name) => name.endsWith('-linux-gnu'))
  if (folder === undefined) return []
  const inside = readdirSync(join(lib, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const hold = (path) => readdirSync(path).some((name) => /^lib.*\.so/.test(name))
  return [join(lib, folder), ...inside.map(({ name }) => join(lib, folder, name)).filter(hold)]
}

/**
 * Fetches `packages` with all that they need and unpacks them below `folder`, once. Gives the path of a script that runs
 * `program`, whose path counts from where they are unpacked.
 */
export async function fromDebian(packages, program, folder) {
  const [debs, place, script] = ['debs', 'root', 'run'].map((name) => join(folder, name))
  if (existsSync(script)) return script
  for (const path of [join(debs, 'partial'), place]) mkdirSync(path, { recursive: true })
  await run('apt-get', ['update', '-qq'], { quiet: true })
  for (const name of packages) {
    const known = await run('apt-cache', ['policy', name], { quiet: true })
    if (!/Candidate: \d/.test(known)) throw new Stop(`this Debian has no package ${name}`)
  }
  const only = ['-y', '-qq', '--no-install-recommends', '--reinstall', '--download-only', '-o', `Dir::Cache::archives=${debs}`]
  await run('apt-get', ['install', ...only, ...packages], { quiet: true })
  for (const deb of readdirSync(debs).filter((file) => file.endsWith('.deb'))) await run('dpkg-deb', ['-x', join(debs, deb), place], { quiet: true })
  // Last: what is there is whole.
  writeFileSync(script, `#!/bin/sh\nexport LD_LIBRARY_PATH='${libraries(place).join(':')}'\nexec '${join(place, program)}' "$@"\n`)
  chmodSync(script, 0o755)
  return script
}
