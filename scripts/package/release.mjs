// The packages as the release makes them, from what is built in the checkout.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Stop, root, run, tool } from '../steps.mjs'

export const json = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'))

/** The name under which it is published. */
export const { name } = json(root, 'package.json')

export function expect(condition, message) {
  if (!condition) throw new Stop(message)
}

/** The addon file that `npm run build` made for this machine. */
export function builtAddon() {
  const files = readdirSync(root).filter((file) => file.endsWith('.node'))
  expect(files.length === 1, `one .node file expected in the checkout, found ${files.length}: run \`npm run build\``)
  return files[0]
}

/** Whether `npm run build:wasm` was run in the checkout. A release always has it; elsewhere the package is tried without. */
export const builtWasm = () => existsSync(join(root, 'wasm', 'midstreamer.wasm'))

/** The manifest without what is not built. */
function withoutWasm({ exports, files, ...manifest }) {
  const { './wasm': _, ...others } = exports
  return { ...manifest, exports: others, files: files.filter((file) => !file.startsWith('wasm')) }
}

/**
 * Copies what a release holds to `stage` and writes its manifest by the same command as the release. That command wants
 * a binary for every platform; those of other platforms are empty here and never installed.
 */
export async function stageRelease(stage, addon) {
  const whole = json(root, 'package.json')
  const manifest = builtWasm() ? whole : withoutWasm(whole)
  mkdirSync(stage)
  writeFileSync(join(stage, 'package.json'), JSON.stringify(manifest, null, 2))
  // What begins with an exclamation mark is left out.
  const files = manifest.files.filter((file) => !file.startsWith('!'))
  for (const file of ['package-lock.json', 'README.md', ...files]) {
    expect(existsSync(join(root, file)), `package.json lists ${file}, which does not exist`)
    cpSync(join(root, file), join(stage, file), { recursive: true })
  }
  cpSync(join(root, 'npm'), join(stage, 'npm'), { recursive: true })
  const platforms = readdirSync(join(stage, 'npm'))
  for (const platform of platforms) {
    const binary = json(stage, 'npm', platform, 'package.json').main
    if (binary === addon) cpSync(join(root, addon), join(stage, 'npm', platform, binary))
    else writeFileSync(join(stage, 'npm', platform, binary), '')
  }
  const napi = tool('@napi-rs', 'cli', 'dist', 'cli.js')
  await run(process.execPath, [napi, 'pre-publish', '-t', 'npm', '--skip-optional-publish', '--no-gh-release'], { cwd: stage, quiet: true })
  const { optionalDependencies, version } = json(stage, 'package.json')
  const wanted = Object.fromEntries(platforms.map((platform) => [`${name}-${platform}`, version]))
  expect(isDeepStrictEqual(optionalDependencies, wanted), `unexpected optionalDependencies: ${JSON.stringify(optionalDependencies)}`)
  return [stage, ...platforms.map((platform) => join(stage, 'npm', platform))]
}

/** Packs each folder into `tarballs`. */
export async function pack(folders, tarballs) {
  mkdirSync(tarballs)
  const packages = []
  for (const folder of folders) {
    const output = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', tarballs, '--loglevel=error'], { cwd: folder, quiet: true })
    const [packed] = JSON.parse(output)
    packages.push({ ...packed, manifest: json(folder, 'package.json'), tarball: join(tarballs, packed.filename) })
  }
  return packages
}
