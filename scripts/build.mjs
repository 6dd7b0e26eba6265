// Builds the addon for this platform and regenerates binding.js and binding.d.ts. `--debug`: quick to build, slow to run.

import { Stop, isMain, main, run, tool } from './steps.mjs'
import { checkInstalled, checkToolchain } from './toolchain.mjs'

/** Builds with the napi command line; the .node file lands in the root of the checkout. */
export async function build({ debug = false } = {}) {
  const args = ['build', '--platform', '--js', 'binding.js', '--dts', 'binding.d.ts']
  if (!debug) args.push('--release')
  // --locked is cargo's: a build never changes Cargo.lock behind the reader's back.
  await run(process.execPath, [tool('@napi-rs', 'cli', 'dist', 'cli.js'), ...args, '--', '--locked'])
}

if (isMain(import.meta.url))
  await main(async () => {
    const unknown = process.argv.slice(2).filter((argument) => argument !== '--debug')
    if (unknown.length > 0) throw new Stop(`unknown argument ${unknown[0]}; there is --debug`)
    checkToolchain()
    checkInstalled()
    await build({ debug: process.argv.includes('--debug') })
  })
