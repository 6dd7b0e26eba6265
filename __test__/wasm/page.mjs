// What a page does with the module; it posts its findings to the server that it came from.

import * as midstreamer from '@neural-trader/midstreamer/wasm'

const { initialize, dtw, dtwBatch, dtwMatrix, dtwSync, lcsAlign, PatternLibrary, StreamMatcher, version } = midstreamer

const coded = async (call) => {
  try {
    await call()
  } catch (error) {
    return error instanceof midstreamer.MidstreamerError ? error.code : `${error}`
  }
}

async function findings() {
  const found = {}
  found.tooEarly = [await coded(() => dtw([1], [2])), await coded(() => dtwSync([1], [2])), await coded(() => new PatternLibrary({ length: 2 }))]
  found.noModule = await coded(() => initialize({ module: new URL('./nothing.wasm', location.href) }))
  // Two at once load one module.
  await Promise.all([initialize({ workers: 2 }), initialize()])
  found.version = version()

  const { query, data, length, window } = await (await fetch('./input.json')).json()
  const values = Float64Array.from(data)
  found.pair = [dtwSync(query, values.subarray(0, length)), await dtw(query, values.subarray(0, length))]

  // The page goes on while the workers work.
  const matrix = Array.from({ length: 40 }, (_, i) => values.subarray(i * 1000, (i + 1) * 1000 + i))
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  let told = 0
  found.matrix = Array.from((await dtwMatrix(matrix, { onProgress: () => told++ })).data)
  clearInterval(timer)
  Object.assign(found, { turns, told })

  found.batch = Array.from(await dtwBatch(query, { data: values, length }, { window }))
  found.lcs = Array.from((await lcsAlign('ABCBDAB', 'BDCABA')).positionsA)

  const controller = new AbortController()
  const endless = dtwMatrix(Array.from({ length: 60 }, () => values.subarray(0, 20_000)), { signal: controller.signal })
  setTimeout(() => controller.abort(), 50)
  found.aborted = await coded(() => endless)
  found.afterAbort = await dtw([1], [3])

  const library = await PatternLibrary.fromBytes(new Uint8Array(await (await fetch('./library')).arrayBuffer()))
  found.nearest = await library.search(query, { k: 3 })
  const matcher = new StreamMatcher(library, { k: 1 })
  found.pushed = Array.from(query, (value) => matcher.push(value)).at(-1)
  found.noFiles = await coded(() => library.save('x'))
  await fetch('./bytes', { method: 'POST', body: await library.toBytes() })
  return found
}

findings().then(
  (found) => fetch('./found', { method: 'POST', body: JSON.stringify(found) }),
  (error) => fetch('./failed', { method: 'POST', body: `${error?.stack ?? error}` }),
)
