'use strict'
// audit verify, audit anchor: whether the log is what was written, and what to keep elsewhere so that it can be known.

const fs = require('node:fs')
const api = require('../api.js')
const { askControl } = require('../control.js')
const { EXIT, failed, usage } = require('../exit.js')
const { option, file, string } = require('../options.js')
const shared = require('../shared-options.js')

const verify = {
  name: 'audit verify',
  summary: 'verify an audit log',
  description: 'Walks the audit log of a coordinator: hashes, order, and with a public key the signatures. Exits with 3 when it does not hold. Key and anchor are of worth only when they were kept on another machine (`audit anchor`).',
  arguments: [['[path]', 'its directory, the data directory around it, or one segment']],
  options: [
    shared.dataDir,
    option('publicKey', 'path', file, 'PEM file with the public key of the log'),
    option('anchor', 'path', file, 'file of `audit anchor --json`: an entry that has to be there, and the key'),
    option('entry', 'seq:hash', string, 'an anchor itself: number and hash of an entry', { environment: false }),
  ],
  async run({ settings, args: [target = settings.dataDir], out }) {
    const { publicKey, anchor } = known(settings)
    const found = await api.verifyAuditLog(target, { publicKey, anchor })
    const { ok, entries, brokenAt, truncated, unsignedTail } = found
    const { green, red } = out.paint
    const lines = [`${ok ? green('holds') : red('does not hold')}: ${entries} entries${publicKey === undefined ? ', signatures not verified' : ''}`]
    if (brokenAt !== undefined) lines.push(`entry ${brokenAt} was changed, removed, put in or moved: nothing from there on can be believed`)
    if (truncated) lines.push('the log was cut off: it ends before its newest checkpoint or the anchor')
    if (ok && unsignedTail > 0) lines.push(`${unsignedTail} entries at the end are chained and not signed yet`)
    out.result({ path: target, signatures: publicKey !== undefined, anchored: anchor !== undefined, ...found }, lines)
    if (publicKey === undefined) out.note('without --public-key or --anchor whoever can write the files can make a log that holds')
    return ok ? EXIT.ok : EXIT.negative
  },
}

/** Key and anchor, wherever they come from; what is said by itself counts more. */
function known({ publicKey: keyFile, anchor: anchorFile, entry }) {
  const kept = anchorFile === undefined ? {} : parse(contents(anchorFile), anchorFile)
  const publicKey = keyFile === undefined ? kept.publicKey : contents(keyFile)
  if (entry === undefined) return { publicKey, anchor: kept.anchor }
  const parts = /^(\d{1,16}):([0-9a-f]{64})$/.exec(entry)
  if (parts === null) throw usage(`--entry must be a number, a colon, and 64 lower-case hexadecimal digits, got ${JSON.stringify(entry)}`)
  return { publicKey, anchor: { seq: Number(parts[1]), head: parts[2] } }
}

function contents(name) {
  try {
    return fs.readFileSync(name, 'utf8')
  } catch (error) {
    throw usage(`${name} cannot be read: ${error.message}`)
  }
}

function parse(text, name) {
  let kept
  try {
    kept = JSON.parse(text)
  } catch {
    throw usage(`${name} is no JSON: it has to be what \`midstreamer audit anchor --json\` printed`)
  }
  if (typeof kept?.publicKey !== 'string' || typeof kept.anchor !== 'object') throw usage(`${name} holds no publicKey and anchor: it has to be what \`midstreamer audit anchor --json\` printed`)
  return kept
}

const anchor = {
  name: 'audit anchor',
  summary: 'print key and last entry of a running log',
  description: 'Asks the coordinator that runs on the data directory for the public key of its audit log and its last durable entry. Keep both on another machine: they show later that nothing was changed or cut off.',
  options: [shared.dataDir],
  async run({ settings, out }) {
    const log = await askControl(settings.dataDir, 'GET /audit')
    if (log === null) throw failed('the coordinator keeps no audit log', 'NOT_FOUND')
    const { path, publicKey, anchor: { seq, head } } = log
    out.result(log, [`${seq}:${head}`, publicKey.trimEnd(), `of ${path}`])
  },
}

module.exports = { commands: [verify, anchor] }
