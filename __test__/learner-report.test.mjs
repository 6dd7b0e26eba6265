// The report in a real browser: drawn, at the width of a phone, without a request and without an error.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { PatternLearner, PatternLibrary } from '../index.mjs'

const DAY = 86_400_000
const LENGTH = 16
const browser = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome']
  .find((file) => file !== undefined && file !== '' && existsSync(file))
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--enable-logging=stderr']

/** Shows the report as wide as a phone, and says what it finds. */
const harness = (html) => `<!doctype html><meta charset="utf-8"><iframe width="360" height="800"></iframe><pre></pre><script>
const frame = document.querySelector('iframe')
frame.onload = () => {
  const page = frame.contentDocument
  const size = (of) => { const { width, height } = of.getBoundingClientRect(); return Math.min(width, height || width) }
  const found = {
    width: page.documentElement.scrollWidth,
    plots: [...page.querySelectorAll('svg')].map((svg) => ({ label: svg.getAttribute('aria-label'), size: size(svg), drawn: [...svg.querySelectorAll('polyline,circle')].filter((mark) => size(mark) > 0).length })),
    requests: frame.contentWindow.performance.getEntriesByType('resource').map(({ name }) => name),
    scripts: page.scripts.length,
  }
  document.querySelector('pre').textContent = JSON.stringify(found).replaceAll('<', '\\\\u003c')
}
frame.srcdoc = ${JSON.stringify(html).replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--')}
</script>`

test('the report is drawn in a browser, also on a phone', { skip: browser === undefined && 'no Chromium or Chrome was found; CHROMIUM may name one' }, async (t) => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'report-'))
  t.after(() => rm(directory, { recursive: true, force: true, maxRetries: 20 }))
  const library = new PatternLibrary({ length: LENGTH })
  for (let p = 0; p < 6; p++) {
    library.add({ id: `pattern ${p}`, values: Array.from({ length: LENGTH }, (_, i) => Math.sin(i / (2 + p))), meta: { endsAt: p * DAY, outcome: p % 3 ? 0.02 : -0.015, outcomeAt: (p + 1) * DAY } })
  }
  const learner = await PatternLearner.open({ library, policy: 'utility', minSamples: 10, costBps: 5 })
  for (let n = 0; n < 120; n++) {
    const at = (40 + n) * DAY
    const { experienceId, predicted } = await learner.match(Array.from({ length: LENGTH }, (_, i) => Math.sin(i / (2 + n % 6)) + 0.2 * Math.cos(n * i)), { symbol: '<X>', timeframe: '1d', patternType: '<b>&"', at })
    await learner.resolve(experienceId, predicted * (n % 3 ? 1 : -1), at + DAY)
  }
  const file = path.join(directory, 'report.html')
  await learner.report(file)
  await learner.close()
  const shown = path.join(directory, 'shown.html')
  await writeFile(shown, harness(await readFile(file, 'utf8')))
  const { stdout, stderr } = await promisify(execFile)(browser, [...FLAGS, `--user-data-dir=${path.join(directory, 'profile')}`, '--virtual-time-budget=5000', '--dump-dom', pathToFileURL(shown).href], { maxBuffer: 64 << 20 })
  const [, said] = stdout.match(/<pre>(.*?)<\/pre>/s) ?? []
  assert.ok(said, `the browser said nothing: ${stderr.slice(-2000)}`)
  const { width, plots, requests, scripts } = JSON.parse(said.replaceAll('&quot;', '"').replaceAll('&amp;', '&'))
  assert.ok(width <= 360, `it is ${width} wide`)
  assert.ok(plots.length >= 6, `${plots.length} plots`)
  for (const { label, size, drawn } of plots) assert.ok(size > 50 && drawn > 0, `${label}: ${size} px, ${drawn} marks`)
  assert.deepEqual(requests, [])
  assert.equal(scripts, 0)
  assert.doesNotMatch(stderr, /CONSOLE/)
})
