export * from './agentdb.js'
