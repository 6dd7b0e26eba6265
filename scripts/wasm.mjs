// `npm run build:wasm`: kernels and pattern search for WebAssembly, into wasm/. Needs a Rust that has the standard library for
// wasm32-unknown-unknown, or its source; see scripts/wasm/toolchain.mjs.

import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Stop, isMain, main, root, run } from './steps.mjs'
import { checkInstalled, checkToolchain } from './toolchain.mjs'
import { TARGET, wasmToolchain } from './wasm/toolchain.mjs'

/** Where everything on the way lies. */
const folder = join(root, 'target', 'wasm')

/** Where wasm-bindgen writes. */
const glue = join(folder, 'glue')

/** What is in the package. */
const output = join(root, 'wasm')

/** A module that a page downloads should not take longer than a picture. */
const MOST_BYTES = 1.5 * 2 ** 20

/** Compiles the crate, and gives the path of the module that wasm-bindgen is to read. */
async function compile({ env, args }, options) {
  const flags = `-C target-feature=+simd128,+bulk-memory ${env.RUSTFLAGS ?? ''}`.trim()
  await run('cargo', ['build', '--locked', '--release', '--lib', '--no-default-features', '--target', TARGET, ...args], {
    env: {
      ...env,
      CARGO_TARGET_DIR: folder,
      RUSTFLAGS: flags,
      // A trap is all that a panic can be here.
      CARGO_PROFILE_RELEASE_PANIC: 'abort',
      // wasm-bindgen takes the names out, and reads the section of features that `symbols` would take with them.
      CARGO_PROFILE_RELEASE_STRIP: 'debuginfo',
    },
    ...options,
  })
  return join(folder, TARGET, 'release', 'midstreamer.wasm')
}

/** Writes the functions that call the module, and gives the path of the module as it is shipped. */
async function bind(module, options) {
  const manifest = join(root, 'scripts', 'wasm', 'bindgen', 'Cargo.toml')
  const args = ['run', '--quiet', '--locked', '--manifest-path', manifest, '--target-dir', join(folder, 'bindgen'), '--', module, glue]
  await run('cargo', args, options)
  return join(glue, 'midstreamer_bg.wasm')
}

/** The facade as it is for the addon, over what js/web/ has in place of the addon and of Node's own modules. */
function webInstead() {
  const instead = join(root, 'js', 'web')
  return {
    name: 'web instead of node',
    setup(build) {
      build.onResolve({ filter: /^\.\.?\/(native|library-file)\.js$/ }, ({ path, importer, resolveDir }) =>
        importer.startsWith(instead) && path.startsWith('./') ? undefined : { path: join(instead, basename(join(resolveDir, path))) },
      )
      build.onResolve({ filter: /^node:util$/ }, () => ({ path: join(instead, 'util.js') }))
      build.onResolve({ filter: /^glue$/ }, () => ({ path: join(glue, 'midstreamer.js') }))
    },
  }
}

/** Bundles files of js/web/, each for itself, into the folder `outdir`; `external` is what the platform brings. */
async function bundle(entryPoints, outdir, external) {
  const { build } = await import('esbuild')
  await build({
    entryPoints,
    outdir,
    entryNames: '[name]',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    // What a stack shows, and what a class is called.
    keepNames: true,
    mainFields: ['main'],
    external,
    plugins: [webInstead()],
    logLevel: 'warning',
    legalComments: 'none',
  })
}

const web = (...files) => files.map((file) => join(root, 'js', 'web', `${file}.mjs`))

export const bundleBrowser = (files, outdir) => bundle(files, outdir, [])
export const bundleNode = (files, outdir) => bundle(files, outdir, ['node:fs', 'node:os', 'node:worker_threads'])

/** Builds wasm/, and returns a note about it. `options` are those of `run`. */
export async function buildWasm(options) {
  mkdirSync(output, { recursive: true })
  const module = await bind(await compile(await wasmToolchain(folder), options), options)
  const shipped = join(output, 'midstreamer.wasm')
  const bytes = readFileSync(module)
  if (bytes.length > MOST_BYTES) throw new Stop(`the module has ${bytes.length} bytes, and ${MOST_BYTES} are allowed`)
  copyFileSync(module, shipped)
  await bundleBrowser(web('browser', 'browser-worker'), output)
  await bundleNode(web('node', 'node-worker'), output)
  const mib = (size) => `${(size / 2 ** 20).toFixed(2)} MiB`
  return `${mib(bytes.length)}, ${mib(gzipSync(bytes).length)} compressed`
}

if (isMain(import.meta.url))
  await main(async () => {
    checkToolchain()
    checkInstalled()
    console.log(await buildWasm())
  })
