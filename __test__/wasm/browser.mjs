// The module in a real browser, page and workers, against the addon: `node __test__/wasm/browser.mjs <command of a Chromium>`.
// Not a *.test.mjs: `npm run test:wasm` knows where a browser is.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { dtwBatch, dtwMatrix, dtwSync, lcsAlign, PatternLibrary, StreamMatcher } from '@neural-trader/midstreamer'
import { bundler, installRuntimes } from '../../scripts/runtimes.mjs'
import { visit } from '../../scripts/wasm/chromium.mjs'
import { generator, walk } from '../support/random.mjs'

const [command] = process.argv.slice(2)
const here = dirname(fileURLToPath(import.meta.url))

/** How long a browser may take, in ms: no measure of speed. */
const PATIENCE = 180_000

const TYPES = { html: 'text/html', js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm', json: 'application/json' }

const random = generator(11)
const length = 128
const input = { query: walk(random, length), data: Array.from(walk(random, 400 * length)), length, window: 13 }

const library = new PatternLibrary({ length, window: 13, normalize: 'zscore' })
library.add(Array.from({ length: 300 }, (_, i) => ({ id: `pattern ${i}`, values: input.data.slice(i * 50, i * 50 + length), meta: { endsAt: i, name: 'h\u00f6he' } })))

async function body(request) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A page as it is written, and one that loads a bundle. */
const UNBUNDLED = `<!doctype html>
<script type="importmap">{ "imports": { "@neural-trader/midstreamer/wasm": "./wasm/browser.mjs" } }</script>
<script type="module" src="./page.mjs"></script>`
const BUNDLED = '<!doctype html><script src="./wasm/page.js"></script>'

/** What a page must allow, with and without the inline map of its imports. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"

/** Serves a page that is `html` under the content security policy `policy` with the files of `folder` under ./wasm/, and what it asks for. `done` is what it has found. */
async function serve(html, policy, folder) {
  let bytes, answer
  const done = new Promise((resolve, reject) => { answer = { resolve, reject } })
  const files = {
    '/': () => html,
    '/page.mjs': () => readFile(new URL('page.mjs', import.meta.url)),
    '/input.json': () => JSON.stringify({ ...input, query: Array.from(input.query) }),
    '/library': () => library.toBytes(),
  }
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname
    try {
      if (request.method === 'POST') {
        const content = await body(request)
        if (path === '/bytes') bytes = content
        else if (path === '/found') answer.resolve({ ...JSON.parse(content), bytes })
        else answer.reject(new Error(content.toString()))
        return response.end()
      }
      const name = /^\/wasm\/([\w-]+(\.\w+)+)$/.exec(path)?.[1]
      const content = await (files[path] ?? (name && (() => readFile(join(folder, name)))))?.()
      if (content === undefined) return response.writeHead(404).end()
      const type = TYPES[path === '/' ? 'html' : path.split('.').at(-1)] ?? 'application/octet-stream'
      response.writeHead(200, { 'content-type': type, 'content-security-policy': policy }).end(content)
    } catch (error) {
      response.writeHead(404).end(`${error}`)
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}/`, done, close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections() }) }
}

/** The page's bundle, as the manual of webpack says and no more. */
async function bundle(folder) {
  await installRuntimes()
  const config = { mode: 'production', target: 'web', entry: join(here, 'page.mjs'), output: { path: folder, filename: 'page.js' } }
  await new Promise((resolve, reject) => {
    bundler('webpack')(config, (error, stats) => {
      if (error || stats.hasErrors()) reject(error ?? new Error(stats.toString({ all: false, errors: true })))
      else resolve()
    })
  })
}

async function check(html, policy, folder) {
  const server = await serve(html, policy, folder)
  let found
  try {
    found = await visit(command, server.url, server.done, PATIENCE)
  } finally {
    await server.close()
  }
  const data = Float64Array.from(input.data)
  const { query, window } = input
  const first = dtwSync(query, data.subarray(0, length))
  assert.deepEqual(found.tooEarly, ['CLOSED', 'CLOSED', 'CLOSED'])
  assert.equal(found.noModule, 'INTERNAL')
  assert.deepEqual(found.version, { package: found.version.package, kernel: 'simd128', threads: 2 })
  assert.deepEqual(found.pair, [first, first])
  const series = Array.from({ length: 40 }, (_, i) => data.subarray(i * 1000, (i + 1) * 1000 + i))
  assert.deepEqual(found.matrix, Array.from((await dtwMatrix(series)).data))
  assert.ok(found.turns > 10, `the page had ${found.turns} turns meanwhile`)
  assert.ok(found.told >= 1)
  assert.deepEqual(found.batch, Array.from(await dtwBatch(query, { data, length }, { window })))
  assert.deepEqual(found.lcs, Array.from((await lcsAlign('ABCBDAB', 'BDCABA')).positionsA))
  assert.equal(found.aborted, 'ABORTED')
  assert.equal(found.afterAbort, 2)
  assert.deepEqual(found.nearest, library.searchSync(query, { k: 3 }))
  const matcher = new StreamMatcher(library, { k: 1 })
  assert.deepEqual(found.pushed, Array.from(query, (value) => matcher.push(value)).at(-1))
  assert.equal(found.noFiles, 'INVALID_ARGUMENT')
  // The bytes that it wrote are those that it was given.
  assert.deepEqual(Buffer.from(found.bytes), Buffer.from(await library.toBytes()))
}

test('a page computes what the addon computes', () => check(UNBUNDLED, `${POLICY} 'unsafe-inline'`, join(here, '..', '..', 'wasm')))

test('so does one that was bundled by webpack', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'midstreamer-bundle-'))
  t.after(() => rm(folder, { recursive: true }))
  await bundle(folder)
  await check(BUNDLED, POLICY, folder)
})
