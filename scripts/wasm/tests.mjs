// The tests of wasm/, which must have been built: those of the addon that need no more than the module has, its own, and a browser.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { KERNEL_TESTS } from '../kernel-tests.mjs'
import { nodeCounts } from '../runners.mjs'
import { root } from '../steps.mjs'
import { chromium, noChromium } from './chromium.mjs'

/** One of them reaches into the addon. Its like is in __test__/wasm. */
const NOT_SHARED = 'a panic in the addon becomes an INTERNAL error'

/** How long a runner may print nothing, in milliseconds: one that hangs must not take the rest with it. */
const SILENT_MS = 600_000

/** Runs them as steps of `steps`. What they compare with is the addon of the checkout. */
export async function testWasm(steps) {
  const node = (...args) => steps.tests(nodeCounts, process.execPath, ['--expose-gc', '--test-reporter=spec', ...args], { env: { NO_COLOR: '1' }, silentMs: SILENT_MS })
  await steps.attempt("WebAssembly: the addon's tests", () => {
    // The runner takes a test whose parent fits, and the parent of all is called <root>.
    const others = `/^(?!(<root>|${NOT_SHARED})$)/`
    const files = KERNEL_TESTS.map((name) => join('__test__', `${name}.test.mjs`))
    return node('--import', './scripts/wasm/instead.mjs', '--test', `--test-name-pattern=${others}`, ...files)
  })
  const own = readdirSync(join(root, '__test__', 'wasm')).filter((file) => file.endsWith('.test.mjs'))
  await steps.attempt('WebAssembly: its own tests', () => node('--test', ...own.map((file) => join('__test__', 'wasm', file))))
  const reason = noChromium()
  if (reason !== null) return steps.skip('WebAssembly: in a browser', reason)
  await steps.attempt('WebAssembly: in a browser', async () =>
    node(join('__test__', 'wasm', 'browser.mjs'), await chromium(join(root, 'target', 'wasm', 'chromium'))))
}
