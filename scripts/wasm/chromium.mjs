// A browser without a window: the one that is installed, or Debian's, unpacked below a folder and installed nowhere.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromDebian, noDebian } from '../debian.mjs'
import { Stop } from '../steps.mjs'
import { firstLine } from '../toolchain.mjs'

/** Names of those that take `--headless`. */
const INSTALLED = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome', 'chrome']

const installed = () => (process.env.CHROME ? [process.env.CHROME] : INSTALLED).find((command) => firstLine(command, ['--version']) !== null)

/** Why there is no browser and none can be fetched, or null. */
export function noChromium() {
  if (installed() !== undefined) return null
  const reason = noDebian()
  return reason === null ? null : `no Chromium was found; CHROME may name one (${reason})`
}

/** Its command; what has to be fetched goes below `folder`. */
export async function chromium(folder) {
  const reason = noChromium()
  if (reason !== null) throw new Stop(reason)
  return installed() ?? (await fromDebian(['chromium-headless-shell'], join('usr', 'lib', 'chromium', 'chromium-headless-shell'), folder))
}

/**
 * Opens `url`, and ends the browser once `done` has settled. Returns what `done` resolved to; rejects when the browser ends before, or
 * when nothing came for `patience` ms.
 */
export async function visit(command, url, done, patience) {
  const profile = mkdtempSync(join(tmpdir(), 'midstreamer-browser-'))
  // A sandbox takes rights that a container may lack, and what is opened is ours. No proxy of the environment: the page is on this machine.
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-proxy-server', '--disable-dev-shm-usage', `--user-data-dir=${profile}`, url]
  const browser = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: process.platform !== 'win32' })
  const said = []
  browser.stderr.on('data', (chunk) => said.push(chunk))
  const ended = new Promise((resolve) => browser.on('error', resolve).on('close', (code, signal) => resolve(signal ?? code)))
  let timer
  const trouble = (what) => new Stop(`the browser ${what}, and said:\n${Buffer.concat(said)}`)
  try {
    return await Promise.race([
      done,
      ended.then((how) => { throw trouble(`ended with ${how}`) }),
      new Promise((_, reject) => { timer = setTimeout(() => reject(trouble(`gave no answer for ${patience / 1000} s`)), patience) }),
    ])
  } finally {
    clearTimeout(timer)
    if (browser.exitCode === null && browser.pid !== undefined) {
      if (process.platform === 'win32') browser.kill()
      else process.kill(-browser.pid, 'SIGKILL')
    }
    await ended
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
