// The command line itself: help, every bad argument, precedence of flags, environment, file and defaults.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { cli, folder, json, write } from './support/cli.mjs'

const require = createRequire(import.meta.url)
const { load } = require('../js/cli/main.js')
const { version } = require('../package.json')

const commands = load()
const groups = [...new Set(commands.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' ')[0]))]
const guide = readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8')

/** What a command ended with, and the error that it told as JSON. */
async function refused(args, options) {
  const { code, stdout, stderr } = await cli([...args, '--json'], options)
  assert.equal(stdout, '', args.join(' '))
  return { code, ...JSON.parse(stderr.trim().split('\n').at(-1)).error }
}

test('help of every command is what docs/cli.md shows', async () => {
  const all = await Promise.all(commands.map(async ({ name }) => [name, await cli([...name.split(' '), '--help'])]))
  for (const [name, { code, stdout, stderr }] of all) {
    assert.deepEqual([code, stderr], [0, ''], name)
    assert.ok(guide.includes(`\`\`\`\n${stdout.trim()}\n\`\`\``), `docs/cli.md has another help of \`${name}\` than it prints: npm run docs:cli writes it`)
  }
})

test('help and version need nothing, and no command is a mistake', async () => {
  const [help, version_, none, group] = await Promise.all([cli(['--help']), cli(['--version']), cli([]), cli([groups[0]])])
  assert.equal(help.code, 0)
  for (const { name } of commands) assert.match(help.stdout, new RegExp(`^  ${name.split(' ')[0]}\\b`, 'm'))
  assert.deepEqual([version_.code, version_.stdout], [0, `${version}\n`])
  assert.deepEqual([none.code, none.stdout], [2, ''])
  assert.match(none.stderr, /Usage: midstreamer/)
  assert.equal(group.code, 2)
})

test('the guide lists every variable, and none that is not there', () => {
  const variables = commands.flatMap(({ options }) => options.map(({ variable }) => variable)).filter((variable) => variable !== undefined)
  const known = new Set([...variables, 'MIDSTREAMER_PASSPHRASE', 'MIDSTREAMER_TOKEN', 'MIDSTREAMER_KERNEL'])
  const told = new Set(guide.match(/MIDSTREAMER_[A-Z_]*[A-Z]/g))
  assert.deepEqual([...told].filter((name) => !known.has(name)), [])
  assert.deepEqual(['MIDSTREAMER_PASSPHRASE', 'MIDSTREAMER_TOKEN', 'MIDSTREAMER_DATA_DIR'].filter((name) => !told.has(name)), [])
})

/** Values that no option of the kind takes, by what its description calls the value. */
const WRONG = {
  'host:port': ['', 'host', 'host:99999', ':1', 'a b:1'],
  duration: ['', '5', '1.5s', '-1s', '10 m', '99999999d'],
  n: ['', '-1', '1.5', 'many', '0x10', '99999999999999999'],
  days: ['0', '36501', 'x'],
  rows: [''],
  level: ['', 'trace'],
  role: ['', 'Agent'],
  how: ['', 'z'],
  url: ['', 'ftp://a', '10.0.0.1:9464', 'http//x'],
  names: ['a,,b', ''], kinds: [','], topics: [','], databases: [','], types: [','],
  name: [''], id: [''], text: [''], type: [''], path: [''], dir: [''], file: [''], 'seq:hash': ['', '5', '5:ABC'],
}

test('every option refuses what it does not take, and names itself and the value', async (t) => {
  const cwd = folder(t)
  const all = commands.flatMap(({ name, options, arguments: args = [] }) => {
    const wanted = args.filter(([arg]) => arg.startsWith('<')).map(() => 'x')
    return options.filter(({ value }) => value !== undefined).flatMap((option) => {
      assert.ok(WRONG[option.value], `no wrong value for <${option.value}> of ${name}`)
      return WRONG[option.value].map((wrong) => ({ option, wrong, args: [...name.split(' '), ...wanted, `${option.long}=${wrong}`] }))
    })
  })
  for (const { option, wrong } of all) {
    // What this kind of text means beyond not being empty, the command itself looks at.
    if (option.value !== 'seq:hash' || wrong === '') assert.equal(option.kind.read(wrong), undefined, `${option.long} takes ${wrong}`)
  }
  // One of each sort as a process; the others take the same way.
  const some = [...new Map(all.filter(({ wrong }) => wrong.length > 0).map((one) => [one.option.value, one])).values()].filter(({ option }) => option.value !== 'seq:hash')
  assert.ok(some.length >= 9, `${some.length} sorts`)
  await Promise.all(some.map(async ({ option, wrong, args }) => {
    const { exit, message } = await refused(args, { cwd })
    assert.equal(exit, 2, `${args.join(' ')}: ${message}`)
    assert.ok(message.includes(option.long) && message.includes(JSON.stringify(wrong)), `${args.join(' ')}: ${message}`)
  }))
})

test('what the parser refuses', async (t) => {
  const cwd = folder(t)
  const cases = [
    [['nothing'], /unknown command 'nothing'/], [['serch'], /Did you mean search/], [['search'], /missing required argument 'csv'/],
    [['search', 'a', '--colum', 'x'], /unknown option '--colum'[^]*Did you mean --column/], [['search', 'a', 'b'], /too many arguments/],
    [['ca', 'nothing'], /unknown command 'nothing'/], [['agent'], /--address is required/],
    [['enroll', '--token-file', 'x'], /--id is required/], [['enroll', '--id', 'x'], /a token is needed/], [['submit'], /either a kind/],
    [['submit', 'a', '--result', 'b'], /either a kind/], [['status', '--once', '--watch'], /exclude each other/], [['status', '--interval', '1ms'], /at least 50ms/],
    [['status', '--url', 'http://a', '--data-dir', 'b'], /exclude each other/], [['token', 'create', '--ttl', '0'], /longer than 0/],
    [['ca', 'issue', 'a', '--valid-for', '0'], /longer than 0/], [['audit', 'verify', '--entry', '5'], /--entry must be a number/],
    [['audit', 'verify', '--anchor', 'none.json'], /none.json cannot be read/], [['agent', '--address', 'a:1'], /there is no identity/],
    [['ca', 'init', '--name', 'a b'], /name must be/], [['bench', '--rounds', '2'], /--rounds must be/],
  ]
  await Promise.all(cases.map(async ([args, expected]) => {
    const { exit, message } = await refused(args, { cwd })
    assert.match(message, expected, args.join(' '))
    assert.equal(exit, 2, args.join(' '))
  }))
})

test('without JSON an error is a line on stderr', async (t) => {
  const { code, stdout, stderr } = await cli(['search', 'none.csv'], { cwd: folder(t) })
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^error: the file cannot be read: .*none\.csv'\n$/)
})

test('flag before environment before file before default', async (t) => {
  const cwd = folder(t)
  const rows = Array.from({ length: 40 }, (_, i) => `${Math.sin(i)},${Math.cos(i)}`)
  const csv = write(cwd, 'a.csv', `close,other\n${rows.join('\n')}\n`)
  const search = async () => await json(['search', csv, '--query', '8'], { cwd })
  assert.equal((await search()).matches.length, 5)
  write(cwd, 'midstreamer.config.json', { k: 4, metric: 'squared', search: { k: 3, window: 2, column: 'other' }, json: true })
  const found = await search()
  assert.deepEqual([found.window, found.column, found.matches.length], [2, 'other', 3])
  const k = async (args, env) => {
    const { code, stderr } = await cli(['search', csv, '--query', '8', ...args], { cwd, env })
    return [code, stderr]
  }
  // Whose value is looked at shows in who is refused.
  write(cwd, 'midstreamer.config.json', { search: { k: 'file' } })
  const [, byFile] = await k([], {})
  assert.match(byFile, /search\.k in .*midstreamer\.config\.json must be an integer/)
  const [, byEnvironment] = await k([], { MIDSTREAMER_K: 'environment' })
  assert.match(byEnvironment, /MIDSTREAMER_K must be an integer.*"environment"/)
  const [, byFlag] = await k(['--k', 'flag'], { MIDSTREAMER_K: 'environment' })
  assert.match(byFlag, /--k must be an integer.*"flag"/)
  assert.deepEqual(await k(['--k', '1'], { MIDSTREAMER_K: 'environment' }), [0, ''])
  assert.deepEqual(await k([], { MIDSTREAMER_K: '1' }), [0, ''])
})

test('the configuration file: found, named, relative paths, and refused', async (t) => {
  const cwd = folder(t)
  const other = join(cwd, 'elsewhere')
  mkdirSync(other)
  const named = write(other, 'mine.json', { authority: 'ca', ca: { name: 'desk', validDays: 30 } })
  const made = await json(['ca', 'init', '--config', named], { cwd })
  assert.deepEqual([made.name, made.directory], ['desk', join(other, 'ca')])
  assert.equal((await json(['ca', 'list'], { cwd, env: { MIDSTREAMER_CONFIG: named } })).certificates.length, 0)
  const cases = [
    ['{', /no JSON/], ['[]', /must hold an object/], ['{"colour":1}', /"colour" is no option; there are/], ['{"search":{"ttl":"1h"}}', /"ttl" is no option of search/],
    ['{"bench":5}', /bench must be an object/], ['{"column":true}', /column in .* must be a text/], ['{"k":true}', /k in .* must be an integer/],
    ['{"k":null}', /k in .* must be an integer/], ['{"config":"a"}', /"config" is no option/],
  ]
  for (const [text, expected] of cases) {
    const bad = write(cwd, 'bad.json', text)
    const { exit, message } = await refused(['search', 'a.csv', '--config', bad], { cwd })
    assert.match(message, expected, text)
    assert.equal(exit, 2, text)
  }
  const { message } = await refused(['ca', 'list', '--config', 'none.json'], { cwd })
  assert.match(message, /the configuration cannot be read: .*none\.json/)
})
