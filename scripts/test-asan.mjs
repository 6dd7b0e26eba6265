// Rust tests under AddressSanitizer, which sees reads and writes outside of what was allocated. Needs a nightly Rust. Not part of
// `npm test`: the sanitizer wants everything compiled once more.

import { Stop, Steps, main, run } from './steps.mjs'
import { rustCounts } from './runners.mjs'
import { checkToolchain, firstLine } from './toolchain.mjs'

/** Platforms whose nightly Rust brings the sanitizer. */
const TARGETS = {
  'linux x64': 'x86_64-unknown-linux-gnu',
  'linux arm64': 'aarch64-unknown-linux-gnu',
  'darwin x64': 'x86_64-apple-darwin',
  'darwin arm64': 'aarch64-apple-darwin',
}

await main(async () => {
  checkToolchain()
  const target = TARGETS[`${process.platform} ${process.arch}`]
  if (!target) throw new Stop(`there is no AddressSanitizer for ${process.platform} ${process.arch}`)
  if (firstLine('rustc', ['+nightly', '--version']) === null)
    throw new Stop('a nightly Rust is needed: `rustup toolchain install nightly --profile minimal`')

  const steps = new Steps()
  // What is unsafe is below the kernels, so the Node layer stays out. --target keeps the flags from build scripts.
  const args = ['+nightly', 'test', '--locked', '--no-default-features', '--features', 'oracle', '--target', target]
  const env = {
    RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} -Zsanitizer=address`.trim(),
    CARGO_TARGET_DIR: 'target/asan',
    CARGO_TERM_COLOR: 'never',
    // rayon's threads live as long as the process, which looks like a leak; and a test asks for more memory than there
    // is, which must come back as an error and not as a report.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
  }
  try {
    await steps.step('Rust tests under AddressSanitizer', async () => {
      steps.count(rustCounts(await run('cargo', [...args, '--lib', '--test', 'it', ...process.argv.slice(2)], { env })))
    })
  } finally {
    steps.report()
    console.log(`\n${steps.passed} passed, ${steps.failed} failed`)
  }
})
