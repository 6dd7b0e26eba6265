// The package inside an application that is bundled: marked external it works, and otherwise the bundler says what is wrong.

import { mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { bundler } from '../runtimes.mjs'
import { expect, name } from './release.mjs'

/** What each bundler does with an entry; throws with what it prints when it fails. */
const BUNDLERS = {
  async esbuild(entry, target, external) {
    const { build } = bundler('esbuild')
    const format = target.endsWith('.mjs') ? 'esm' : 'cjs'
    await build({ entryPoints: [entry], outfile: target, bundle: true, platform: 'node', format, external: external ? [name] : [], logLevel: 'silent' })
  },
  async 'esbuild, with a loader that copies .node files'(entry, target) {
    const { build } = bundler('esbuild')
    await build({ entryPoints: [entry], outfile: target, bundle: true, platform: 'node', loader: { '.node': 'copy' }, logLevel: 'silent' })
  },
  webpack(entry, target, external) {
    const webpack = bundler('webpack')
    const externals = external ? [({ request }, done) => (request === name || request.startsWith(`${name}/`) ? done(null, `commonjs ${request}`) : done())] : []
    const config = { mode: 'production', target: 'node18', entry, output: { path: dirname(target), filename: basename(target) }, externals, stats: 'errors-only' }
    return new Promise((resolve, reject) => {
      webpack(config, (error, stats) => {
        if (error) reject(error)
        else if (stats.hasErrors()) reject(new Error(stats.toString({ all: false, errors: true })))
        else resolve()
      })
    })
  },
}

/** What a developer reads who has forgotten the rule. */
const FORGOTTEN = { esbuild: 'No loader is configured for ".node" files', webpack: 'You may need an appropriate loader to handle this file type' }

export async function checkBundles(user, folder) {
  const beside = join(folder, 'bundles')
  // Where no node_modules are.
  const alone = join(dirname(folder), 'alone')
  const bundles = [
    ['esbuild', 'use.cjs', beside, 'esbuild.cjs'], ['esbuild', 'use.mjs', beside, 'esbuild.mjs'], ['webpack', 'use.cjs', beside, 'webpack.cjs'],
    ['esbuild, with a loader that copies .node files', 'use.cjs', alone, 'copied.cjs'],
  ]
  for (const [how, source, output, target] of bundles) {
    mkdirSync(output, { recursive: true })
    await BUNDLERS[how](join(folder, source), join(output, target), true)
    await user.use(output, `a bundle by ${how}, ${target}`, process.execPath, [target])
  }
  for (const [how, message] of Object.entries(FORGOTTEN)) {
    const failure = await BUNDLERS[how](join(folder, 'use.cjs'), join(beside, 'forgotten.cjs'), false).then(() => undefined, (error) => error)
    expect(failure?.message.includes(message), `${how}, without the rule, says: ${failure?.message ?? 'nothing'}`)
    console.log(`without the rule, ${how} says: ${failure.message.split('\n').find((line) => line.includes(message)).trim().slice(0, 160)}`)
  }
}
