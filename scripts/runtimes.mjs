// What the packed package is tried with besides the releases of node-matrix.mjs: a later Node, Bun, Deno and two bundlers, as
// exact versions from npm.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { install } from './install.mjs'
import { root } from './steps.mjs'

const folder = join(root, 'scripts', 'runtimes')

/** Where the package of each kind has its program. */
const PROGRAMS = { bun: ['bin', 'bun'], deno: ['deno'], node: ['bin', 'node'] }

/** Those for this platform, as { kind, name, path }. Empty where none are listed. */
export function runtimes() {
  const { optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const suffix = `-${process.platform}-${process.arch}`
  // All of them are linked against glibc.
  if (process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined) return []
  return Object.entries(optionalDependencies)
    .filter(([name]) => name.endsWith(suffix))
    .map(([name, spec]) => {
      const kind = name.split('-')[0]
      const version = spec.slice(spec.lastIndexOf('@') + 1)
      return { kind, name: `${kind[0].toUpperCase()}${kind.slice(1)} ${version}`, path: join(folder, 'node_modules', name, ...PROGRAMS[kind]) }
    })
}

/** The bundlers that are installed beside them: `bundler('esbuild')`. */
export const bundler = createRequire(join(folder, 'package.json'))

/** Installs all of it into scripts/runtimes/node_modules, which git ignores. */
export async function installRuntimes() {
  const note = await install(folder)
  const missing = runtimes().filter(({ path }) => !existsSync(path))
  if (missing.length > 0) throw new Error(`npm did not install ${missing.map(({ path }) => path)}`)
  return note
}
