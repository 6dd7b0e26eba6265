/** An identity as three files in a directory of its own, which is how it gets from the authority to a machine. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILES = { certificate: 'certificate.pem', privateKey: 'private-key.pem', ca: 'ca.pem' }

/** For its owner alone: whoever can read the key is this member of the swarm. */
export function writeIdentity(directory, identity) {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const [part, file] of Object.entries(FILES)) writeFileSync(join(directory, file), identity[part], { mode: 0o600, flag: 'wx' })
  return directory
}

/** @returns {import('@neural-trader/midstreamer').Identity} */
export function readIdentity(directory) {
  return Object.fromEntries(Object.entries(FILES).map(([part, file]) => [part, readFileSync(join(directory, file), 'utf8')]))
}
