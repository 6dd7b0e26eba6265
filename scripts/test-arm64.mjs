// Tests for arm64 on an x64 Linux, under emulation: what the kernels compute with NEON equals the oracles, and a real Node for
// arm64 loads the addon and gets the same answers from it. Not part of `npm test`: everything is compiled once more.
//
// Needs an arm64 linker and sysroot (Debian: gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu), qemu's user mode
// (qemu-user-static), and a Rust that has the standard library for arm64: `rustup target add aarch64-unknown-linux-gnu`, or
// another compiler that has it, named by the variable RUSTC.

import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { Stop, Steps, main, root, run, tool } from './steps.mjs'
import { install } from './install.mjs'
import { KERNEL_TESTS } from './kernel-tests.mjs'
import { nodeCounts, rustCounts } from './runners.mjs'
import { checkToolchain, firstLine } from './toolchain.mjs'

const TARGET = 'aarch64-unknown-linux-gnu'
const SYSROOT = '/usr/aarch64-linux-gnu'
const LINKER = 'aarch64-linux-gnu-gcc'

/** Kernels and pattern search from JavaScript. The others need processes, which qemu's user mode starts for its own machine. */
const FILES = [...KERNEL_TESTS, 'library-file']

/** Rust tests that start their own program again, which for the same reason cannot be here. */
const PROCESSES = ['library_file::crash::killed_processes_leave_whole_files', 'library_file::fuzz::random_damage_is_found_in_bounded_memory']

/** A program that prints nothing for so long, in milliseconds, hangs: emulation is some ten times slower. */
const SILENT_MS = 1_200_000

/** Where what is built and fetched for arm64 lies. */
const folder = join(root, 'target', 'arm64')

function emulator() {
  const found = ['qemu-aarch64-static', 'qemu-aarch64'].find((command) => firstLine(command, ['--version']) !== null)
  if (found === undefined) throw new Stop('qemu-aarch64 was not found (Debian: qemu-user-static)')
  return [found, '-L', SYSROOT]
}

function checkTools() {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Stop(`this is for Linux on x64, not for ${process.platform} on ${process.arch}`)
  if (firstLine(LINKER, ['--version']) === null) throw new Stop(`${LINKER} was not found (Debian: gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu)`)
  // What it compiles goes into a folder of its own: rustc renames its result into place, which as root would replace /dev/null.
  const probe = ['--target', TARGET, '--crate-name', 'probe', '--crate-type', 'lib', '--emit', 'metadata', '--out-dir', folder, '-']
  if (spawnSync(process.env.RUSTC ?? 'rustc', probe, { input: '' }).status !== 0) throw new Stop(`this Rust has no standard library for ${TARGET}: \`rustup target add ${TARGET}\`, or set RUSTC`)
}

/** The newest of the Nodes that the tests run on, as the plain binary for arm64. */
async function nodeForArm() {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'scripts', 'node-matrix', 'package.json'), 'utf8'))
  const specs = Object.entries(optionalDependencies).filter(([name]) => name.endsWith('-linux-arm64'))
  const [, spec] = specs.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  const packed = await run('npm', ['pack', spec.replace(/^npm:/, ''), '--pack-destination', folder, '--loglevel=error'], { quiet: true })
  await run('tar', ['-xzf', join(folder, packed.trim().split('\n').at(-1)), '-C', folder], { quiet: true })
  return join(folder, 'package', 'bin', 'node')
}

await main(async () => {
  checkToolchain()
  mkdirSync(folder, { recursive: true })
  checkTools()
  const qemu = emulator()
  const variable = TARGET.replaceAll('-', '_')
  const env = {
    [`CARGO_TARGET_${variable.toUpperCase()}_LINKER`]: LINKER,
    [`CARGO_TARGET_${variable.toUpperCase()}_RUNNER`]: qemu.join(' '),
    [`CC_${variable}`]: LINKER,
    CARGO_TARGET_DIR: folder,
    CARGO_TERM_COLOR: 'never',
  }

  const steps = new Steps()
  try {
    await steps.step('Install development dependencies', () => install())
    const common = ['test', '--locked', '--no-fail-fast', '--target', TARGET, '--no-default-features', '--features', 'oracle']
    const rust = (args) => steps.tests(rustCounts, 'cargo', [...common, ...args], { env, silentMs: SILENT_MS })
    await steps.attempt('Rust unit tests of the kernels', () => rust(['--lib', '--', 'kernels::', 'search::', 'series::']))
    const skipped = PROCESSES.flatMap((name) => ['--skip', name])
    await steps.attempt('Rust integration tests of the kernels', () => rust(['--test', 'it', '--', ...skipped]))
    for (const name of PROCESSES) steps.skip(name, 'it starts processes for arm64')
    await steps.step('Build the addon', () =>
      run(process.execPath, [tool('@napi-rs', 'cli', 'dist', 'cli.js'), 'build', '--platform', '--release', '--target', TARGET,
        '--js', 'binding.js', '--dts', 'binding.d.ts', '--', '--locked'], { env }))
    const node = await nodeForArm()
    const files = readdirSync(join(root, '__test__')).filter((file) => FILES.includes(file.replace(/\.test\.\w+$/, '')))
    if (files.length !== FILES.length) throw new Stop(`of ${FILES} there are ${files}`)
    // Each by itself: the runner would start a process for each.
    for (const file of files) {
      const args = [...qemu.slice(1), node, '--expose-gc', '--test-reporter=spec', join('__test__', file)]
      await steps.attempt(`Node for arm64, ${file}`, () => steps.tests(nodeCounts, qemu[0], args, { env: { NO_COLOR: '1' }, silentMs: SILENT_MS }))
    }
    steps.finish()
  } finally {
    steps.report()
    console.log(`\n${steps.passed} passed, ${steps.failed} failed`)
  }
})
