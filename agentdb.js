'use strict'
// The names under which AgentDB and its relatives look for a QUIC sync, doing what they say. Documentation: agentdb.d.ts.

const { QUICServer } = require('./js/agentdb/dropin/server.js')
const { QUICClient } = require('./js/agentdb/dropin/client.js')
const { SyncCoordinator } = require('./js/agentdb/dropin/coordinator.js')
const { loadQuicTransport, isNative, isStub, isQuicAvailable } = require('./js/agentdb/dropin/transport.js')

module.exports = { QUICServer, QUICClient, SyncCoordinator, loadQuicTransport, isNative, isStub, isQuicAvailable }
