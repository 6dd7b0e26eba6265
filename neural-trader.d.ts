/**
 * neural-trader's names (version 2.8.11) for what this package computes and coordinates: the DTW functions, the correlation
 * matrices, and `swarm`, with the shapes of the original. Change the import, or lay these over the original and keep the rest
 * of it: `Object.assign(require('neural-trader'), require('@neural-trader/midstreamer/neural-trader'))`.
 *
 * Where the original answers with fixed numbers, these compute, or throw a `MidstreamerError` that says what is missing; a
 * figure that nobody has, such as a profit of agents that trade nothing, is null. What the original does and what these do, function by
 * function: docs/neural-trader.md.
 */
import type { Coordinator, CoordinatorOptions, Series, TaskContext } from './index.js'

/** As in `./compat`, all six. */
export { TemporalCompare, dtwDistanceRust, dtwDistanceRustOptimized, dtwBatch, dtwBatchParallel, dtwBatchAdaptive } from './compat.js'

/** Daily closes of one symbol, oldest first, of the same days for all: finite and above 0. `days` is how many are used. */
export type MarketData = (symbol: string, days: number) => Series | Promise<Series>

/** Where the closes of symbols come from in the two correlation functions; null: from nowhere again. An addition of this package. */
export function setMarketData(source: MarketData | null): void

/**
 * Pearson's correlation of daily simple returns over the last `periodDays` closes (default 90; fewer where there are fewer).
 * Resolves to JSON text: `{ correlation_matrix: { A: { A: 1, B: 0.4 }, ... }, gpu_accelerated: false, period_days, observations, symbols, timestamp }`.
 *
 * @param symbols names for `setMarketData`'s source, or an object with the closes of each symbol
 * @param useGpu accepted, and of no effect: it runs on the processor, in microseconds
 * @throws (rejects) MidstreamerError NOT_FOUND (nobody has prices), LENGTH_MISMATCH (too few closes, or not equally many), EMPTY_SERIES, NON_FINITE, INVALID_ARGUMENT
 * @example JSON.parse(await correlationAnalysis({ SPY: closesOfSpy, TLT: closesOfTlt }, 250)).correlation_matrix.SPY.TLT
 */
export function correlationAnalysis(symbols: readonly string[] | Readonly<Record<string, Series>>, periodDays?: number | null, useGpu?: boolean | null): Promise<string>

/**
 * The same matrix. Resolves to JSON text: `{ assets, correlation_matrix, lookback_days, observations, timestamp }`.
 *
 * @throws (rejects) MidstreamerError as `correlationAnalysis`
 */
export function crossAssetCorrelationMatrix(assets: readonly string[] | Readonly<Record<string, Series>>, lookbackDays?: number | null): Promise<string>

/** `swarm.init`. */
export interface SwarmConfig {
  /** All four are one coordinator with its agents, which reach each other through it: `getStatus` says 'star'. */
  topology: 'mesh' | 'hierarchical' | 'ring' | 'star'
  /** Agents that may be in it; one more is OVERLOADED. Default 8. */
  max_agents?: number
  /**
   * Who gets a task. 'balanced' (default): any agent. 'specialized': one with a capability called like the `task_type`.
   * 'adaptive': such a one where there is one, otherwise any.
   */
  strategy?: 'balanced' | 'specialized' | 'adaptive'
  /** Accepted, and of no effect: `PatternLearner` of the main entry is what learns. */
  enable_reasoning?: boolean
  /**
   * An addition: how its coordinator is set up, so that agents of other processes and machines may join (`listen`,
   * `authority`) and tasks survive (`dataDir`). With it the process stays alive until `destroy()`.
   */
  coordinator?: CoordinatorOptions
}

/** `swarm.spawnAgent`. */
export interface SwarmAgentConfig {
  agent_type: string
  name: string
  /** Default none. */
  capabilities?: string[]
}

/** `swarm.orchestrateTask`. */
export interface SwarmTask {
  /** What is to be done: a kind that every agent runs ('dtw', 'dtw.nearest', 'dtw.matrix', 'lcs', 'lcs.matrix', 'library.search'), or one of `swarm.handle`. */
  task_type: string
  description: string
  /** Default 'medium'. */
  priority?: 'low' | 'medium' | 'high' | 'critical'
  /** How many of `payloads` are under way at once: all, one after another, or as many as keep the agents busy (default). */
  strategy?: 'parallel' | 'sequential' | 'adaptive'
  /** An addition: what the handler gets. Default `{ task_type, description }`. */
  payload?: unknown
  /** An addition: many of them, each a task, done by all agents. */
  payloads?: readonly unknown[]
  /** An addition: ms from acceptance to outcome, default 300,000. */
  timeout_ms?: number
}

/** What agents have returned. A task that fails rejects instead: TASK_FAILED, TIMEOUT, NO_AGENT. */
export interface SwarmTaskResult {
  /** Of the first task. */
  taskId: string
  status: 'completed'
  /** `value` as text: a string as it is, everything else as JSON. */
  result: string
  /** What the handler returned; with `payloads` an array of that, in their order. */
  value: unknown
  agentsUsed: string[]
  /** Measured, from the first task's acceptance to the last result. */
  executionTimeMs: number
}

/** neural-trader's `swarm`, on a Coordinator and Agents of this process that talk to each other over QUIC. One at a time. */
export interface Swarm {
  /**
   * Resolves to the swarm's id.
   *
   * @throws (rejects) MidstreamerError INVALID_ARGUMENT (also: there is one already), and as `Coordinator.start`
   */
  init(config: SwarmConfig): Promise<string>
  /** Resolves to the agent's id when it is connected. OVERLOADED above `max_agents`, CLOSED without a swarm. */
  spawnAgent(config: SwarmAgentConfig): Promise<string>
  /** `topology` is what it is, `requestedTopology` what was asked for. */
  getStatus(): Promise<{ swarmId: string; topology: 'star'; agentCount: number; status: 'running'; uptimeSeconds: number; requestedTopology: SwarmConfig['topology'] }>
  /** All that are connected, also those of other processes. */
  listAgents(): Promise<{ agentId: string; agentType: string; name: string; status: 'idle' | 'busy'; tasksCompleted: number }[]>
  /** Does it, and resolves when it is done. NO_AGENT at once where nobody can do it. */
  orchestrateTask(task: SwarmTask): Promise<SwarmTaskResult>
  /** False when it is no agent of this process. What it was doing is given to others. */
  stopAgent(agentId: string): Promise<boolean>
  /** Ends agents and coordinator. */
  destroy(): Promise<boolean>
  /** Makes agents (of type 'worker') or stops some, the idle first, until there are so many; resolves to how many there are. OVERLOADED above `max_agents`. */
  scale(targetAgents: number): Promise<number>
  /** 'healthy': all agents are connected and a small task, which is counted as one, went through. Otherwise 'not_initialized', or 'warning: ' and why. */
  healthCheck(): Promise<string>
  createMeshSwarm(maxAgents?: number): Promise<string>
  createHierarchicalSwarm(maxAgents?: number): Promise<string>
  createStarSwarm(maxAgents?: number): Promise<string>
  /** An addition: says what a `task_type` does, for all agents of this process, now and later. */
  handle(taskType: string, handler: (payload: any, context: TaskContext) => unknown | Promise<unknown>): void
  /** An addition: the coordinator behind it, for everything else. It ends with the swarm. */
  coordinator(): Coordinator
}
/** See {@link Swarm}. By itself it does not keep the process alive; what was asked of it does. */
export const swarm: Swarm

/**
 * The swarm of this process as JSON text, with the original's keys; `pnl` and `trades` are null.
 *
 * @param swarmId what `swarm.init` gave; NOT_FOUND for another, CLOSED without a swarm
 */
export function getSwarmStatus(swarmId: string): Promise<string>
/** Latency, throughput and rates since the swarm began, as JSON text. `timeRange` and `aggregation` are accepted and change nothing: `time_range` says 'since_start'. */
export function getSwarmMetrics(swarmId: string, timeRange?: string | null, metrics?: unknown, aggregation?: string | null): Promise<string>
/** Heartbeats of agents, this process's share of a processor and the machine's use of memory in per cent, as JSON text. `interval` is handed back; nothing is monitored afterwards. */
export function monitorSwarmHealth(swarmId: string, interval?: number | null): Promise<string>
/** `swarm.scale`, as JSON text; it is done when this resolves. The mode is handed back: agents that go give their tasks to others in any case. */
export function scaleSwarm(swarmId: string, targetAgents: number, scaleMode?: string | null, preserveState?: boolean | null): Promise<string>
/** Takes nothing new, waits up to `gracePeriod` seconds (default 60) for what runs, and destroys the swarm. JSON text; `force` says whether tasks were still running. */
export function shutdownSwarm(swarmId: string, gracePeriod?: number | null): Promise<string>
/** Rejects with INVALID_ARGUMENT: this package trades nothing. The message says how to run the strategy as a task. */
export function executeSwarmStrategy(swarmId: string, strategy: string): Promise<never>
