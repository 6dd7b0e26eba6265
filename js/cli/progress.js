'use strict'
// A bar for work that takes long, on stderr, and only where somebody looks at it.

const BAR = 24

/** Often enough to be smooth, seldom enough to cost nothing. */
const EVERY_MS = 80

/** Shorter work ends before anybody could read it. */
const QUIET_MS = 300

/** `{ update(done, total), end() }`; without a terminal both do nothing. */
function progress(label, { stream = process.stderr, now = () => performance.now() } = {}) {
  if (stream.isTTY !== true || process.env.TERM === 'dumb') return { update() {}, end() {} }
  const started = now()
  let last = started + QUIET_MS - EVERY_MS
  let drawn = false
  return {
    update(done, total) {
      const at = now()
      if (at - last < EVERY_MS || total <= 0) return
      last = at
      drawn = true
      const share = Math.min(1, done / total)
      const left = done > 0 ? ((at - started) / done) * (total - done) / 1000 : NaN
      const full = Math.round(share * BAR)
      const line = `${label} [${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${String(Math.floor(share * 100)).padStart(3)} %${left >= 1 ? `  ${Math.ceil(left)} s left` : ''}`
      stream.write(`\r\x1b[K${line.slice(0, Math.max(10, (stream.columns || 80) - 1))}`)
    },
    end() {
      if (drawn) stream.write('\r\x1b[K')
      drawn = false
    },
  }
}

module.exports = { progress }
