'use strict'
// The handlers of an agent, out of a module of the user's.

const fs = require('node:fs')
const { pathToFileURL } = require('node:url')
const { failed, usage } = require('./exit.js')
const { show } = require('../errors.js')

/**
 * What the module exports: by default an object of functions by kind, or a function that returns one, also as a promise; without a
 * default export every export that is a function, under its name.
 */
async function loadHandlers(file) {
  if (!fs.existsSync(file)) throw usage(`--handlers: there is no file ${file}`)
  let module
  try {
    module = await import(pathToFileURL(file).href)
  } catch (error) {
    // The stack says where in the user's file it is.
    throw failed(`${file} cannot be loaded: ${error?.stack ?? error}`, 'HANDLERS')
  }
  const handlers = 'default' in module ? await fromDefault(module.default, file) : functionsOf(module)
  if (Object.keys(handlers).length === 0) throw usage(`${file} exports no handlers: export default { 'a.kind': (payload, context) => result }`)
  return handlers
}

async function fromDefault(exported, file) {
  let handlers = exported
  if (typeof exported === 'function') {
    try {
      handlers = await exported()
    } catch (error) {
      throw failed(`the default export of ${file} threw: ${error?.stack ?? error}`, 'HANDLERS')
    }
  }
  if (handlers === null || typeof handlers !== 'object' || Array.isArray(handlers)) {
    throw usage(`${file}: the default export must be an object of functions by kind, or a function that returns one; got ${show(handlers)}`)
  }
  for (const [kind, handler] of Object.entries(handlers)) {
    if (typeof handler !== 'function') throw usage(`${file}: the handler of ${show(kind)} must be a function, got ${show(handler)}`)
  }
  return { ...handlers }
}

const functionsOf = (module) => Object.fromEntries(Object.entries(module).filter(([, value]) => typeof value === 'function'))

module.exports = { loadHandlers }
