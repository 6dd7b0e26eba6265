// The same names for import. Documentation: agentdb.d.ts.
import agentdb from './agentdb.js'

export const { QUICServer, QUICClient, SyncCoordinator, loadQuicTransport, isNative, isStub, isQuicAvailable } = agentdb
