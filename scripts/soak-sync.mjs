// A large database replicated to a new node, between processes over loopback: `node scripts/soak-sync.mjs [rows] [minutes]`, by
// default 100,000 patterns with embeddings of 384 dimensions within 10 minutes. It prints how long everything took, the memory
// of both nodes and how late their event loops were, and fails when the two databases differ in the end.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child, killAll } from '../benches/swarm/children.mjs'
import { Stop, isMain, main } from './steps.mjs'

/** Rows in a transaction of the fill, and rows that both nodes write and delete after the first sync. */
const BATCH = 1_000
const LATER = 500

const program = new URL('../benches/sync/child.mjs', import.meta.url)
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`
const late = ({ p50Ms, p99Ms, worstMs }) => `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, worst ${worstMs.toFixed(0)} ms`

const count = (name, text) => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Stop(`${name} is ${text}, not a number from 1`)
  return value
}

async function soak(folder, rows, limitMs) {
  const coordinator = new Child('coordinator', program)
  const address = await coordinator.ask('start', join(folder, 'coordinator'))
  const open = async (id, seed) => {
    const child = new Child('node', program)
    await child.ask('open', join(folder, `${id}.db`), seed)
    return Object.assign(child, { attach: async () => child.ask('attach', address, await coordinator.ask('identity', id)) })
  }
  const timed = async (what, ...nodes) => {
    const work = nodes.pop()
    await Promise.all(nodes.map((node) => node.ask('startLoop')))
    const begun = performance.now()
    await work()
    const ms = performance.now() - begun
    console.log(`${what}: ${seconds(ms)}`)
    for (const node of nodes) {
      console.log(`  ${node.name}: event loop late by ${late(await node.ask('stopLoop'))}; ${mebibytes(await node.ask('memory'))}`)
    }
    return ms
  }
  const [full, empty] = [Object.assign(await open('full', 1), { name: 'full' }), Object.assign(await open('empty', 2), { name: 'new ' })]
  await full.ask('fill', rows, BATCH)
  console.log(`${rows.toLocaleString('en-US')} patterns: ${mebibytes(await full.ask('bytes', join(folder, 'full.db')))}`)
  await timed('entered for replication', full, () => full.ask('install', 'soak'))
  await timed('at the coordinator', full, async () => {
    await full.attach()
    await full.ask('flush', 'relay', limitMs)
  })
  const ms = await timed('first sync of a new node', full, empty, async () => {
    await empty.ask('install', 'soak')
    await empty.attach()
    await empty.ask('reach', rows, limitMs)
  })
  console.log(`  ${(rows / ms * 1000).toFixed(0)} rows a second; ${mebibytes(await empty.ask('bytes', join(folder, 'empty.db')))} with its bookkeeping`)
  await timed(`${2 * LATER} rows more and ${2 * LATER} deleted, on both`, full, empty, async () => {
    for (const node of [full, empty]) {
      await node.ask('fill', LATER, 10)
      await node.ask('remove', LATER)
    }
    for (const node of [full, empty]) await node.ask('flush', 'members', limitMs)
  })
  const end = performance.now() + limitMs
  for (;;) {
    const [one, other] = await Promise.all([full.ask('digest'), empty.ask('digest')])
    if (one === other) break
    if (performance.now() > end) throw new Stop(`the two databases differ: ${JSON.stringify([await full.ask('status'), await empty.ask('status')])}`)
  }
  console.log(`both have the same ${(await full.ask('count')).toLocaleString('en-US')} patterns`)
  await Promise.all([full, empty].map((node) => node.ask('detach')))
}

if (isMain(import.meta.url)) {
  main(async () => {
    const [rows = 100_000, minutes = 10] = process.argv.slice(2)
    const limitMs = count('minutes', minutes) * 60_000
    const folder = mkdtempSync(join(tmpdir(), 'soak-sync-'))
    const limit = setTimeout(() => {
      console.error(`it took more than ${minutes} minutes`)
      process.exit(1)
    }, limitMs)
    process.on('exit', () => {
      killAll()
      rmSync(folder, { recursive: true, force: true })
    })
    try {
      await soak(folder, count('rows', rows), limitMs)
    } finally {
      clearTimeout(limit)
      killAll()
    }
  })
}
