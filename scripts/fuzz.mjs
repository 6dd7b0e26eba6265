// Coverage-guided fuzzing of the parsers of bytes from outside, with libFuzzer:
//
//   npm run fuzz                            the targets
//   npm run fuzz -- TARGET [--seconds N]    one of them, by default for two minutes; new findings join the corpus
//   npm run fuzz -- all [--seconds N]       one after the other
//   npm run fuzz -- TARGET --minimise       the smallest corpus with the same coverage, and of that a sample
//
// The corpus is in fuzz/corpus, and `npm test` replays it. An input that fails is left in fuzz/artifacts, its name is
// printed, and `npm run fuzz -- TARGET --input FILE` runs it once more. Needs Linux or macOS, and a C++ compiler for
// libFuzzer itself; a stable Rust will do.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Stop, isMain, main, root, run } from './steps.mjs'

const folder = join(root, 'fuzz')
const corpus = join(folder, 'corpus')

/** What rustc has to add for libFuzzer: counters and their places, and what is compared with what. */
const COVERAGE = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Ccodegen-units=1',
].join(' ')

/** The longest input that is tried, in bytes. */
const LONGEST = { libraries: 16384, identities: 8192, authorities: 8192, registers: 8192 }

/** The names in the table of targets. */
export function targets() {
  const table = /TARGETS: [^=]*= &\[(.*?)^\];/ms.exec(readFileSync(join(folder, 'src', 'targets.rs'), 'utf8'))
  if (!table) throw new Stop('fuzz/src/targets.rs has no table of targets')
  return [...table[1].matchAll(/"(\w+)"/g)].map((match) => match[1])
}

/** Builds a program; the coverage is only for the code that is fuzzed, not for the build scripts: hence `--target`. */
async function build(name) {
  const host = /^host: (\S+)$/m.exec(await run('rustc', ['-vV'], { quiet: true }))?.[1]
  const output = join(root, 'target', 'fuzz')
  const args = ['build', '--release', '--locked', '--manifest-path', join(folder, 'Cargo.toml'), '--target', host, '--bin', name]
  const covered = name === 'fuzz'
  await run('cargo', [...args, '--target-dir', covered ? output : `${output}-seeds`], { env: covered ? { RUSTFLAGS: COVERAGE } : {} })
  return join(covered ? output : `${output}-seeds`, host, 'release', name)
}

/** What is kept for the ordinary tests, of each target: so many inputs, of so many bytes together. */
const MOST_INPUTS = 100
const MOST_BYTES = 24 << 10

/** Keeps a sample of a corpus: inputs are named by their hash, so the first ones by name are any. No keys, although they are made up. */
export function prune(path) {
  let bytes = 0
  let kept = 0
  for (const name of entries(path).sort()) {
    const input = readFileSync(join(path, name))
    const fits = kept < MOST_INPUTS && bytes + input.length <= MOST_BYTES && !input.includes('BEGIN PRIVATE KEY')
    if (fits) {
      kept++
      bytes += input.length
    } else rmSync(join(path, name))
  }
}

const entries = (path) => (existsSync(path) ? readdirSync(path) : [])

/** Fuzzes one target. */
async function fuzz(program, seeds, target, { seconds, minimise, input }) {
  const own = join(corpus, target)
  const artifacts = join(folder, 'artifacts', target)
  for (const path of [own, artifacts]) mkdirSync(path, { recursive: true })
  const call = (args) => run(program, args, { env: { FUZZ_TARGET: target } })
  const limits = [`-max_len=${LONGEST[target] ?? 4096}`, '-timeout=10', '-rss_limit_mb=2048', `-artifact_prefix=${artifacts}/`]
  if (input) return call([...limits, resolve(input)])
  const from = [own, join(seeds, target)].filter((path) => existsSync(path))
  if (!minimise) return call([...limits, `-max_total_time=${seconds}`, '-print_final_stats=1', '-reduce_inputs=1', ...from])
  // Into a folder of its own, which then takes the place of the corpus.
  const smallest = mkdtempSync(join(artifacts, 'corpus-'))
  await call([...limits, '-merge=1', smallest, ...from])
  rmSync(own, { recursive: true })
  renameSync(smallest, own)
  prune(own)
  console.log(`${target}: ${entries(own).length} inputs are kept`)
}

async function fuzzed() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '120' }, minimise: { type: 'boolean', default: false }, input: { type: 'string' } },
  })
  const names = targets()
  if (positionals.length === 0) return console.log(names.join('\n'))
  const wanted = positionals[0] === 'all' ? names : positionals
  const unknown = wanted.filter((name) => !names.includes(name))
  if (unknown.length > 0) throw new Stop(`no target ${unknown.join(', ')}; there are ${names.join(', ')} and all`)
  if (!/^[1-9]\d*$/.test(values.seconds)) throw new Stop(`--seconds is ${values.seconds}, not a number from 1`)
  const seeds = mkdtempSync(join(tmpdir(), 'fuzz-seeds-'))
  try {
    await run(await build('seeds'), [seeds])
    const program = await build('fuzz')
    for (const target of wanted) await fuzz(program, seeds, target, values)
  } finally {
    rmSync(seeds, { recursive: true, force: true })
  }
}

if (isMain(import.meta.url)) await main(fuzzed)
