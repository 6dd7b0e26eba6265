export * from './neural-trader.js'
