'use strict'
// What a command is to do: flags before environment variables before the configuration file before defaults.

const fs = require('node:fs')
const path = require('node:path')
const { show } = require('../errors.js')
const { usage } = require('./exit.js')
const { read } = require('./options.js')

const DEFAULT_FILE = 'midstreamer.config.json'

/** A larger one is no configuration. */
const LARGEST_BYTES = 1 << 20

/** The configuration: what it holds and where it is; undefined when there is none and none was named. */
function loadConfig(named) {
  const file = path.resolve(named ?? DEFAULT_FILE)
  let text
  try {
    if (fs.statSync(file).size > LARGEST_BYTES) throw usage(`${file}: larger than ${LARGEST_BYTES} bytes`)
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT' && named === undefined) return undefined
    if (error.code === 'USAGE') throw error
    throw usage(`the configuration cannot be read: ${error.message}`)
  }
  let values
  try {
    values = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw usage(`${file}: no JSON: ${error.message}`)
  }
  if (!isObject(values)) throw usage(`${file}: must hold an object, holds ${show(values)}`)
  return { file, directory: path.dirname(file), values }
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/**
 * Refuses names that no command knows: a slip must not silently mean the default. At the top there are options, for every
 * command that has them, and sections with the first word of a command.
 */
function checkConfig({ file, values }, commands) {
  const sections = new Map()
  for (const { name, options } of commands) {
    const [section] = name.split(' ')
    const names = options.filter(inFile).map((option) => option.name)
    sections.set(section, new Set([...(sections.get(section) ?? []), ...names]))
  }
  const all = new Set([...sections.values()].flatMap((names) => [...names]))
  const refuse = (place, name, known) => {
    if (!known.has(name)) throw usage(`${file}: ${show(name)} is no option${place}; there are ${[...known].sort().join(', ')}`)
  }
  for (const [name, value] of Object.entries(values)) {
    if (sections.has(name) && isObject(value)) {
      for (const inner of Object.keys(value)) refuse(` of ${name}`, inner, sections.get(name))
    } else if (sections.has(name) && !all.has(name)) {
      throw usage(`${file}: ${name} must be an object with the options of that command, got ${show(value)}`)
    } else {
      refuse('', name, all)
    }
  }
}

/** Where the file is, it cannot say itself. */
function inFile(option) {
  return option.variable !== undefined && option.name !== 'config'
}

/** The value in the file as a text, with where it stands; undefined when it is not there. */
function configured(option, command, config) {
  if (config === undefined || !inFile(option)) return undefined
  const section = command.name.split(' ')[0]
  const own = config.values[section]
  const inSection = isObject(own) && Object.hasOwn(own, option.name)
  if (!inSection && !Object.hasOwn(config.values, option.name)) return undefined
  const value = inSection ? own[option.name] : config.values[option.name]
  // The name of a command that is an option as well is a section when it holds an object.
  if (!inSection && isObject(value)) return undefined
  const where = `${inSection ? `${section}.` : ''}${option.name} in ${config.file}`
  return { text: textOf(option, value, where, config.directory), where, source: 'file' }
}

function textOf(option, value, where, directory) {
  const wrong = () => usage(`${where} must be ${option.kind.wanted}, got ${show(value)}`)
  if (option.kind.flag) {
    if (typeof value !== 'boolean') throw wrong()
    return String(value)
  }
  if (option.kind.list && Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')) return value.join(',')
  if (typeof value !== 'string' && !Number.isFinite(value)) throw wrong()
  // It means the same wherever the command is run.
  return option.kind.path && value !== '' && value !== '-' ? path.resolve(directory, String(value)) : String(value)
}

/** The values of all options of a command, and for those that somebody gave, where: 'flag', 'environment' or 'file'. `flags` holds what the command line says, as texts; true for a flag. */
function resolve(command, flags, environment, config) {
  const values = {}
  const sources = new Map()
  for (const option of command.options) {
    const found = first(option, command, flags, environment, config)
    if (found === undefined) {
      values[option.name] = option.fallback
      continue
    }
    const { value, problem } = read(option, found.text, found.where)
    if (problem !== undefined) throw usage(problem)
    values[option.name] = value
    sources.set(option.name, found.source)
  }
  return { settings: values, sources }
}

function first(option, command, flags, environment, config) {
  const said = flags[option.name]
  if (said !== undefined) return { text: String(said), where: option.long, source: 'flag' }
  const { variable } = option
  // An empty variable is an unset one, as with most programs: `MIDSTREAMER_JSON= midstreamer ...`.
  if (variable !== undefined && environment[variable]) return { text: environment[variable], where: variable, source: 'environment' }
  return configured(option, command, config)
}

module.exports = { DEFAULT_FILE, loadConfig, checkConfig, resolve }
