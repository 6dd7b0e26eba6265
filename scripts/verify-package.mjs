// The package as a user gets it: packed as the release packs it, installed from a registry into an empty folder without
// Rust and without install scripts, then required, imported, compiled against and bundled, on every runtime there is here, by
// another user, with node_modules that nobody may write to. And what a user sees when the platform's binary is missing.
// Needs a release build in the checkout.

import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isMain, main, root, run, tool } from './steps.mjs'
import { installReleases } from './node-matrix.mjs'
import { checkBundles } from './package/bundles.mjs'
import { builtAddon, builtWasm, expect, json, name, pack, stageRelease } from './package/release.mjs'
import { checkNoExternalBuffers, checkReadOnly, checkRuntimes } from './package/runtimes.mjs'
import { User } from './package/user.mjs'
import { serve } from './registry.mjs'
import { installRuntimes } from './runtimes.mjs'
import { checkInstalled } from './toolchain.mjs'

/** Compiler settings under which users import the package. */
const TYPESCRIPT = [
  { file: 'consumer.mts', options: { module: 'nodenext', target: 'es2022' } },
  { file: 'consumer.cts', options: { module: 'nodenext', target: 'es2020' } },
  { file: 'consumer.ts', options: { module: 'esnext', moduleResolution: 'bundler', target: 'es2022', isolatedModules: true, verbatimModuleSyntax: true } },
]

/** What a user's disk has to hold for the binary, in bytes: a little above what it is, so that growth is a decision. */
const MOST_BYTES = 18 * 2 ** 20

async function compile(user, folder) {
  for (const { file, options } of TYPESCRIPT) {
    const compilerOptions = { ...options, strict: true, noEmit: true, types: [], skipLibCheck: false }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }))
    await user.run(folder, process.execPath, [tool('typescript', 'bin', 'tsc'), '-p', folder])
    console.log(`compiles: ${file}, ${JSON.stringify(options)}`)
  }
}

/** How every entry is resolved. The one for WebAssembly is an ES module alone. */
async function checkTypes(tarball) {
  const attw = (...args) =>
    run(process.execPath, [tool('@arethetypeswrong', 'cli', 'dist', 'index.js'), tarball, '--format', 'ascii', '--no-color', '--no-emoji', ...args])
  await attw('--exclude-entrypoints', './wasm')
  if (builtWasm()) await attw('--entrypoints', './wasm', '--profile', 'esm-only')
  else console.log('does not run here: ./wasm, which is not built (npm run build:wasm)')
}

/** npm brings the facade and the binary of this platform, and no other of ours. */
function checkContents(folder, addon) {
  const found = readdirSync(join(folder, 'node_modules', dirname(name))).sort()
  const platform = readdirSync(join(root, 'npm')).find((it) => json(root, 'npm', it, 'package.json').main === addon)
  const wanted = [name, `${name}-${platform}`].map((it) => it.split('/')[1])
  expect(isDeepStrictEqual(found, wanted), `npm installed ${found}, not ${wanted}`)
}

/** The command, as npm links it. */
async function checkCommand(user, folder) {
  const command = process.platform === 'win32' ? join(folder, 'node_modules', name, 'bin', 'midstreamer.js') : join(folder, 'node_modules', '.bin', 'midstreamer')
  const version = (await user.run(folder, process.execPath, [command, '--version'])).trim()
  expect(version === json(root, 'package.json').version, `midstreamer --version says ${version}`)
  const { rows } = JSON.parse(await user.run(folder, process.execPath, [command, 'bench', '--rounds', '3', '--json']))
  for (const { work, ratio } of rows) console.log(`midstreamer bench: ${work}: ${ratio.toPrecision(2)} x`)
}

/** Without the platform package the error must name it and say how to get it. */
async function checkMissing(user, folder, addon) {
  await user.reinstall(folder, '--omit=optional')
  const message = await user.run(folder, process.execPath, ['missing.cjs'])
  const platform = `${name}-${addon.split('.')[1]}`
  const { version } = json(root, 'package.json')
  expect(message.startsWith('INTERNAL: ') && message.includes(`npm install ${platform}@${version}`), `without ${platform} the user reads:\n${message}`)
  console.log(`npm ci --omit=optional: ${message.trim().split('\n')[0]}`)
  if (builtWasm()) await user.use(folder, 'WebAssembly, without the addon', process.execPath, ['wasm.mjs'])
}

/** Throws a Stop when anything is not as a user needs it. */
export async function verifyPackage() {
  const addon = builtAddon()
  await installReleases()
  await installRuntimes()
  const work = mkdtempSync(join(tmpdir(), 'midstreamer-package-'))
  // Another user has to get in.
  chmodSync(work, 0o755)
  try {
    const folders = await stageRelease(join(work, 'stage'), addon)
    const packages = await pack(folders, join(work, 'tarballs'))
    const [facade] = packages
    const platform = packages.find(({ manifest }) => manifest.main === addon)
    const files = facade.files.map((file) => file.path)
    expect(!files.some((file) => /\.node$|^src\/|^node_modules\//.test(file)), `the package holds ${files}`)
    console.log(`packed: ${facade.filename}, ${files.length} files, ${Math.round(facade.size / 1024)} KiB`)
    const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(1)
    console.log(`packed: ${platform.filename}, ${mebibytes(platform.size)} MiB, ${mebibytes(platform.unpackedSize)} MiB unpacked`)
    expect(platform.unpackedSize < MOST_BYTES, `${platform.filename} unpacks to ${mebibytes(platform.unpackedSize)} MiB: look at what has grown`)
    await run(process.execPath, [tool('publint', 'src', 'cli.js'), '--strict', facade.tarball])
    await checkTypes(facade.tarball)

    const brought = Object.keys(json(root, 'package.json').dependencies).map((dependency) => join(root, 'node_modules', dependency))
    const registry = await serve([...packages, ...(await pack(brought, join(work, 'dependencies')))])
    try {
      const user = await User.create(work, registry.address)
      const folder = join(work, 'user')
      await user.install(folder)
      checkContents(folder, addon)
      await compile(user, folder)
      await checkCommand(user, folder)
      await checkRuntimes(user, folder)
      await checkReadOnly(user, folder)
      await checkNoExternalBuffers(user, folder)
      await checkBundles(user, folder)
      await user.reinstall(folder)
      checkContents(folder, addon)
      await checkMissing(user, folder, addon)
    } finally {
      await registry.close()
    }
    return `${Math.round(facade.size / 1024)} KiB and ${mebibytes(platform.size)} MiB packed`
  } finally {
    rmSync(work, { recursive: true })
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    checkInstalled()
    await verifyPackage()
  })
