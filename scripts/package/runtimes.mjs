// The installed package, used once in every runtime and under every condition that can be had here.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from '../steps.mjs'
import { releases } from '../node-matrix.mjs'
import { runtimes } from '../runtimes.mjs'
import { firstLine } from '../toolchain.mjs'
import { builtWasm, expect } from './release.mjs'
import { setWritable } from './user.mjs'

/** Nobody in particular: the user that no file belongs to. */
const UNPRIVILEGED = 65_534

/** How each runtime starts a file. Deno takes what npm has installed, and asks for nothing. */
const ARGUMENTS = {
  node: (file) => [file],
  bun: (file) => [file],
  deno: (file) => ['run', '--quiet', '--allow-all', '--node-modules-dir=manual', file],
}

export async function checkRuntimes(user, folder) {
  const nodes = releases().map((release) => ({ kind: 'node', ...release })).filter(({ path }) => existsSync(path))
  const all = [{ kind: 'node', name: `Node ${process.versions.node}`, path: process.execPath }, ...nodes, ...runtimes()]
  for (const { kind, name, path } of all) {
    const env = kind === 'deno' ? { DENO_DIR: join(folder, '.deno'), DENO_NO_UPDATE_CHECK: '1' } : {}
    for (const file of ['use.cjs', 'use.mjs', 'worker.cjs', ...(builtWasm() ? ['wasm.mjs'] : [])]) await user.use(folder, `${name}, ${file}`, path, ARGUMENTS[kind](file), { env })
  }
  for (const missing of ['Bun', 'Deno'].filter((wanted) => !all.some(({ name }) => name.startsWith(wanted))))
    console.log(`does not run here: ${missing}, of which none is listed for ${process.platform} ${process.arch}`)
}

/** Nobody may write to node_modules, and the user is not the one who installed it. */
export async function checkReadOnly(user, folder) {
  const modules = join(folder, 'node_modules')
  const isRoot = process.getuid?.() === 0
  const other = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {}
  const { error } = isRoot ? spawnSync(process.execPath, ['--version'], other) : {}
  if (error) return console.log(`does not run here: another user, who may not start ${process.execPath} (${error.code})`)
  if (process.platform !== 'win32') setWritable(modules, false)
  try {
    const who = isRoot ? `user ${UNPRIVILEGED}` : 'the same user'
    for (const file of ['use.cjs', 'use.mjs']) await user.use(folder, `node_modules that are read-only, ${who}, ${file}`, process.execPath, [file], other)
  } finally {
    if (process.platform !== 'win32') setWritable(modules, true)
  }
}

/** Electron's rule, which Node is made to follow: results that are arrays are copied, and the same. */
export async function checkNoExternalBuffers(user, folder) {
  const glibc = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime !== undefined
  if (!glibc || firstLine('cc', ['--version']) === null) return console.log("does not run here: Electron's rule of no external buffers, which takes glibc and a C compiler")
  const library = join(folder, 'no-external-buffers.so')
  await run('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, join(root, 'scripts', 'package', 'no-external-buffers.c'), '-ldl'], { quiet: true })
  const output = await user.use(folder, 'no external buffers, as in Electron', process.execPath, ['use.cjs'], { env: { LD_PRELOAD: library } })
  const refused = Number(/^external buffers refused: (\d+)$/m.exec(output)?.[1])
  expect(refused > 0, `no external buffer was refused, so nothing was tried:\n${output}`)
}
