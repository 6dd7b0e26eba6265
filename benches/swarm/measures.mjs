/** What is measured, each with what it is measured against, in turns and in the same run. */
import { closeSync, mkdtempSync, openSync, fdatasyncSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Coordinator, lcsMatrix } from '@neural-trader/midstreamer'
import { seededRandom, symbols } from '../js/random.mjs'
import { collectGarbage, median } from '../js/rounds.mjs'
import { IN_FLIGHT, PAYLOAD_BYTES, assertEcho, grpc, nats, net, swarm, ws } from './callers.mjs'
import { Child } from './children.mjs'

/** `times` ascending. */
const quantile = (times, q) => times[Math.min(times.length - 1, Math.ceil(q * times.length) - 1)]

/** `inFlight` callers that each wait for their answer, for `ms`. @returns how many a second, and each one's time, ascending */
async function load(call, inFlight, ms) {
  collectGarbage()
  const times = []
  const begun = performance.now()
  const until = begun + ms
  let ended = begun
  await Promise.all(Array.from({ length: inFlight }, async () => {
    let asked = performance.now()
    while (asked < until) {
      await call()
      ended = performance.now()
      times.push(ended - asked)
      asked = ended
    }
  }))
  return { rate: (times.length * 1000) / (ended - begun), times: Float64Array.from(times).sort() }
}

/** All rounds of one contender; ratios are taken within a round. */
function summary(samples, control) {
  const all = Float64Array.from(samples.flatMap(({ times }) => [...times])).sort()
  const p50s = samples.map(({ times }) => quantile(times, 0.5))
  return {
    p50Ms: median(p50s),
    p99Ms: quantile(all, 0.99),
    rate: median(samples.map(({ rate }) => rate)),
    p50Ratio: median(p50s.map((p50, round) => p50 / quantile(control[round].times, 0.5))),
    rateRatio: median(samples.map(({ rate }, round) => rate / control[round].rate)),
  }
}

/** Every contender in turn, round by round; the first is the control of the ratios. */
async function inTurns(contenders, inFlight, { rounds, sampleMs }) {
  const samples = contenders.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [at, { call }] of contenders.entries()) samples[at].push(await load(call, inFlight, sampleMs))
  }
  return samples
}

/** Tasks of 256 bytes between two processes. */
export async function tasks(peers, versions, settings) {
  const open = []
  try {
    /** What was opened is stopped, whatever fails after it. */
    const opened = (...contenders) => {
      open.push(...contenders)
      return contenders
    }
    const [ours, kernel] = opened(...await swarm())
    const [control] = opened(await net())
    const [echo] = opened(await ws(peers, versions.ws))
    const server = await nats(peers, versions['@nats-io/transport-node'])
    const [broker] = server === undefined ? [] : opened(server)
    const [unary, stream] = opened(...await grpc(peers, versions['@grpc/grpc-js']))
    const contenders = [control, ours, echo, broker, unary, stream].filter((contender) => contender !== undefined)
    for (const contender of contenders) assertEcho(contender, await contender.call())
    contenders.push(kernel)
    // What is compiled while it runs is compiled by then.
    for (const { call } of contenders) await load(call, IN_FLIGHT, settings.sampleMs)

    const one = await inTurns(contenders, 1, settings)
    const many = await inTurns(contenders, IN_FLIGHT, settings)
    const results = contenders.map(({ name }, at) => ({ name, one: summary(one[at], one[0]), many: summary(many[at], many[0]) }))
    const at = (contender) => contenders.indexOf(contender)
    /** How many times the other's throughput ours is. */
    const times = (other) => median(many[at(ours)].map(({ rate }, round) => rate / many[at(other)][round].rate))
    const { one: oneOurs } = results[at(ours)]
    return {
      payloadBytes: PAYLOAD_BYTES,
      inFlight: IN_FLIGHT,
      ...settings,
      results,
      goals: [
        { name: 'p50 at most 3.5 x Node net', value: oneOurs.p50Ratio, unit: 'x', met: oneOurs.p50Ratio <= 3.5 },
        { name: 'p50 below 0.2 ms on a quiet machine', value: oneOurs.p50Ms, unit: 'ms', met: oneOurs.p50Ms < 0.2 },
        ...[[echo, 'ws', 0.8], [broker, 'NATS', 1.5], [unary, 'gRPC unary', 10]].flatMap(([other, name, goal]) => {
          if (other === undefined) return [{ name: `at least ${goal} x ${name}: skipped, no nats-server is installed` }]
          return [{ name: `${IN_FLIGHT} in flight: at least ${goal} x ${name}`, value: times(other), unit: 'x', met: times(other) >= goal }]
        }),
        { name: `built-in kind: at least 30,000 tasks/s at ${IN_FLIGHT} in flight`, value: results[at(kernel)].many.rate, unit: '/s', met: results[at(kernel)].many.rate >= 30_000 },
      ],
    }
  } finally {
    for (const { stop } of open) await stop()
  }
}

/** Agents of `processes` processes, `atOnce` of each at a time; all of them when it is not given. */
export async function registration(count, processes, { seconds, mostMiB, dialMs, atOnce }) {
  const host = new Child('coordinator')
  const homes = Array.from({ length: processes }, () => new Child('agents'))
  try {
    const address = await host.ask('start', { maxAgents: count })
    const share = Math.ceil(count / processes)
    const identities = []
    for (let i = 0; i < processes; i++) identities.push(await host.ask('identities', Math.min(share, count - i * share), i * share))
    const before = await host.ask('rss')
    const begun = performance.now()
    const dials = (await Promise.all(homes.map((home, i) => home.ask('connect', address, identities[i], atOnce)))).flat()
    const allInMs = performance.now() - begun
    const { connected } = await host.ask('agents')
    if (connected !== count) throw new Error(`${connected} of ${count} agents are connected`)
    dials.sort((x, y) => x - y)
    const after = await host.ask('rss')
    // A while of nothing but keep-alives.
    const [cpu, idleMs] = [await host.ask('cpu'), 2000]
    await new Promise((resolve) => { setTimeout(resolve, idleMs) })
    const idleCpu = (await host.ask('cpu')) - cpu
    const longestMs = dials.at(-1)
    const grownMiB = (after - before) / 2 ** 20
    return {
      agents: count,
      processes,
      atOnce: atOnce ?? share,
      allInMs,
      dialP50Ms: quantile(dials, 0.5),
      longestMs,
      rssBeforeMiB: before / 2 ** 20,
      rssAfterMiB: after / 2 ** 20,
      kibPerAgent: (after - before) / 1024 / count,
      idleCpu: idleCpu / idleMs,
      goals: [
        ...(seconds === undefined ? [] : [{ name: `${count} agents in within ${seconds} s`, value: allInMs, unit: 'ms', met: allInMs < seconds * 1000 }]),
        ...(dialMs === undefined ? [] : [{ name: `no connect() above ${dialMs} ms`, value: longestMs, unit: 'ms', met: longestMs < dialMs }]),
        { name: `the coordinator grows by less than ${mostMiB} MiB`, value: grownMiB, unit: 'MiB', met: grownMiB < mostMiB },
      ],
    }
  } finally {
    await Promise.all([...homes, host].map((child) => child.stop()))
  }
}

/** `coordinator.lcsMatrix` on two agents of this machine, in turns with the function of this process. */
export async function matrix({ rounds, sequences, length }) {
  const random = seededRandom(5)
  const input = Array.from({ length: sequences }, () => symbols(length, 5, random))
  const coordinator = await Coordinator.start()
  const agents = [new Child('agents'), new Child('agents')]
  try {
    for (const [i, agent] of agents.entries()) await agent.ask('connect', coordinator.address, [{ identity: await coordinator.developmentIdentity(`agent-${i}`) }])
    const timed = async (work) => {
      collectGarbage()
      const begun = performance.now()
      const { data } = await work()
      return { ms: performance.now() - begun, data }
    }
    const local = []
    const spread = []
    for (let round = 0; round <= rounds; round++) {
      const here = await timed(() => lcsMatrix(input))
      const there = await timed(() => coordinator.lcsMatrix(input))
      if (!Buffer.from(here.data.buffer).equals(Buffer.from(there.data.buffer))) throw new Error('the matrices differ')
      // The first is the warm-up of both.
      if (round === 0) continue
      local.push(here.ms)
      spread.push(there.ms)
    }
    const ratio = median(spread.map((ms, round) => ms / local[round]))
    return {
      sequences,
      length,
      rounds,
      localMs: median(local),
      swarmMs: median(spread),
      ratio,
      goals: [{ name: 'swarm lcsMatrix on 2 local agents within 15 % of the local time', value: ratio, unit: 'x', met: ratio <= 1.15 }],
    }
  } finally {
    await coordinator.close()
    for (const agent of agents) await agent.stop()
  }
}

/** 4 KiB written over and over, each time down to the disk. */
function fsyncs(file, ms) {
  const bytes = Buffer.alloc(4096, 7)
  const fd = openSync(file, 'w')
  try {
    const times = []
    const begun = performance.now()
    while (performance.now() < begun + ms) {
      const asked = performance.now()
      writeSync(fd, bytes, 0, bytes.length, 0)
      fdatasyncSync(fd)
      times.push(performance.now() - asked)
    }
    return { rate: (times.length * 1000) / (performance.now() - begun), times: Float64Array.from(times).sort() }
  } finally {
    closeSync(fd)
  }
}

/** `enqueue` with a dataDir under `folder`, in turns with bare fsyncs of the same file system. */
export async function durable(folder, { rounds, sampleMs }) {
  const home = mkdtempSync(join(folder, 'bench-'))
  const coordinator = await Coordinator.start({ dataDir: join(home, 'data'), maxQueued: 2_000_000 })
  const payload = Buffer.alloc(PAYLOAD_BYTES, 7)
  const enqueue = () => coordinator.enqueue({ kind: 'nobody', payload })
  try {
    const ours = []
    const bare = []
    await load(enqueue, IN_FLIGHT, sampleMs)
    for (let round = 0; round < rounds; round++) {
      bare.push(fsyncs(join(home, 'fsync'), sampleMs))
      ours.push(await load(enqueue, IN_FLIGHT, sampleMs))
    }
    const results = [
      { name: 'fsync of 4 KiB, one after another', ...summary(bare, bare) },
      { name: `ours, enqueue, ${IN_FLIGHT} in flight`, ...summary(ours, bare) },
    ]
    const [fsync, { rate, p99Ms }] = results
    const ratio = p99Ms / fsync.p99Ms
    return {
      rounds,
      results,
      goals: [
        { name: 'durable enqueue above 5,000 tasks/s', value: rate, unit: '/s', met: rate > 5000 },
        { name: 'p99 at most 3 x that of an fsync', value: ratio, unit: 'x', met: ratio <= 3 },
      ],
    }
  } finally {
    await coordinator.close()
    rmSync(home, { recursive: true })
  }
}
