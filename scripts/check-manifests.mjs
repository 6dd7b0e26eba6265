// Holds together what a release publishes: one version everywhere, platform packages as the napi command line makes them,
// nothing that runs when a user installs, no address in the lock file.

import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Stop, isMain, main, root, run, tool } from './steps.mjs'
import { checkInstalled } from './toolchain.mjs'

const read = (...path) => readFileSync(join(root, ...path), 'utf8')
const json = (...path) => JSON.parse(read(...path))

/** The scripts that npm runs by itself on the machine of somebody who installs the package. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare', 'prepublish']

const DEPENDENCY_LICENCES = ['MIT', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', '0BSD']

function checkVersions(problems) {
  const { version } = json('package.json')
  const expect = (where, found) => {
    if (found !== version) problems.push(`${where} says version ${found}, package.json ${version}`)
  }
  const lock = json('package-lock.json')
  expect('package-lock.json', lock.version)
  expect('package-lock.json, its root package,', lock.packages[''].version)
  expect('Cargo.toml', /^version = "(.+)"/m.exec(read('Cargo.toml'))?.[1])
  expect('Cargo.lock', /name = "midstreamer"\nversion = "(.+)"/.exec(read('Cargo.lock'))?.[1])
  if (!read('CHANGELOG.md').includes(`## [${version}]`)) problems.push(`CHANGELOG.md has no section [${version}]`)
}

function checkManifest(problems) {
  const manifest = json('package.json')
  for (const script of INSTALL_SCRIPTS)
    if (manifest.scripts[script]) problems.push(`package.json: the script ${script} would run on a user's machine`)
  if (manifest.optionalDependencies) problems.push('package.json: no optionalDependencies; the release writes the platform packages')
  checkDependencies(manifest.dependencies ?? {}, problems)
  for (const [name, range] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
    if (!/^(npm:\S+@)?\d+\.\d+\.\d+$/.test(range)) problems.push(`package.json: ${name} is not an exact version: ${range}`)
  for (const lock of ['package-lock.json', ...['agentdb', 'node-matrix', 'runtimes'].map((folder) => `scripts/${folder}/package-lock.json`)])
    if (/"resolved": "https?:/.test(read(lock))) problems.push(`${lock}: holds download addresses (see .npmrc)`)
}

/** What every user installs as well: nothing that brings more, and nothing that runs, under a licence that is as free as ours. */
function checkDependencies(dependencies, problems) {
  const lock = json('package-lock.json').packages
  for (const name of Object.keys(dependencies)) {
    const { license, dependencies: more, hasInstallScript } = lock[`node_modules/${name}`] ?? {}
    if (!DEPENDENCY_LICENCES.includes(license)) problems.push(`package-lock.json: ${name} has the licence ${license}`)
    if (more !== undefined || hasInstallScript) problems.push(`package-lock.json: ${name} brings other packages, or an install script`)
  }
}

async function checkPlatforms(problems) {
  // The command writes below its own package.json alone, so it works on a copy.
  const copy = mkdtempSync(join(tmpdir(), 'midstreamer-npm-dirs-'))
  const made = join(copy, 'npm')
  try {
    copyFileSync(join(root, 'package.json'), join(copy, 'package.json'))
    await run(process.execPath, [tool('@napi-rs', 'cli', 'dist', 'cli.js'), 'create-npm-dirs'], { cwd: copy, quiet: true })
    const [wanted, found] = [readdirSync(made).sort(), readdirSync(join(root, 'npm')).sort()]
    if (!isDeepStrictEqual(wanted, found)) problems.push(`npm/ holds ${found}, the targets ask for ${wanted}`)
    for (const platform of wanted.filter((name) => found.includes(name))) {
      const expected = JSON.parse(readFileSync(join(made, platform, 'package.json'), 'utf8'))
      if (!isDeepStrictEqual(expected, json('npm', platform, 'package.json')))
        problems.push(`npm/${platform}/package.json differs from what \`napi create-npm-dirs\` writes`)
      if (!read('npm', platform, 'README.md').includes(expected.name)) problems.push(`npm/${platform}/README.md does not name ${expected.name}`)
    }
    return wanted.length
  } finally {
    rmSync(copy, { recursive: true })
  }
}

/** Throws a Stop that lists everything that does not fit. */
export async function checkManifests() {
  const problems = []
  checkVersions(problems)
  checkManifest(problems)
  const platforms = await checkPlatforms(problems)
  if (problems.length > 0) throw new Stop(problems.join('\n  '))
  return `${platforms} platform packages`
}

if (isMain(import.meta.url))
  await main(async () => {
    checkInstalled()
    console.log(await checkManifests())
  })
