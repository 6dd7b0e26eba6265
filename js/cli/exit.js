'use strict'
// Exit codes, and the errors that end a command with one. docs/cli.md lists them for scripts.

const { MidstreamerError } = require('../errors.js')

const EXIT = Object.freeze({
  ok: 0,
  /** It was tried and did not work. */
  failed: 1,
  /** The command line, the environment or the configuration file is wrong: nothing was done. */
  usage: 2,
  /** What was looked at is not in order: an audit log that does not hold, a check that failed, a coordinator that is not ready. */
  negative: 3,
  /** Nobody answers. As EX_UNAVAILABLE of sysexits.h: worth another try. */
  unavailable: 69,
  /** Refused for good: to start it again does not mend it. As EX_CONFIG, for RestartPreventExitStatus of systemd. */
  refused: 78,
})

/** Why a command did not do what it was asked. `code` is for `--json`. */
class CommandError extends Error {
  constructor(message, { exit = EXIT.failed, code = 'FAILED' } = {}) {
    super(message)
    this.exit = exit
    this.code = code
  }
}

/** What was asked cannot be asked. */
function usage(message) {
  return new CommandError(message, { exit: EXIT.usage, code: 'USAGE' })
}

function failed(message, code) {
  return new CommandError(message, { code })
}

const REFUSED = new Set(['UNAUTHENTICATED', 'FORBIDDEN', 'SESSION_REPLACED', 'PROTOCOL'])

/** The exit code of whatever was thrown. */
function exitOf(error) {
  if (error instanceof CommandError) return error.exit
  if (!(error instanceof MidstreamerError)) return EXIT.failed
  if (error.code === 'INVALID_ARGUMENT') return EXIT.usage
  if (error.code === 'CONNECTION') return EXIT.unavailable
  return REFUSED.has(error.code) ? EXIT.refused : EXIT.failed
}

module.exports = { EXIT, CommandError, usage, failed, exitOf }
