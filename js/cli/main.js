'use strict'
// The command `midstreamer`: which commands there are, how their options are read, and how they end.

const { Command, CommanderError, Option } = require('commander')
const { version } = require('../../package.json')
const { MidstreamerError } = require('../errors.js')
const { EXIT, CommandError, exitOf } = require('./exit.js')
const { Output } = require('./output.js')
const { checkConfig, loadConfig, resolve } = require('./settings.js')
const shared = require('./shared-options.js')

const GROUPS = { ca: 'the certificate authority of a swarm', token: 'join tokens', audit: 'the audit log' }

/** Every command, with the options that all have. The addon is loaded only when a command needs it. */
function load() {
  const modules = [
    require('./commands/coordinator.js'), require('./commands/agent.js'), require('./commands/submit.js'), require('./commands/status.js'),
    require('./commands/ca.js'), require('./commands/token.js'), require('./commands/search.js'), require('./commands/bench.js'),
    require('./commands/audit.js'), require('./commands/doctor.js'),
  ]
  return modules.flatMap(({ commands }) => commands).map((command) => ({ ...command, options: [...command.options, shared.config, shared.json] }))
}

const describe = ({ description, shown }) => (shown === undefined ? description : `${description} (default: ${shown})`)

function define(parent, word, definition, onRun) {
  const command = parent.command(word).summary(definition.summary).description(definition.description ?? `${definition.summary[0].toUpperCase()}${definition.summary.slice(1)}.`)
  for (const [name, description] of definition.arguments ?? []) command.argument(name, description)
  for (const option of definition.options) {
    const flags = `${option.short ? `-${option.short}, ` : ''}${option.long}${option.value === undefined ? '' : ` <${option.value}>`}`
    command.addOption(new Option(flags, describe(option)))
  }
  command.action((...all) => onRun(definition, all.slice(0, -2), command.opts()))
}

/** The parser. `onRun(definition, args, flags)` is called for the command that was asked for. */
function parser(definitions, onRun) {
  const program = new Command('midstreamer')
    .description('Swarms, certificates and pattern search of @neural-trader/midstreamer.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .exitOverride()
    // What is wrong is told in one place, as text or as JSON.
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', '\nOptions can be environment variables (--data-dir: MIDSTREAMER_DATA_DIR) or stand in midstreamer.config.json (dataDir).\nExit codes, secrets and examples: docs/cli.md.')
  const groups = new Map()
  for (const definition of definitions) {
    const [first, second] = definition.name.split(' ')
    if (second === undefined) {
      define(program, first, definition, onRun)
      continue
    }
    if (!groups.has(first)) groups.set(first, program.command(first).description(GROUPS[first]).helpCommand(false))
    define(groups.get(first), second, definition, onRun)
  }
  return program
}

/** Whether JSON was asked for, as far as that can be known of a command line that is wrong. */
const wantsJson = (argv) => argv.includes('--json') || /^(1|true|yes|on)$/.test(process.env.MIDSTREAMER_JSON ?? '')

/** Runs a command line; the exit code. */
async function run(argv) {
  let out = new Output({ json: wantsJson(argv) })
  try {
    const definitions = load()
    let chosen
    const program = parser(definitions, (definition, args, flags) => { chosen = { definition, args, flags } })
    program.parse(argv, { from: 'user' })
    const { definition, args, flags } = chosen
    const config = loadConfig(flags.config ?? (process.env.MIDSTREAMER_CONFIG || undefined))
    if (config !== undefined) checkConfig(config, definitions)
    const { settings, sources } = resolve(definition, flags, process.env, config)
    out = new Output({ json: settings.json })
    return (await definition.run({ settings, sources, args, out, config, definitions })) ?? EXIT.ok
  } catch (error) {
    return fail(error, out)
  }
}

function fail(error, out) {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok
    // Without a command the help was printed already.
    if (error.code !== 'commander.help') out.error(error.message.replace(/^error: /, ''), { code: 'USAGE', exit: EXIT.usage })
    return EXIT.usage
  }
  const exit = exitOf(error)
  const isOurs = error instanceof CommandError || error instanceof MidstreamerError
  // Anything else is a defect: whoever reports it needs the stack.
  out.error(isOurs ? error.message : `internal error: ${error?.stack ?? error}`, { code: isOurs ? error.code : 'INTERNAL', exit })
  return exit
}

async function main(argv) {
  // Whoever reads only the first lines has what he wanted: `midstreamer search ... | head`.
  process.stdout.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok)
    throw error
  })
  process.exitCode = await run(argv)
}

module.exports = { main, load, parser }
