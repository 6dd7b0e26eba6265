// Compiled, never run: the types as an ES module sees them.
import {
  Agent, alignTimeframes, barycenter, CertificateAuthority, Coordinator, correlationMatrix, dtw, dtwAlign, dtwBatch, dtwMatrix, dtwNearest, dtwSync, elastic, elasticBatch,
  Keyring, lagMatrix, lcs, lcsAlign, lcsMatrix, lcss, lcsSync, levenshtein, medoids, MidstreamerError, PatternLibrary, StreamMatcher, subsequenceSearch, version,
} from '@neural-trader/midstreamer'
import type {
  AgentInfo, AgentOptions, Alignment, Candidates, CommonSubsequence, CoordinatorOptions, DtwOptions, ElasticMeasure, ElasticOptions, ErrorCode, Grants, Identity, IssuedCertificate,
  IssuedIdentity, KeyringKey, LcsOptions, LibraryOptions, LibrarySearchOptions, Match, Matrix, Neighbor, Pattern, Progress, RevokedCertificate, Role, Sequence, Series, SubsequenceMatch, SwarmStats,
  TaskContext, TaskRequest, TaskResult, TaskState,
} from '@neural-trader/midstreamer'
import {
  dtwBatch as oldBatch, dtwBatchAdaptive, dtwBatchParallel, dtwDistanceRust, dtwDistanceRustOptimized, TemporalCompare,
} from '@neural-trader/midstreamer/compat'
import {
  correlationAnalysis, crossAssetCorrelationMatrix, dtwBatch as traderBatch, executeSwarmStrategy, getSwarmMetrics, getSwarmStatus, monitorSwarmHealth, scaleSwarm, setMarketData, shutdownSwarm,
  swarm as traderSwarm, TemporalCompare as TraderCompare,
} from '@neural-trader/midstreamer/neural-trader'
import * as wasm from '@neural-trader/midstreamer/wasm'
import type { InitializeOptions, Match as WasmMatch } from '@neural-trader/midstreamer/wasm'
import type { MarketData, Swarm, SwarmAgentConfig, SwarmConfig, SwarmTask, SwarmTaskResult } from '@neural-trader/midstreamer/neural-trader'

/** Both types are the same, in both directions. */
function same<A, B>(..._: [A] extends [B] ? ([B] extends [A] ? [] : ['differs']) : ['differs']): void {}

const series: Series[] = [new Float64Array(2), new Float32Array(2), [1, 2], [1, 2] as const]
const sequences: Sequence[] = [new Int32Array(2), new Uint8Array(2), [1], ['BUY'], 'text', ['a', 'b'] as const]
const options: DtwOptions = { metric: 'squared', window: 3, normalize: 'zscore', maxDistance: 5, channels: 1, signal: new AbortController().signal }
const progress: Progress = { onProgress: (done: number, total: number) => void (done / total) }
const candidates: Candidates[] = [series, { data: new Float64Array(4), length: 2 }, { data: new Float32Array(4), length: 2 }]
const measure: ElasticMeasure = 'soft-dtw'
const elasticOptions: ElasticOptions = { gamma: 0.1, window: 3 }
const lcsOptions: LcsOptions = {}

/** The same types, and its own beginning. */
export async function inWasm(): Promise<void> {
  const begin: InitializeOptions = { module: new URL('https://example.com/midstreamer.wasm'), workers: 2 }
  await wasm.initialize(begin)
  await wasm.initialize()
  same<typeof wasm.dtwBatch, typeof dtwBatch>()
  same<WasmMatch, Match>()
  const library: PatternLibrary = new wasm.PatternLibrary({ length: 2 })
  new wasm.StreamMatcher(library)
  // @ts-expect-error: no such option
  await wasm.initialize({ worker: 2 })
  // @ts-expect-error: there are no sockets
  wasm.Coordinator
}

export async function librariesAndStreams(): Promise<void> {
  const shape: LibraryOptions = { length: 2, channels: 1, window: 1, metric: 'absolute', normalize: 'zscore' }
  const library = new PatternLibrary(shape)
  const pattern: Pattern = { id: 'a', values: [1, 2], meta: { endsAt: 1 } }
  library.add(pattern)
  library.add([pattern, { id: 'b', values: new Float32Array(2) }] as const)
  library.add({ ids: ['c'], data: new Float64Array(2), meta: [null] })
  const question: LibrarySearchOptions = { k: 3, maxDistance: 1, asOf: 5 }
  const matches: Match[] = library.searchSync([1, 2], question)
  const later: Match[] = await library.search([1, 2], { ...question, signal: new AbortController().signal })
  const first: Float64Array | undefined = library.get('a')?.values
  const removed: boolean = library.remove('a')
  const pruned: number | undefined = library.lastSearch?.prunedByBound
  await library.save('file')
  const loaded: PatternLibrary = await PatternLibrary.load('file')
  const bytes: Uint8Array = await loaded.toBytes()
  const again: PatternLibrary = await PatternLibrary.fromBytes(bytes)
  // @ts-expect-error: text is not bytes
  await PatternLibrary.fromBytes('bytes')
  again.searchSync([1, 2])
  const matcher = new StreamMatcher(library, { k: 1, maxDistance: 2 })
  const pushed: Match[] = matcher.push(1, 2)
  const many: Match[][] = matcher.pushMany(new Float32Array(3), [1, 2, 3])
  matcher.reset()
  void [matches[0]?.similarity, later[0]?.meta, first, removed, pruned, loaded.size, pushed, matcher.push([1]), many]
  // @ts-expect-error a signal needs a promise
  library.searchSync([1, 2], { signal: new AbortController().signal })
  // @ts-expect-error the length is required
  new PatternLibrary({ channels: 1 })
}

export async function swarm(): Promise<void> {
  const setup: CoordinatorOptions = { listen: '127.0.0.1:0', agentTimeoutMs: 500, onLog: ({ level, fields }) => void [level, fields['a']] }
  const coordinator: Coordinator = await Coordinator.start(setup)
  const handlers = { double: (x: number) => 2 * x, slow: async (_: unknown, { signal, fence, deadline, progress }: TaskContext) => { progress(0.5); return [signal.aborted, fence, deadline] } }
  const token: string = await coordinator.createJoinToken({ ttlMs: 1000, uses: 2, grants: { kinds: ['dtw'] } })
  const joined: Identity = await Agent.enroll({ address: coordinator.enrollAddress ?? '', token, agentId: 'a' })
  void joined
  const how: AgentOptions = { address: [coordinator.address], identity: await coordinator.developmentIdentity('a'), type: 'my-own', handlers }
  const agent: Agent = await Agent.connect(how)
  const task: TaskRequest = { kind: 'double', payload: { series: new Float64Array(2) }, priority: 9, requires: ['gpu'], idempotencyKey: 'k' }
  const { value, agentId }: TaskResult<number> = await coordinator.submit<number>(task, { signal: new AbortController().signal })
  const { taskId, deduplicated }: { taskId: string; deduplicated: boolean } = await coordinator.enqueue(task)
  const state: TaskState | undefined = coordinator.task(taskId)
  for await (const { index, error, value: each } of coordinator.map<number>([task], { concurrency: 2, onError: 'yield' })) {
    const seen: [number | undefined, string | undefined, number] = [index, error?.code, each]
    void seen
  }
  const ends: () => void = coordinator.subscribe('topic', ({ topic, from, payload }) => void [topic.length, from.length, payload])
  coordinator.on('agentJoined', (joined: AgentInfo) => void joined.rttMs).on('taskFailed', ({ error }) => void error.length)
  agent.on('closed', (error) => void error?.code).on('connected', () => {})
  agent.handle('echo', (x) => x)
  ends()
  const counts: SwarmStats = coordinator.stats()
  const reached: number = await coordinator.publish('topic', counts)
  await agent.drain({ timeoutMs: 1 })
  await agent[Symbol.asyncDispose]()
  await coordinator.close()
  void [value, agentId, deduplicated, state?.progress, reached, coordinator.metrics().length]
  // @ts-expect-error made by start()
  new Coordinator()
  // @ts-expect-error a kind is required
  await coordinator.submit({ payload: 1 })
  // @ts-expect-error no such event
  coordinator.on('joined', () => {})
}

export async function authorities(): Promise<void> {
  const authority: CertificateAuthority = await CertificateAuthority.open('directory', { name: 'desk', validDays: 1, passphrase: new Uint8Array(3) })
  const role: Role = 'peer'
  const grants: Grants = { agentTypes: ['worker'], kinds: [], topics: ['a'], databases: ['b'] }
  const issued: IssuedIdentity = await authority.issue({ id: 'a', role, hosts: ['localhost'], validMs: 1, grants })
  const identity: Identity = issued
  await authority.revoke(issued.serial, 'lost')
  const revoked: RevokedCertificate[] = await authority.revoked()
  const listed: IssuedCertificate[] = await authority.list()
  same<Awaited<ReturnType<typeof authority.revoked>>, { serial: string; id: string; at: number; reason?: string }[]>()
  void [identity.ca, issued.notAfter + 1, authority.certificate, authority.fingerprint, revoked[0]?.reason, listed[0]?.grants.kinds]
  // @ts-expect-error made by open
  new CertificateAuthority()
  // @ts-expect-error there is no such role
  await authority.issue({ id: 'a', role: 'admin' })
  // @ts-expect-error the passphrase is text or bytes
  await CertificateAuthority.open('directory', { passphrase: 5 })
}

export async function keyrings(): Promise<void> {
  const keyring: Keyring = await Keyring.open('ring', { passphrase: new Uint8Array(3), create: false, audit: await Coordinator.start() })
  const keys: KeyringKey[] = keyring.keys()
  same<KeyringKey['state'], 'installed' | 'current' | 'retired'>()
  const id: string = await keyring.generate()
  const exported: Uint8Array = await keyring.export(id, 'secret')
  const installed: string = await keyring.install(exported, new Uint8Array(3))
  const done: void[] = [await keyring.use(id), await keyring.retire(installed), await keyring.remove(keys[0]!.id)]
  const sealed: Uint8Array = keyring.reseal(keyring.seal(new Uint8Array(1), 'context'), 'context')
  const opened: Uint8Array = keyring.open(sealed)
  const values: Float64Array = keyring.openSeries(keyring.sealSeries([1, 2]), 'context')
  const library = await PatternLibrary.load('library', { keyring })
  await library.save('library', { keyring })
  void [await keyring.rotate(), keyring.currentKeyId, keys[0]?.createdAt, done, opened, values]
  // @ts-expect-error made by open
  new Keyring()
  // @ts-expect-error bytes, not text
  keyring.seal('secret')
  // @ts-expect-error no keyring
  await library.save('library', { keyring: {} })
}

export async function everything(): Promise<void> {
  same<number, Awaited<ReturnType<typeof dtw>>>()
  const [a, b] = [series[0]!, series[1]!]
  const distance: number = (await dtw(a, b, options)) + dtwSync(a, b, { window: 1 }) + dtwSync(a, b)
  const { similarity, path, lag }: Alignment = await dtwAlign(a, b, options)
  const distances: Float64Array = await dtwBatch(a, candidates[0]!, { ...options, ...progress })
  const [nearest]: Neighbor[] = await dtwNearest(a, candidates[1]!, { k: 3, window: 2 })
  const places: SubsequenceMatch[] = await subsequenceSearch(a, b, { ...options, ...progress, k: 3, exclusion: 0 })
  const matrices: Matrix[] = [
    await dtwMatrix(series, { ...options, ...progress }), await lagMatrix(series), await correlationMatrix(series, { method: 'pearson' }),
    await lcsMatrix(sequences, { normalize: 'dice', ...progress }),
  ]
  const common: CommonSubsequence = await lcsAlign('a', 'b', lcsOptions)
  const counts: number[] = [
    await lcs(['a'], ['b']), lcsSync('a', 'b'), await lcss(a, b, { epsilon: 1, window: 2 }), await levenshtein([1], new Int32Array(1)),
    await elastic(measure, a, b, elasticOptions), (await elasticBatch('erp', a, series, { gap: 0 }))[0]!,
  ]
  const aligned: Alignment[] = await alignTimeframes(series, { ...options, ...progress })
  const { center, inertia, iterations }: { center: Float64Array; inertia: number; iterations: number } =
    await barycenter(series, { window: 3, maxIterations: 5, tolerance: 1e-3, ...progress })
  const clusters: { medoids: Uint32Array; assignment: Uint32Array; inertia: number } = await medoids(series, 2, { ...options, seed: 7, ...progress })
  void [aligned[0]?.lag, center, inertia, iterations, clusters.assignment]
  const { package: release, kernel, threads } = version()
  const texts: string[] = [release, kernel]
  void [distance, similarity, path.length, lag, distances, nearest?.index, places[0]?.start, matrices[0]?.data, common.positionsA, counts, threads, texts]

  try {
    await dtw(a, b)
  } catch (error) {
    if (error instanceof MidstreamerError) {
      const code: ErrorCode = error.code
      const cause: unknown = error.cause
      void [code, cause, error.message, error.stack, error.taskId?.length, error.remoteError?.message]
      // @ts-expect-error codes are a closed set
      if (error.code === 'NO_SUCH_CODE') throw error
    }
  }

  // @ts-expect-error integers are symbols, not a series
  await dtw(new Int32Array(1), b)
  // @ts-expect-error unknown option
  await dtw(a, b, { windwo: 1 })
  // @ts-expect-error the synchronous form takes no signal
  dtwSync(a, b, { signal: new AbortController().signal })
  // @ts-expect-error unknown metric
  await dtw(a, b, { metric: 'manhattan' })
  // @ts-expect-error epsilon is required
  await lcss(a, b, {})
  // @ts-expect-error unknown measure
  await elastic('dtw', a, b)
  // @ts-expect-error the cost of a barycenter is the squared one
  await barycenter(series, { metric: 'absolute' })
  // @ts-expect-error a block needs a length
  await dtwBatch(a, { data: new Float64Array(4) })
  // @ts-expect-error doubles are no symbols
  await lcs(new Float64Array(1), [1])
}

export function old(): void {
  const compare = new TemporalCompare(10)
  const a = new Float64Array(3)
  const { dtw_distance, lcs_length, edit_distance, similarity_score } = compare.analyze(a, a)
  const numbers: number[] = [
    compare.dtw(a, a), compare.lcs(new Int32Array(1), new Int32Array(1)), compare.edit_distance('a', 'b'), dtw_distance, lcs_length,
    edit_distance, similarity_score, ...dtwDistanceRust(a, a).alignment, dtwDistanceRustOptimized(a, a).similarity,
    ...oldBatch(a, a, 3), ...dtwBatchParallel(a, a, 3), ...dtwBatchAdaptive(a, a, 3),
  ]
  void numbers
  compare.free()
}

export async function neuralTrader(): Promise<void> {
  const source: MarketData = async (symbol: string, days: number) => new Float64Array(days + symbol.length)
  setMarketData(source)
  setMarketData(null)
  const texts: string[] = [
    await correlationAnalysis(['A', 'B'] as const, 90, true), await correlationAnalysis({ A: [1, 2, 3], B: new Float32Array(3) }, null),
    await crossAssetCorrelationMatrix(['A']), await getSwarmStatus('id'), await getSwarmMetrics('id', '24h'), await monitorSwarmHealth('id', 5),
    await scaleSwarm('id', 3, 'gradual', true), await shutdownSwarm('id', 10),
  ]
  same<typeof traderBatch, typeof oldBatch>()
  same<typeof TraderCompare, typeof TemporalCompare>()
  const config: SwarmConfig = { topology: 'mesh', max_agents: 4, strategy: 'adaptive', coordinator: { listen: '127.0.0.1:0' } }
  const agent: SwarmAgentConfig = { agent_type: 'trader', name: 'a', capabilities: ['dtw'] }
  const task: SwarmTask = { task_type: 'dtw', description: 'two series', priority: 'high', strategy: 'parallel', payloads: [1, 2], timeout_ms: 1000 }
  const its: Swarm = traderSwarm
  const ids: string[] = [await its.init(config), await its.spawnAgent(agent), await its.createStarSwarm(), await its.healthCheck()]
  const result: SwarmTaskResult = await its.orchestrateTask(task)
  its.handle('compute', ({ a }: { a: number }, { signal }: TaskContext) => (signal.aborted ? 0 : a))
  const coordinator: Coordinator = its.coordinator()
  const never: never = await executeSwarmStrategy('id', 'momentum')
  // @ts-expect-error no such topology
  await its.init({ topology: 'tree' })
  void [texts, ids, result.value, (await its.listAgents())[0]?.tasksCompleted, (await its.getStatus()).requestedTopology, coordinator, never]
}

export async function learning(learner: import('@neural-trader/midstreamer').PatternLearner, coordinator: Coordinator, agent: Agent): Promise<void> {
  await learner.attach(agent)
  await learner.attach(coordinator)
  const db: import('@neural-trader/midstreamer').DatabaseHandle = { prepare: (sql: string) => sql, exec: (sql: string) => sql }
  const counts: number[] = [await learner.exportTo(db), await learner.importFrom(db)]
  for (const { id, values, meanOutcome, knownAt } of await learner.distill({ minSamples: 30 })) {
    const pattern: Pattern = { id, values, meta: { outcome: meanOutcome, outcomeAt: knownAt, endsAt: knownAt } }
    void pattern
  }
  agent.on('adapt', ({ payload }: { payload: import('@neural-trader/midstreamer').LearningAdaptation }) => void (payload.families[0]?.thresholds.samples ?? payload.results[0]?.quality))
  void counts
}
