// The package as a user gets it: packed as the release packs it, installed from a registry into an empty folder without
// Rust and without install scripts, then required, imported and compiled against. And what a user sees when the
// platform's binary is missing. Needs a release build in the checkout.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Stop, isMain, main, root, run, tool } from './steps.mjs'
import { releases } from './node-matrix.mjs'
import { serve } from './registry.mjs'
import { checkInstalled } from './toolchain.mjs'

const json = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'))
const { name } = json(root, 'package.json')

function expect(condition, message) {
  if (!condition) throw new Stop(message)
}

/** The addon file that `npm run build` made for this machine. */
function builtAddon() {
  const files = readdirSync(root).filter((file) => file.endsWith('.node'))
  expect(files.length === 1, `one .node file expected in the checkout, found ${files.length}: run \`npm run build\``)
  return files[0]
}

/**
 * Copies what a release holds to `stage` and writes its manifest by the same command as the release. That command wants
 * a binary for every platform; those of other platforms are empty here and never installed.
 */
async function stageRelease(stage, addon) {
  const manifest = json(root, 'package.json')
  mkdirSync(stage)
  for (const file of ['package.json', 'package-lock.json', 'README.md', ...manifest.files]) {
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
async function pack(folders, tarballs) {
  mkdirSync(tarballs)
  const packages = []
  for (const folder of folders) {
    const output = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', tarballs, '--loglevel=error'], { cwd: folder, quiet: true })
    const [packed] = JSON.parse(output)
    packages.push({ ...packed, manifest: json(folder, 'package.json'), tarball: join(tarballs, packed.filename) })
  }
  return packages
}

/** Environment of a user without Rust: node alone in PATH, no configuration of this machine or of the calling npm. */
function userEnvironment(work) {
  const kept = Object.entries(process.env).filter(([key]) => !/^(npm_|cargo|rust|path$|home$|userprofile$|node_)/i.test(key))
  const bin = join(work, 'bin')
  mkdirSync(bin)
  if (process.platform !== 'win32') symlinkSync(process.execPath, join(bin, 'node'))
  const path = process.platform === 'win32' ? [dirname(process.execPath), process.env.SystemRoot + '\\System32'] : [bin]
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter), HOME: work, USERPROFILE: work }
}

const CONSUMER = `
import { dtw, dtwSync, lcsSync, version, MidstreamerError, type DtwOptions, type Series } from '${name}'
import { TemporalCompare } from '${name}/compat'
const options: DtwOptions = { metric: 'squared', window: 1 }
const series: Series = [1, 2, 3]
const now: number = dtwSync(series, new Float32Array(3), { window: 1 })
const later: Promise<number> = dtw(series, new Float64Array(3), options)
const common: number = lcsSync('abc', ['a'].join())
const old: number = new TemporalCompare(1).dtw(new Float64Array(1), new Float64Array(1))
const code: string | undefined = new Error() instanceof MidstreamerError ? 'yes' : undefined
// @ts-expect-error: a string is not a series
dtwSync('abc', series)
// @ts-expect-error: no such option
dtwSync(series, series, { windows: 1 })
export default [now, later, common, old, code, version()]
`

/** Compiler settings under which users import the package. */
const TYPESCRIPT = [
  { file: 'consumer.mts', options: { module: 'nodenext', target: 'es2022' } },
  { file: 'consumer.cts', options: { module: 'nodenext', target: 'es2020' } },
  { file: 'consumer.ts', options: { module: 'esnext', moduleResolution: 'bundler', target: 'es2022', isolatedModules: true, verbatimModuleSyntax: true } },
]

async function compile(folder, env) {
  for (const { file, options } of TYPESCRIPT) {
    writeFileSync(join(folder, file), CONSUMER)
    const compilerOptions = { ...options, strict: true, noEmit: true, types: [], skipLibCheck: false }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }))
    await run(process.execPath, [tool('typescript', 'bin', 'tsc'), '-p', folder], { cwd: folder, env, cleanEnv: true, quiet: true })
    console.log(`compiles: ${file}, ${JSON.stringify(options)}`)
  }
}

const REQUIRED = `
const { dtwSync, dtw, version } = require('${name}')
const { TemporalCompare } = require('${name}/compat')
const a = Float64Array.of(1, 2, 3), b = Float64Array.of(2, 3, 4)
dtw(a, b).then((later) => {
  const all = [dtwSync(a, b), later, new TemporalCompare().dtw(a, b)]
  if (all.join() !== '2,2,2') throw new Error('wrong: ' + all)
  console.log('require: Node ' + process.version, JSON.stringify(version()))
})
`
const IMPORTED = `
import { dtwSync, MidstreamerError } from '${name}'
import * as compat from '${name}/compat'
import { createRequire } from 'node:module'
if (dtwSync([1, 2, 3], [2, 3, 4]) !== 2) throw new Error('wrong')
if (createRequire(import.meta.url)('${name}').MidstreamerError !== MidstreamerError) throw new Error('two copies of one class')
console.log('import: ' + Object.keys(compat).length + ' names in compat')
`

/** A folder of a user who ran `npm install` with the given flags. */
async function installInto(folder, address, env, flags = []) {
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  writeFileSync(join(folder, '.npmrc'), `registry=${address}\n`)
  const npm = join((await run('npm', ['root', '--global', '--loglevel=error'], { quiet: true })).trim(), 'npm', 'bin', 'npm-cli.js')
  await run(process.execPath, [npm, 'install', '--ignore-scripts', '--no-audit', '--no-fund', ...flags, name], { cwd: folder, env, cleanEnv: true, quiet: true })
}

async function checkInstall(folder, address, env, addon) {
  await installInto(folder, address, env)
  const found = readdirSync(join(folder, 'node_modules', dirname(name))).sort()
  const platform = readdirSync(join(root, 'npm')).find((it) => json(root, 'npm', it, 'package.json').main === addon)
  const wanted = [name, `${name}-${platform}`].map((it) => it.split('/')[1])
  expect(isDeepStrictEqual(found, wanted), `npm installed ${found}, not ${wanted}`)
  for (const node of [process.execPath, ...releases().map((release) => release.path).filter(existsSync)])
    await run(node, ['-e', REQUIRED], { cwd: folder, env, cleanEnv: true, quiet: true }).then((output) => console.log(output.trim()))
  await run(process.execPath, ['--input-type=module', '-e', IMPORTED], { cwd: folder, env, cleanEnv: true, quiet: true }).then((output) => console.log(output.trim()))
  await compile(folder, env)
}

/** Without the platform package the error must name it and say how to get it. */
async function checkMissing(folder, address, env, addon) {
  await installInto(folder, address, env, ['--omit=optional'])
  const script = `try { require('${name}') } catch (error) { console.log(error.message) }`
  const message = await run(process.execPath, ['-e', script], { cwd: folder, env, cleanEnv: true, quiet: true })
  const platform = `${name}-${addon.split('.')[1]}`
  expect(message.includes(platform) && message.includes('npm install'), `without ${platform} the user reads:\n${message}`)
  console.log(`without the binary: ${message.trim().split('\n')[0]}`)
}

/** Throws a Stop when anything is not as a user needs it. */
export async function verifyPackage() {
  const addon = builtAddon()
  const work = mkdtempSync(join(tmpdir(), 'midstreamer-package-'))
  try {
    const folders = await stageRelease(join(work, 'stage'), addon)
    const packages = await pack(folders, join(work, 'tarballs'))
    const [facade] = packages
    const files = facade.files.map((file) => file.path)
    expect(!files.some((file) => /\.node$|^src\/|^node_modules\//.test(file)), `the package holds ${files}`)
    console.log(`packed: ${facade.filename}, ${files.length} files, ${Math.round(facade.size / 1024)} KiB`)
    await run(process.execPath, [tool('publint', 'src', 'cli.js'), '--strict', facade.tarball])
    await run(process.execPath, [tool('@arethetypeswrong', 'cli', 'dist', 'index.js'), facade.tarball, '--format', 'ascii', '--no-color', '--no-emoji'])

    const env = userEnvironment(work)
    const registry = await serve(packages)
    try {
      await checkInstall(join(work, 'user'), registry.address, env, addon)
      await checkMissing(join(work, 'missing'), registry.address, env, addon)
    } finally {
      await registry.close()
    }
    return `${Math.round(facade.size / 1024)} KiB packed`
  } finally {
    rmSync(work, { recursive: true })
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    checkInstalled()
    await verifyPackage()
  })
