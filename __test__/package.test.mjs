// The package as a module: both module systems, names, and what it says when the addon is missing.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('..', import.meta.url))

/** Values that a declaration file exports, also those of another file. */
function declared(file) {
  const text = readFileSync(join(root, file), 'utf8')
  const own = [...text.matchAll(/^export (?:function|class|const) (\w+)/gm)].map((match) => match[1])
  const passedOn = [...text.matchAll(/^export \{ ([^}]+) \} from/gm)].flatMap((match) => match[1].split(', '))
  return [...new Set([...own, ...passedOn])].sort()
}

const ENTRIES = [
  ['@neural-trader/midstreamer', 'index.d.ts'],
  ['@neural-trader/midstreamer/compat', 'compat.d.ts'],
  ['@neural-trader/midstreamer/agentdb', 'agentdb.d.ts'],
  ['@neural-trader/midstreamer/neural-trader', 'neural-trader.d.ts'],
]

/** An ES module alone, and only there once it was built: its names are tested in wasm/module.test.mjs. */
const WASM = '@neural-trader/midstreamer/wasm'

test('every entry of the manifest is tested', () => {
  const entries = Object.keys(require('../package.json').exports).filter((path) => path !== './package.json')
  assert.deepEqual(entries.map((path) => path.replace('.', '@neural-trader/midstreamer')), [...ENTRIES.map(([entry]) => entry), WASM])
})

for (const [entry, types] of ENTRIES) {
  test(`${entry}: import, require and the types have the same names`, async () => {
    const required = require(entry)
    const imported = await import(entry)
    const names = Object.keys(required).sort()
    assert.deepEqual(Object.keys(imported).sort(), names)
    assert.deepEqual(declared(types), names)
    for (const name of names) {
      assert.equal(imported[name], required[name], name)
      assert.equal(typeof required[name], name === 'swarm' ? 'object' : 'function', name)
    }
  })
}

test('functions and classes carry the name they are exported by', () => {
  for (const [name, value] of Object.entries(require('@neural-trader/midstreamer'))) assert.equal(value.name, name)
})

test('every function in the declarations is documented', () => {
  for (const file of ['index.d.ts', 'compat.d.ts', 'neural-trader.d.ts']) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n')
    for (const [k, line] of lines.entries()) {
      if (/^export /.test(line)) assert.match(lines[k - 1], /\*\/$/, `${file}:${k + 1} ${line}`)
    }
  }
})

test('a missing addon: the message names the package and the command', () => {
  const folder = mkdtempSync(join(tmpdir(), 'midstreamer-'))
  try {
    for (const part of ['package.json', 'index.js', 'binding.js', 'js']) cpSync(join(root, part), join(folder, part), { recursive: true })
    const code = `try { require('./index.js') } catch (e) { console.log(JSON.stringify([e.name, e.code, e.message, e.cause instanceof Error])) }`
    const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', code], { cwd: folder, encoding: 'utf8' })
    assert.deepEqual([stderr, status], ['', 0])
    const [name, errorCode, message, caused] = JSON.parse(stdout)
    assert.deepEqual([name, errorCode, caused], ['MidstreamerError', 'INTERNAL', true])
    const { name: self, version } = require('../package.json')
    assert.match(message, new RegExp(`${process.platform}-${process.arch}`))
    assert.ok(message.includes(`npm install ${self}-${process.platform}-${process.arch}`) && message.includes(`@${version}`), message)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
