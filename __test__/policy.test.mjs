// The check of deny.toml finds what it is there for.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { problemsOf, satisfied } from '../scripts/check-licences.mjs'

const policy = readFileSync(fileURLToPath(new URL('../deny.toml', import.meta.url)), 'utf8')
const source = 'registry+https://github.com/rust-lang/crates.io-index'
const crate = (name, more) => ({ name, version: '1.0.0', license: 'MIT', source, dependencies: [], ...more })
// Two versions of what may have two: a policy that allows more than there is would be reported.
const known = [...policy.matchAll(/^skip = \[([^\]]*)\]/gm)][0][1].match(/name = "[^"]+"/g).map((text) => text.slice(8, -1))
const fine = known.flatMap((name) => [crate(name), crate(name, { version: '2.0.0' })])

test('a tree that keeps to the policy passes', () => {
  assert.deepEqual(problemsOf(policy, [...fine, crate('a'), crate('b', { license: 'GPL-3.0 OR Apache-2.0' })]), [])
})

test('licences, sources, bans, versions and wildcards are looked at', () => {
  const found = (...crates) => problemsOf(policy, [...fine, ...crates])
  assert.deepEqual(found(crate('a', { license: 'GPL-3.0' })), ['a 1.0.0: licence GPL-3.0'])
  assert.deepEqual(found(crate('a', { license: null })), ['a 1.0.0: licence not stated'])
  assert.deepEqual(found(crate('a', { source: 'git+https://example.org/a' })), ['a 1.0.0: comes from git+https://example.org/a'])
  assert.deepEqual(found(crate('openssl-sys')), ['openssl-sys 1.0.0: is banned'])
  assert.deepEqual(found(crate('a'), crate('a', { version: '2.0.0' })), ['a: 2 versions, 1.0.0 and 2.0.0'])
  const ours = crate('ours', { source: null, dependencies: [{ name: 'a', req: '*' }, { name: 'b', req: '*', path: '/b' }] })
  assert.deepEqual(found(ours), ['ours 1.0.0: asks for any version of a'])
  assert.deepEqual(problemsOf(policy, fine.slice(1)), [`${known[0]}: deny.toml lets two versions pass, and there are not two`])
})

test('a policy that says less than the check is an error', () => {
  assert.throws(() => problemsOf(policy.replace('wildcards = "deny"', 'wildcards = "allow"'), fine), /wildcards/)
})

test('licence expressions are read as SPDX has them', () => {
  const allowed = ['MIT', 'Apache-2.0', 'BSD-3-Clause']
  for (const yes of ['MIT', 'MIT OR GPL-3.0', 'MIT/Apache-2.0', '(MIT OR X) AND Apache-2.0', 'X OR MIT AND Apache-2.0']) assert.ok(satisfied(yes, allowed), yes)
  for (const no of ['', 'X', 'MIT AND X', 'MIT OR', '(MIT', 'Apache-2.0 WITH X', 'X OR MIT AND Y']) assert.ok(!satisfied(no, allowed), no)
})
