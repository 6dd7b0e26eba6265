'use strict'
// ca init, issue, revoke, list: the certificate authority of a swarm.

const fs = require('node:fs')
const path = require('node:path')
const api = require('../api.js')
const { failed, usage } = require('../exit.js')
const { isAuthority, openAuthority } = require('../authority.js')
const { writePems } = require('../files.js')
const { option, choice, duration, file, flag, integer, list, string } = require('../options.js')
const { givenPassphrase, newPassphrase } = require('../secrets.js')
const shared = require('../shared-options.js')
const { age, printable, table } = require('../terminal.js')

const GRANTS = [
  option('agentTypes', 'types', list, 'types that it may register as, separated by commas; default: any'),
  option('kinds', 'kinds', list, 'kinds of task that it may be given; default: any'),
  option('topics', 'topics', list, 'topics that it may publish and subscribe to; default: any'),
  option('databases', 'databases', list, 'databases that it may replicate; default: any'),
]

/** What was said of grants; undefined when nothing was, which allows everything. */
function grantsOf({ agentTypes, kinds, topics, databases }) {
  const said = Object.entries({ agentTypes, kinds, topics, databases }).filter(([, names]) => names !== undefined)
  return said.length === 0 ? undefined : Object.fromEntries(said)
}

const init = {
  name: 'ca init',
  summary: 'make a certificate authority',
  description: 'Makes the authority that issues the identities of a swarm, in a directory for its owner alone. What is there already is never overwritten. Back the directory up: without it no identity can be added.',
  options: [
    shared.authority,
    option('name', 'name', string, 'name of the swarm', { fallback: 'swarm', shown: 'swarm' }),
    option('validDays', 'days', integer(1, 36_500), 'how long the authority is good for', { fallback: 3650, shown: '3650' }),
    option('encrypt', undefined, flag, 'encrypt its key with a passphrase, asked for when none is given', { fallback: false }),
    shared.passphraseFile,
  ],
  async run({ settings, out }) {
    const { authority: directory, name, validDays } = settings
    const given = givenPassphrase(settings)
    const made = claim(directory)
    try {
      const passphrase = given ?? (settings.encrypt ? await newPassphrase() : undefined)
      const authority = await api.CertificateAuthority.open(directory, { name, validDays, passphrase })
      const document = { directory, name, fingerprint: authority.fingerprint, encrypted: passphrase !== undefined }
      out.result(document, [`made the authority of the swarm ${name} in ${directory}`, `fingerprint ${authority.fingerprint}`])
      if (passphrase === undefined) out.note('its key is not encrypted: --encrypt, or MIDSTREAMER_PASSPHRASE, would do that')
    } catch (error) {
      if (made && !isAuthority(directory)) fs.rmSync(directory, { recursive: true, force: true })
      throw error
    }
  },
}

/** Makes the directory; true when it was not there. One that holds anything is somebody's. */
function claim(directory) {
  try {
    fs.mkdirSync(path.dirname(directory), { recursive: true })
    fs.mkdirSync(directory, { mode: 0o700 })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw failed(`${directory} cannot be made: ${error.message}`, 'STORE')
  }
  if (isAuthority(directory)) throw failed(`there is an authority in ${directory} already, and it is not overwritten`, 'EXISTS')
  let held
  try {
    held = fs.readdirSync(directory)
  } catch (error) {
    throw failed(`${directory} cannot be read: ${error.message}`, 'STORE')
  }
  if (held.length > 0) throw failed(`${directory} is not empty: an authority needs a directory of its own`, 'EXISTS')
  return false
}

const issue = {
  name: 'ca issue',
  summary: 'issue an identity',
  description: 'Makes a key and a certificate for it, as three PEM files (mode 0600) in a directory: certificate.pem, private-key.pem, ca.pem. For machines that make their keys themselves there is `token create`.',
  arguments: [['<id>', 'who it is: 1 to 128 characters of A-Z, a-z, 0-9, ".", "-" and "_"']],
  options: [
    shared.authority,
    option('role', 'role', choice('agent', 'coordinator', 'peer'), 'agent, coordinator or peer', { fallback: 'agent', shown: 'agent' }),
    option('out', 'dir', file, 'directory for the files', { shown: './<id>' }),
    option('validFor', 'duration', duration, 'how long it is good for', { fallback: duration.read('90d'), shown: '90d' }),
    option('hosts', 'names', list, 'DNS names and addresses to put in as well, separated by commas'),
    ...GRANTS,
    shared.passphraseFile,
  ],
  async run({ settings, args: [id], out }) {
    const { role, validFor, hosts } = settings
    if (validFor === 0) throw usage('--valid-for must be longer than 0')
    const authority = await openAuthority(settings)
    const directory = settings.out ?? path.resolve(id)
    if (fs.existsSync(path.join(directory, 'private-key.pem'))) throw failed(`${directory} holds an identity already, and it is not overwritten`, 'EXISTS')
    const identity = await authority.issue({ id, role, validMs: validFor, hosts, grants: grantsOf(settings) })
    const files = writePems(directory, identity)
    const { serial, notAfter } = identity
    out.result({ id, role, serial, notAfter, directory, files }, [
      `issued ${id} (${role}), serial ${serial}, until ${new Date(notAfter).toISOString()}`,
      `in ${directory}: carry it to its machine over a channel that you trust, and delete it here`,
    ])
  },
}

const revoke = {
  name: 'ca revoke',
  summary: 'take certificates back',
  description: 'Takes back one certificate by its serial number, or all of a member by its id. Coordinators that have the authority open drop the member within a second.',
  arguments: [['<id-or-serial>', 'of what was issued']],
  options: [shared.authority, option('reason', 'text', string, 'why; it is kept in the register and the audit log'), shared.passphraseFile],
  async run({ settings, args: [target], out }) {
    const authority = await openAuthority(settings)
    await authority.revoke(target, settings.reason)
    const revoked = (await authority.revoked()).filter(({ id, serial }) => id === target || serial === target)
    out.result({ revoked }, revoked.map(({ id, serial }) => `revoked ${id}, serial ${serial}`))
  },
}

const LIST_COLUMNS = [
  { title: 'id', most: 40 }, { title: 'role', priority: 2 }, { title: 'state' }, { title: 'ends', priority: 1 }, { title: 'grants', priority: 4, most: 40 }, { title: 'serial', priority: 3 },
]

function stateOf({ revoked, notAfter }) {
  return revoked ? 'revoked' : notAfter <= Date.now() ? 'ended' : 'valid'
}

const listing = {
  name: 'ca list',
  summary: 'list what was issued',
  options: [shared.authority, option('all', undefined, flag, 'also what has ended or was revoked', { fallback: false, environment: false }), shared.passphraseFile],
  async run({ settings, out }) {
    const authority = await openAuthority(settings)
    const reasons = new Map((await authority.revoked()).map(({ serial, at, reason }) => [serial, { revokedAt: at, reason }]))
    const certificates = (await authority.list())
      .map((certificate) => ({ ...certificate, state: stateOf(certificate), ...reasons.get(certificate.serial) }))
      .filter(({ state }) => settings.all || state === 'valid')
    const rows = certificates.map(({ id, role, state, notAfter, grants, serial }) => {
      const left = notAfter - Date.now()
      const allowed = Object.entries(grants).map(([list, names]) => `${list}: ${names.join(' ') || 'none'}`).join('; ')
      const { green, red, dim } = out.paint
      const shown = { valid: green, revoked: red, ended: dim }[state](state)
      return [id, role, shown, left > 0 ? `in ${age(left)}` : `${age(-left)} ago`, printable(allowed || 'any'), serial]
    })
    const none = settings.all ? 'nothing was issued' : 'no certificate is valid; --all shows the others'
    out.result({ fingerprint: authority.fingerprint, certificates }, rows.length === 0 ? [none] : table(LIST_COLUMNS, rows, { width: out.width, paint: out.paint }))
  },
}

module.exports = { commands: [init, issue, revoke, listing], GRANTS, grantsOf }
