// `npm test`: everything that CI runs. `--quick`: the inner loop.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { installAgentDb } from './agentdb.mjs'
import { Stop, Steps, main, root, run, tool } from './steps.mjs'
import { build, buildRelease, releasedTarget } from './build.mjs'
import { checkDocs } from './check-docs.mjs'
import { checkLicences } from './check-licences.mjs'
import { checkManifests } from './check-manifests.mjs'
import { install } from './install.mjs'
import { installReleases, releases } from './node-matrix.mjs'
import { nodeCounts, rustCounts } from './runners.mjs'
import { checkToolchain, firstLine } from './toolchain.mjs'
import { verifyPackage } from './verify-package.mjs'
import { buildWasm } from './wasm.mjs'
import { testWasm } from './wasm/tests.mjs'
import { noWasm } from './wasm/toolchain.mjs'
import { noZig } from './zig.mjs'

/** Files that the build writes and that are committed all the same, so that a clone can be read without building. */
const GENERATED = ['binding.js', 'binding.d.ts']

/** Levels below the best there are, for MIDSTREAMER_KERNEL. One that the processor lacks is passed over: that run is of its best. */
const LOWER_LEVELS = process.arch === 'x64' ? ['scalar', 'sse2', 'avx2'] : ['scalar']

/** How long the tests of a Node may print nothing, in milliseconds. */
const SILENT_MS = 600_000

/** Node suites that run side by side: half of their time they wait, for a lease, a disk or a process that starts. */
const SUITES_AT_ONCE = 2

/** Tests run with the oracles, and with the Node layer, which is a default feature. */
const FEATURES = ['--features', 'oracle']

const steps = new Steps()

async function cargo(...args) {
  await run('cargo', args)
}

const nextest = firstLine('cargo', ['nextest', '--version']) !== null

/** Runs Rust tests, with nextest where there is one. */
const rustTests = (args, env) =>
  steps.tests(
    rustCounts,
    'cargo',
    nextest ? ['nextest', 'run', '--locked', '--profile', 'ci', ...args] : ['test', '--locked', '--no-fail-fast', ...args],
    { env: { CARGO_TERM_COLOR: 'never', ...env } },
  )

/**
 * Runs the tests of the JavaScript surface on a Node, with `held` output where another one runs beside it. Names are spelled
 * out: Node 18 and 20 know no patterns.
 */
function nodeTests(node, held = false) {
  const files = readdirSync(join(root, '__test__'), { recursive: true })
    // Those of wasm/ have steps of their own.
    .filter((file) => /\.test\.(js|cjs|mjs)$/.test(file) && !/^wasm[\\/]/.test(file))
    .map((file) => join('__test__', file))
    .sort()
  if (files.length === 0) throw new Stop('no tests in __test__')
  // Not a limit on slow machines: the slowest file takes a minute. One that hangs must not take the rest of the run with it.
  const options = { env: { NO_COLOR: '1' }, silentMs: SILENT_MS, held }
  return steps.tests(nodeCounts, node, ['--expose-gc', '--test', '--test-reporter=spec', ...files], options)
}

const read = (files) => files.map((file) => (existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : ''))

/** Fails when the build changed what it generates: then what was there, the committed files in a clean clone, is out of date. */
function unchanged(before) {
  const after = read(GENERATED)
  const changed = GENERATED.filter((_, i) => after[i] !== before[i])
  if (changed.length > 0) throw new Stop(`the build changed ${changed.join(', ')}: look at the difference and commit it`)
}

async function typeChecks() {
  const tsc = tool('typescript', 'bin', 'tsc')
  const projects = readdirSync(join(root, '__test__'), { recursive: true })
    .filter((file) => /(^|[\\/])tsconfig[^\\/]*\.json$/.test(file))
    .map((file) => join('__test__', file))
    .sort()
  if (projects.length === 0) throw new Stop('no tsconfig*.json in __test__')
  for (const project of projects) await run(process.execPath, [tsc, '--noEmit', '-p', project])
  return `${projects.length} projects`
}

/** Installed above: the linter is a development dependency. */
async function checkHosted() {
  const { checkWorkflows } = await import('./check-workflows.mjs')
  return await checkWorkflows()
}

async function examples() {
  const files = readdirSync(join(root, 'examples')).filter((file) => /\.[cm]js$/.test(file)).sort()
  for (const file of files) await run(process.execPath, [join('examples', file)])
  return `${files.length} examples`
}

/** Builds the addon and, beside it, the WebAssembly module: each leaves a processor idle for most of its time. True when both are there. */
async function builds() {
  // What the tests run is what would be released, where it can be built here.
  const target = releasedTarget()
  const reason = noWasm()
  let both = false
  const addon = steps.step('Build the addon', () => (target === null ? build() : buildRelease(target)))
  const module = reason !== null ? undefined : steps.attempt('Build for WebAssembly', async () => {
    const note = await buildWasm({ held: true })
    both = true
    return note
  })
  await Promise.allSettled([addon, module])
  await addon
  if (target === null) steps.skip('The addon as it is released', noZig() ?? `no binary for ${process.arch}`)
  if (reason !== null) steps.skip('Build for WebAssembly', reason)
  return both
}

/** The release build, here too: it shares what `npm test` compiled, and the tests then run at full speed. */
async function quick() {
  await steps.step('Install development dependencies', () => install())
  await steps.step('Rust unit tests', () => rustTests(['--lib', ...FEATURES]))
  await steps.step('Build the addon', () => build())
  await steps.step('Node tests', () => nodeTests(process.execPath))
}

async function rust() {
  await steps.attempt('Formatting', () => cargo('fmt', '--check'))
  await steps.attempt('Manifests and platform packages', checkManifests)
  await steps.attempt('Licences and sources of crates', checkLicences)
  await steps.attempt('Hosted workflows', checkHosted)

  // The dependencies are compiled three times and not more: checked (here), for tests, and for the release.
  const lints = ['clippy', '--locked', '--all-targets', ...FEATURES]
  await steps.attempt('Lints', () => cargo(...lints, '--', '-D', 'warnings'))
  await steps.attempt('Lints without Node', () => cargo(...lints, '--no-default-features', '--', '-D', 'warnings'))
  await steps.attempt('The crate without Node', () => cargo('check', '--locked', '--no-default-features'))

  await steps.attempt(`Rust tests (${nextest ? 'cargo nextest' : 'cargo test'})`, () => rustTests(FEATURES))
  for (const level of LOWER_LEVELS)
    await steps.attempt(`Rust integration tests, ${level}`, () =>
      rustTests([...FEATURES, '--test', 'it'], { MIDSTREAMER_KERNEL: level }),
    )
  await steps.attempt('Rust documentation tests', () =>
    steps.tests(rustCounts, 'cargo', ['test', '--locked', '--doc', ...FEATURES], { env: { CARGO_TERM_COLOR: 'never' } }),
  )
}

async function javascript() {
  await steps.step('Install AgentDB and its databases', installAgentDb)
  if (releases().length === 0) steps.skip('Node tests, other releases', `none listed for ${process.platform} ${process.arch}`)
  else await steps.step('Install other Node releases', installReleases)
  const nodes = [{ name: `Node ${process.versions.node}`, path: process.execPath }, ...releases()]
  await steps.attempts(
    SUITES_AT_ONCE,
    nodes.map(({ name, path }) => ({ name: `Node tests, ${name}`, work: () => nodeTests(path, true) })),
  )

  await steps.attempt('TypeScript', typeChecks)
  const contract = join('..', 'shared', 'check', 'contract.sh')
  if (existsSync(join(root, contract)))
    await steps.attempt('Public contract', async () => {
      await run('bash', [contract])
    })
  else steps.skip('Public contract', `no ${contract} beside this checkout`)
  await steps.attempt('Examples', examples)
  await steps.attempt('Examples in the documentation', () => checkDocs())
  await steps.attempt('The package as a user gets it', verifyPackage)
}

async function everything() {
  await steps.step('Install development dependencies', () => install())
  await rust()
  const generated = read(GENERATED)
  const wasm = await builds()
  await steps.attempt('Generated files are the committed ones', () => unchanged(generated))
  if (wasm) await testWasm(steps)
  await javascript()
}

await main(async () => {
  const [mode, unknown] = process.argv.slice(2)
  if (unknown ?? (mode && mode !== '--quick')) throw new Stop(`unknown argument ${unknown ?? mode}; there is --quick`)
  checkToolchain()
  try {
    await (mode ? quick() : everything())
    steps.finish()
  } finally {
    steps.report()
    console.log(`\n${steps.passed} passed, ${steps.failed} failed`)
  }
})
