// `npm run test:wasm`: builds wasm/ and tests it, on this Node and in a browser. `npm test` does the same where there is a toolchain.
// Needs the addon, to compare with: `npm run build`.

import { Steps, main } from './steps.mjs'
import { install } from './install.mjs'
import { builtAddon } from './package/release.mjs'
import { checkToolchain } from './toolchain.mjs'
import { buildWasm } from './wasm.mjs'
import { testWasm } from './wasm/tests.mjs'

await main(async () => {
  checkToolchain()
  const steps = new Steps()
  try {
    await steps.step('Install development dependencies', () => install())
    builtAddon()
    await steps.step('Build for WebAssembly', buildWasm)
    await testWasm(steps)
    steps.finish()
  } finally {
    steps.report()
    console.log(`\n${steps.passed} passed, ${steps.failed} failed`)
  }
})
