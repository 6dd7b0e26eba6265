/**
 * The names under which AgentDB (`QUICServer`, `QUICClient`, `SyncCoordinator`) and agentic-flow (`loadQuicTransport`,
 * `isNative`, `isStub`) look for synchronisation over QUIC, doing what they say. They stand on {@link AgentDbSync} of the main
 * entry, which can do more; use that one in new code.
 *
 * What is different from the originals: peers are authenticated by certificates (there is none without), rows are merged and
 * never replaced by number, deletes and counts are kept, and nothing is reported that did not happen.
 */
import type { DatabaseHandle, Identity, Keyring, MidstreamerError, SyncStatus } from './index.js'

/** Certificate, private key and authority as PEM text. */
export interface TlsConfig { cert: string; key: string; ca: string }

/** How a database is shared; the same on all sides. */
export interface Shared {
  /** Of a `CertificateAuthority`; or `tlsConfig`. Who listens has the role `peer`. */
  identity?: Identity
  tlsConfig?: TlsConfig
  /** Nodes with another token are refused; it never travels. Default: none. */
  authToken?: string
  /** Which database this is. Default 'agentdb'. */
  database?: string
  /** Seals contents end to end; all sides have one with a common key, or none has. */
  keyring?: Keyring
}

export interface QUICServerConfig extends Shared {
  /** Default '0.0.0.0'. */
  host?: string
  /** Default 4433; 0 takes a free one. */
  port?: number
}
export interface SyncRequest { type: 'episodes' | 'skills' | 'edges' | 'full'; since?: number; batchSize?: number }
export interface SyncResponse { success: boolean; data?: any; error?: string; nextCursor?: number; hasMore?: boolean; count?: number }

/** Listens, and replicates its database with whoever connects. */
export class QUICServer {
  constructor(db: DatabaseHandle, config?: QUICServerConfig)
  /** host:port while it listens. */
  readonly address: string | null
  start(): Promise<void>
  stop(): Promise<void>
  /** Rows of the database, as AgentDB's server answers for them. Replication does not need it. */
  processSyncRequest(clientId: string, request: SyncRequest, authToken?: string): Promise<SyncResponse>
  getStatus(): { isRunning: boolean; activeConnections: number; totalRequests: number; config: object; address: string | null }
  getConnections(): SyncStatus['peers']
}

export interface QUICClientConfig extends Shared {
  serverHost: string
  serverPort: number
  /** The database; or give the client to a SyncCoordinator that has one. */
  db?: DatabaseHandle
  /** Of one `connect`, `sync`, `push` or `ping`. Default 30,000. */
  timeoutMs?: number
  /** Taken, and of no effect: one connection carries everything and dials again by itself. */
  poolSize?: number
  maxRetries?: number
  retryDelayMs?: number
}
export interface ClientProgress { phase: 'connecting' | 'syncing' | 'processing' | 'completed' | 'error'; itemsSynced?: number; totalItems?: number; bytesTransferred?: number; error?: string }
export interface SyncResult { success: boolean; data?: any; itemsReceived: number; bytesTransferred: number; durationMs: number; error?: string }
export interface PushResult { success: boolean; itemsPushed: number; bytesTransferred: number; durationMs: number; error?: string; failedItems?: any[] }

/** Connects a database to a QUICServer. */
export class QUICClient {
  constructor(config: QUICClientConfig)
  connect(): Promise<void>
  disconnect(): Promise<void>
  /** Both directions, until both sides have what the other had captured (it looks every few milliseconds); `data` holds the rows of `type` after `since`. Resolves also when it failed. */
  sync(options?: { type?: 'episodes' | 'skills' | 'edges' | 'full'; since?: number; filters?: Record<string, any>; batchSize?: number; onProgress?: (progress: ClientProgress) => void }): Promise<SyncResult>
  /** Everything that has changed travels, whichever rows are named; rows that are not in the database come back as `failedItems`. */
  push(options: { type: 'episodes' | 'skills' | 'edges'; data: any[]; batchSize?: number; onProgress?: (progress: any) => void }): Promise<PushResult>
  /** A round trip to the server, through its database. */
  ping(): Promise<{ success: boolean; latencyMs: number; error?: string }>
  getStatus(): { isConnected: boolean; poolSize: number; activeConnections: number; totalRequests: number; config: object }
}

export interface SyncCoordinatorConfig {
  db: DatabaseHandle
  client?: QUICClient
  server?: QUICServer
  /** One rule under both names: the later write wins, counts are added up. Others would not converge, and are refused. */
  conflictStrategy?: 'latest-wins' | 'merge'
  batchSize?: number
  /** Changes travel as they are made in any case; this keeps state and reports up to date. */
  autoSync?: boolean
  syncIntervalMs?: number
  /** What an automatic sync failed of. */
  onError?: (error: MidstreamerError) => void
}
export interface SyncState { lastSyncAt: number; lastEpisodeSync: number; lastSkillSync: number; lastEdgeSync: number; totalItemsSynced: number; totalBytesSynced: number; syncCount: number; lastError?: string }
export interface SyncProgress { phase: 'detecting' | 'pushing' | 'pulling' | 'completed' | 'error'; current: number; total: number; error?: string }
export interface SyncReport { success: boolean; startTime: number; endTime: number; durationMs: number; itemsPushed: number; itemsPulled: number; conflictsResolved: number; errors: string[]; bytesTransferred: number }

/** Brings a database and a client together, on demand or all the time. */
export class SyncCoordinator {
  constructor(config: SyncCoordinatorConfig)
  sync(onProgress?: (progress: SyncProgress) => void): Promise<SyncReport>
  stopAutoSync(): void
  getSyncState(): SyncState
  getStatus(): { isSyncing: boolean; autoSyncEnabled: boolean; state: SyncState }
}

// ------------------------------------------------------------------------------------------- transport
export interface TransportConfig {
  /** Of a `CertificateAuthority`; or `tls`, the paths of three PEM files. */
  identity?: Identity
  tls?: { certPath: string; keyPath: string; caPath: string }
  /** Default 30,000. */
  requestTimeoutMs?: number
  connectTimeoutMs?: number
  /** Taken, and of no effect. */
  serverName?: string
  maxIdleTimeoutMs?: number
  maxConcurrentStreams?: number
  enable0Rtt?: false
}
export interface AgentMessage { id: string; type: string; payload: unknown; metadata?: Record<string, unknown>; /** messages of different streams do not wait for each other in `receive` */ streamId?: string | number }

/** Messages between two addresses. An address is host:port, or the id in the certificate of a peer that has connected to this side. */
export interface AgentTransport {
  /** Takes connections; port 0 is a free one. Resolves with host:port. */
  listen(port: number, host?: string): Promise<string>
  /** At most 16 MiB. Connects if need be. A message is lost when the connection ends before it has arrived. */
  send(address: string, message: AgentMessage): Promise<void>
  sendBatch(address: string, messages: AgentMessage[]): Promise<void>
  /** The next message that no handler has taken. */
  receive(address: string, streamId?: string | number): Promise<AgentMessage>
  /** Sends, and waits for the next message on the same stream: TIMEOUT after requestTimeoutMs. */
  request(address: string, message: AgentMessage): Promise<AgentMessage>
  onMessage(handler: (address: string, message: AgentMessage) => void | Promise<void>, options?: { streamId?: string | number }): void
  getStats(): Promise<{ active: number; idle: number; created: number; closed: number }>
  close(): Promise<void>
}
export function loadQuicTransport(config?: TransportConfig): Promise<AgentTransport>
/** true */
export function isNative(): boolean
/** false */
export function isStub(): boolean
export function isQuicAvailable(): Promise<boolean>
