// What users write, as files in a folder that has the package installed.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtWasm } from './release.mjs'

/** The body of a program that uses every part once. `load` is how it gets at an entry. */
const body = (name, load) => `
${load('midstreamer', name)}
${load('compat', `${name}/compat`)}
${load('agentdb', `${name}/agentdb`)}
${load('trader', `${name}/neural-trader`)}

function equal(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(what + ': ' + JSON.stringify(found) + ', not ' + JSON.stringify(wanted))
}

async function use() {
  const a = Float64Array.of(1, 2, 3), b = Float64Array.of(2, 3, 4)
  const [later, { path }] = [await midstreamer.dtw(a, b), await midstreamer.dtwAlign(a, b)]
  equal([midstreamer.dtwSync(a, b), later, new compat.TemporalCompare().dtw(a, b)], [2, 2, 2], 'DTW')
  equal(Array.from(path), [0, 0, 1, 0, 2, 1, 2, 2], 'path')
  equal(midstreamer.lcsSync('ABCBDAB', 'BDCABA'), 4, 'LCS')
  equal(compat.dtwBatchParallel(a, b, 3), trader.dtwBatch(a, b, 3), 'batches')
  equal(typeof agentdb.QUICServer, 'function', 'QUICServer')
  let code
  try { midstreamer.dtwSync([NaN], [1]) } catch (error) { code = error instanceof midstreamer.MidstreamerError && error.code }
  equal(code, 'NON_FINITE', 'code')

  const library = new midstreamer.PatternLibrary({ length: 3 })
  library.add([{ id: 'b', values: b }, { id: 'far', values: [9, 9, 9] }])
  const [nearest] = await library.search(a, { k: 1 })
  equal(nearest.id, 'b', 'nearest')

  const coordinator = await midstreamer.Coordinator.start()
  const identity = await coordinator.developmentIdentity('agent')
  const agent = await midstreamer.Agent.connect({ address: coordinator.address, identity, handlers: { double: (x) => x.map((one) => 2 * one) } })
  const { value } = await coordinator.submit({ kind: 'double', payload: a })
  equal(Array.from(value), [2, 4, 6], 'task')
  equal((await coordinator.submit({ kind: 'dtw', payload: { a, b } })).value, 2, 'built-in task')
  await agent.close()
  await coordinator.close()
  return midstreamer.version()
}
`

const required = (variable, entry) => `const ${variable} = require('${entry}')`
const imported = (variable, entry) => `import * as ${variable} from '${entry}'`
const DONE = ".then(({ kernel }) => console.log('used', kernel))"

/** The same in a worker while the main thread uses it as well, twice over, and one that is ended in the middle of its work. Each ends by itself. */
const worker = (name) => `
const { Worker, isMainThread } = require('node:worker_threads')
${body(name, required)}
if (isMainThread) {
  const ended = (worker) => new Promise((resolve, reject) => worker.on('error', reject).on('exit', (code) => code === 0 ? resolve() : reject(new Error('exit code ' + code))))
  const cut = new Worker(__filename)
  const gone = new Promise((resolve) => cut.on('exit', resolve))
  Promise.all([use(), ended(new Worker(__filename)), ended(new Worker(__filename)), cut.terminate(), gone])
    .then(([{ kernel }]) => console.log('used', kernel))
} else use()
`

/** What there is in WebAssembly. */
const wasm = (name) => `
import { initialize, dtw, dtwBatch, dtwSync, lcsSync, version, MidstreamerError, PatternLibrary } from '${name}/wasm'

function equal(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(what + ': ' + JSON.stringify(found) + ', not ' + JSON.stringify(wanted))
}

await initialize()
const a = Float64Array.of(1, 2, 3), b = Float64Array.of(2, 3, 4)
equal([dtwSync(a, b), await dtw(a, b), lcsSync('ABCBDAB', 'BDCABA')], [2, 2, 4], 'pairs')
equal(Array.from(await dtwBatch(a, [b, a, [9]])), [2, 0, 21], 'batch')
const library = new PatternLibrary({ length: 3 })
library.add([{ id: 'b', values: b }, { id: 'far', values: [9, 9, 9] }])
const [nearest] = await (await PatternLibrary.fromBytes(await library.toBytes())).search(a, { k: 1 })
equal(nearest.id, 'b', 'nearest')
const code = await dtw([NaN], [1]).catch((error) => error instanceof MidstreamerError && error.code)
equal(code, 'NON_FINITE', 'code')
console.log('used', version().kernel)
`

const TYPESCRIPT = (name) => `
import { dtw, dtwSync, lcsSync, version, MidstreamerError, type DtwOptions, type Series } from '${name}'
import { TemporalCompare } from '${name}/compat'
import { QUICServer } from '${name}/agentdb'
import { correlationAnalysis, swarm, type SwarmTaskResult } from '${name}/neural-trader'
const options: DtwOptions = { metric: 'squared', window: 1 }
const series: Series = [1, 2, 3]
const now: number = dtwSync(series, new Float32Array(3), { window: 1 })
const later: Promise<number> = dtw(series, new Float64Array(3), options)
const common: number = lcsSync('abc', ['a'].join())
const old: number = new TemporalCompare(1).dtw(new Float64Array(1), new Float64Array(1))
const code: string | undefined = new Error() instanceof MidstreamerError ? 'yes' : undefined
const text: Promise<string> = correlationAnalysis({ A: series }, 90)
${builtWasm() ? `const inWasm: Promise<number> = import('${name}/wasm').then(async ({ initialize, dtw }) => (await initialize({ workers: 1 }), dtw(series, series, options)))` : 'const inWasm = null'}
const task: Promise<SwarmTaskResult> = swarm.orchestrateTask({ task_type: 'dtw', description: 'a pair' })
// @ts-expect-error: a string is not a series
dtwSync('abc', series)
// @ts-expect-error: no such option
dtwSync(series, series, { windows: 1 })
export default [now, later, common, old, code, version(), text, task, inWasm, QUICServer]
`

/** Writes them into `folder`; the names are what `run` gets. */
export function writePrograms(folder, name) {
  const programs = {
    'use.cjs': `${body(name, required)}\nuse()${DONE}\n`,
    'use.mjs': `${body(name, imported)}
import { createRequire } from 'node:module'
equal(createRequire(import.meta.url)('${name}').MidstreamerError === midstreamer.MidstreamerError, true, 'one class')
await use()${DONE}\n`,
    'worker.cjs': worker(name),
    'wasm.mjs': wasm(name),
    'missing.cjs': `try { require('${name}') } catch (error) { console.log(error.code + ': ' + error.message) }\n`,
    'consumer.mts': TYPESCRIPT(name),
    'consumer.cts': TYPESCRIPT(name),
    'consumer.ts': TYPESCRIPT(name),
  }
  for (const [file, text] of Object.entries(programs)) {
    writeFileSync(join(folder, file), text)
    chmodSync(join(folder, file), 0o644)
  }
}
