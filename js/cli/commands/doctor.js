'use strict'
// doctor: whether this machine can run a swarm, and what to do where it cannot.

const fs = require('node:fs')
const checks = require('../checks.js')
const { isAuthority } = require('../authority.js')
const { EXIT } = require('../exit.js')
const { option, addresses, file, url } = require('../options.js')
const shared = require('../shared-options.js')
const { printable } = require('../terminal.js')

/** Variables that are no options of a command. */
const OTHER_VARIABLES = ['MIDSTREAMER_PASSPHRASE', 'MIDSTREAMER_TOKEN', 'MIDSTREAMER_KERNEL']

const command = {
  name: 'doctor',
  summary: 'look for what may be wrong on this machine',
  description: 'Checks the platform, the addon and its kernel, QUIC over UDP, the coordinator that is named, certificates, and the clock; says what to do about each problem; exits with 3 when a check has failed. Nothing is changed. An identity or an authority that is there is looked at without being named.',
  options: [
    option('address', 'host:port', addresses, 'coordinator to reach over UDP; several separated by commas'),
    option('url', 'url', url, 'http address of a coordinator: readiness, and its clock'),
    shared.identity,
    option('state', 'dir', file, 'where renewed identities are kept', { shown: 'with the identity' }),
    shared.authority,
  ],
  async run({ settings, sources, definitions, out }) {
    const report = []
    for (const check of checksOf(settings, sources, definitions)) {
      const found = await check()
      if (found === undefined) continue
      report.push(found)
      if (!out.json) out.result(undefined, linesOf(found, out.paint))
    }
    const count = (status) => report.filter((one) => one.status === status).length
    const [failures, warnings] = [count('failed'), count('warning')]
    if (out.json) out.result({ ok: failures === 0, checks: report })
    else out.result(undefined, ['', failures + warnings === 0 ? 'nothing is wrong' : `${failures} failed, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`])
    return failures === 0 ? EXIT.ok : EXIT.negative
  },
}

/** What can be looked at here, as functions in the order of the report. */
function checksOf({ address, url: monitoring, identity, state, authority }, sources, definitions) {
  const known = new Set([...OTHER_VARIABLES, ...definitions.flatMap(({ options }) => options.map(({ variable }) => variable))])
  const all = [checks.node, checks.addon, checks.processors, checks.loopback, checks.buffers]
  for (const one of address ?? []) all.push(() => checks.reach(one))
  if (monitoring !== undefined) all.push(() => checks.readiness(monitoring))
  if (sources.has('identity') || fs.existsSync(identity)) all.push(() => checks.identity(identity, state))
  if (sources.has('authority') || isAuthority(authority)) all.push(() => checks.authority(authority))
  all.push(() => checks.clock(monitoring), () => checks.environment(known))
  return all
}

const LABELS = { ok: 'green', warning: 'yellow', failed: 'red' }

function linesOf({ name, status, detail, advice }, paint) {
  const lines = [`${paint[LABELS[status]](status.padEnd(7))}  ${printable(name)}: ${printable(detail)}`]
  return advice === undefined ? lines : [...lines, paint.dim(`         ${printable(advice)}`)]
}

module.exports = { commands: [command] }
