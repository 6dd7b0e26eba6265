'use strict'
// token create and enroll: how a machine joins.

const fs = require('node:fs')
const api = require('../api.js')
const { X509Certificate } = require('node:crypto')
const { askControl } = require('../control.js')
const { failed, usage } = require('../exit.js')
const { identityText, reserve, writeNew } = require('../files.js')
const { option, address, duration, file, fileOrStdin, integer, string } = require('../options.js')
const { givenToken } = require('../secrets.js')
const shared = require('../shared-options.js')
const { GRANTS, grantsOf } = require('./ca.js')

const create = {
  name: 'token create',
  summary: 'make a join token',
  description: 'Asks the coordinator that runs on the data directory for a join token, which a new machine exchanges for an identity (`enroll`). A token is a password until it is used: without --out it is printed, so pipe it to where it is needed.',
  options: [
    shared.dataDir,
    option('ttl', 'duration', duration, 'how long it is good for', { fallback: duration.read('1h'), shown: '1h' }),
    option('uses', 'n', integer(1, 100_000), 'for how many identities', { fallback: 1, shown: '1' }),
    option('out', 'path', file, 'new file for the token, mode 0600'),
    ...GRANTS,
  ],
  async run({ settings, out }) {
    const { dataDir, ttl, uses, out: target } = settings
    if (ttl === 0) throw usage('--ttl must be longer than 0')
    if (target !== undefined && fs.existsSync(target)) throw failed(`${target} is there already, and is not overwritten`, 'EXISTS')
    const made = await askControl(dataDir, 'POST /tokens', { ttlMs: ttl, uses, grants: grantsOf(settings) })
    const { token, ...rest } = made
    if (target === undefined) return out.result({ token, uses, ...rest }, [token])
    writeNew(target, `${token}\n`)
    out.result({ file: target, uses, ...rest }, [`${target}: for ${uses === 1 ? 'one machine' : `${uses} machines`}, until ${new Date(made.expiresAt).toISOString()}`])
  },
}

const enroll = {
  name: 'enroll',
  summary: 'exchange a join token for an identity',
  description: 'Makes a key on this machine, has a coordinator sign it for a join token, and writes the identity to a new file, mode 0600. The key stays here. The token comes from a file, the standard input or MIDSTREAMER_TOKEN.',
  options: [
    option('id', 'id', string, 'who this machine is to be (required)'),
    option('tokenFile', 'path', fileOrStdin, 'file with the token, - for the standard input'),
    option('address', 'host:port', address, 'where the coordinator enrols', { shown: 'the one in the token' }),
    shared.identity,
  ],
  async run({ settings, out }) {
    const { id, identity: target } = settings
    if (id === undefined) throw usage('--id is required: who this machine is to be')
    const token = givenToken(settings)
    // A use of the token is gone once it was signed: first the place to keep what comes.
    const place = reserve(target)
    let identity
    try {
      identity = await api.Agent.enroll({ address: settings.address, token, agentId: id })
    } catch (error) {
      place.release()
      throw error
    }
    place.write(identityText(identity))
    const notAfter = Date.parse(new X509Certificate(identity.certificate).validTo)
    out.result({ id, identity: target, notAfter }, [`${id}: identity in ${target}, until ${new Date(notAfter).toISOString()}; an agent that is connected renews it by itself`])
  },
}

module.exports = { commands: [create, enroll] }
