export * from './compat.js'
