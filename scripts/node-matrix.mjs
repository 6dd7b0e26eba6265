// Other Node releases to run the tests on, as exact versions of npm packages that hold the plain binary.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { install } from './install.mjs'
import { root } from './steps.mjs'

const folder = join(root, 'scripts', 'node-matrix')

/** The releases there are for this platform, as { name, path }. Empty where none are listed. */
export function releases() {
  const { optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const suffix = `-${process.platform}-${process.arch}`
  // The binaries are linked against glibc; Alpine's Node has no such version in its report.
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined
  if (process.platform === 'linux' && !glibc) return []
  return Object.entries(optionalDependencies)
    .filter(([name]) => name.endsWith(suffix))
    .map(([name, spec]) => ({
      name: `Node ${spec.slice(spec.lastIndexOf('@') + 1)}`,
      path: join(folder, 'node_modules', name, 'bin', 'node'),
    }))
}

/** Installs them into scripts/node-matrix/node_modules, which git ignores. */
export async function installReleases() {
  const note = await install(folder)
  const missing = releases().filter(({ path }) => !existsSync(path))
  if (missing.length > 0) throw new Error(`npm did not install ${missing.map(({ path }) => path)}`)
  return note
}
