/**
 * An identity on disk: three files in a directory of its own, which is how it gets from the authority to a machine, and one
 * file that holds what it was renewed to.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FILES = { certificate: 'certificate.pem', privateKey: 'private-key.pem', ca: 'ca.pem' }
const RENEWED = 'identity.json'

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

/** What it was renewed to, if it was. */
export function readRenewed(directory) {
  const file = join(directory, RENEWED)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

/** In one file, so that certificate and key change together, and on the disk before anybody counts on it. */
export function writeRenewed(directory, identity) {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const part = join(directory, `${RENEWED}.part`)
  const file = openSync(part, 'w', 0o600)
  try {
    writeFileSync(file, JSON.stringify(identity))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(part, join(directory, RENEWED))
}
