'use strict'
// status: what a coordinator does, once or live.

const { readCoordinator, latenciesOf } = require('../coordinator-view.js')
const { EXIT, usage } = require('../exit.js')
const { lifetime } = require('../lifetime.js')
const { option, duration, flag, url } = require('../options.js')
const shared = require('../shared-options.js')
const { view } = require('../status-view.js')

/** The alternate screen, without a cursor: what was on the terminal comes back. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

const command = {
  name: 'status',
  summary: 'show agents, queue and latencies of a coordinator',
  description: 'Asks the coordinator that runs on the data directory, or with --url any coordinator with an `http` address. On a terminal the view is live (q ends it); --once, or a pipe, gives it once, and exits with 3 when the coordinator is not ready. Latencies are quantiles within the buckets of its histograms: of the tasks since the last look where there were any, otherwise of all since its start.',
  options: [
    shared.dataDir,
    option('url', 'url', url, "the coordinator's http address, such as http://10.0.0.1:9464"),
    option('interval', 'duration', duration, 'between two looks', { fallback: duration.read('1s'), shown: '1s' }),
    option('once', undefined, flag, 'once, also on a terminal', { fallback: false, environment: false }),
    option('watch', undefined, flag, 'live, also without a terminal: one JSON line a look with --json', { fallback: false, environment: false }),
  ],
  async run({ settings, sources, out }) {
    const { interval, once, watch } = settings
    if (once && watch) throw usage('--once and --watch exclude each other')
    if (interval < 50) throw usage('--interval must be at least 50ms')
    const target = targetOf(settings, sources)
    const isLive = watch || (!once && !out.json && out.stdout.isTTY === true)
    if (isLive) return await live(target, interval, out)
    const reading = await readCoordinator(target)
    out.result(documentOf(reading), view(reading, undefined, { width: Math.min(out.width, 200), paint: out.paint }))
    return reading.ready ? EXIT.ok : EXIT.negative
  },
}

/** What is said on the command line counts more than a URL in the environment or the file. */
function targetOf({ url, dataDir }, sources) {
  const [saysUrl, saysDirectory] = ['url', 'dataDir'].map((name) => sources.get(name) === 'flag')
  if (saysUrl && saysDirectory) throw usage('--url and --data-dir exclude each other')
  return { url: saysDirectory ? undefined : url, dataDir }
}

/** The metrics are for machines that ask for them. */
function documentOf(reading, before) {
  const { metrics: _, date: __, ...rest } = reading
  return { ...rest, latencies: latenciesOf(reading, before) }
}

async function live(target, intervalMs, out) {
  const life = lifetime()
  const screen = out.json || out.stdout.isTTY !== true ? lineScreen(out) : fullScreen(out)
  let before
  try {
    // The first one tells whether there is anything to watch at all.
    before = await readCoordinator(target, life.signal)
    screen.show(before, undefined)
    while (await pause(intervalMs, life)) {
      try {
        const reading = await readCoordinator(target, life.signal)
        screen.show(reading, before)
        before = reading
      } catch (error) {
        if (life.signal.aborted) break
        screen.trouble(error)
      }
    }
  } catch (error) {
    if (!life.signal.aborted) throw error
  } finally {
    screen.end()
    life.release()
  }
}

/** False when it is to end. */
function pause(ms, { signal }) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false)
    const done = (goesOn) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve(goesOn)
    }
    const stop = () => done(false)
    const timer = setTimeout(() => done(true), ms)
    signal.addEventListener('abort', stop)
  })
}

/** One line, or one view, after the other. */
function lineScreen(out) {
  return {
    show: (reading, before) => out.result(documentOf(reading, before), [...view(reading, before, { width: 100, paint: out.paint }), '']),
    trouble: (error) => out.warn(error.message),
    end() {},
  }
}

/** The whole terminal, drawn anew in one write, so that it does not flicker. */
function fullScreen({ stdout, paint }) {
  const { stdin } = process
  let last
  let problem
  const draw = () => {
    if (last === undefined) return
    const [width, height] = [stdout.columns || 80, stdout.rows || 24]
    const foot = problem === undefined ? paint.dim('q ends') : paint.yellow(`the last look failed: ${problem}`.slice(0, width - 1))
    const lines = view(last.reading, last.before, { width: width - 1, height: height - 2, paint }).slice(0, height - 2)
    while (lines.length < height - 1) lines.push('')
    stdout.write(`\x1b[H${[...lines, foot].map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`)
  }
  // Ctrl-C comes as a key in raw mode.
  const onKey = (keys) => { if (/[qQ\x03]/.test(keys) || keys === '\x1b') process.emit('SIGINT', 'SIGINT') }
  let isEntered = false
  const enter = () => {
    isEntered = true
    stdout.write(ENTER)
    stdout.on('resize', draw)
    if (stdin.isTTY) stdin.setRawMode(true).setEncoding('utf8').on('data', onKey).resume()
  }
  const end = () => {
    if (!isEntered) return
    isEntered = false
    stdout.off('resize', draw)
    if (stdin.isTTY) stdin.off('data', onKey).setRawMode(false).pause()
    stdout.write(LEAVE)
    process.off('exit', end)
  }
  return {
    show(reading, before) {
      if (!isEntered) {
        enter()
        process.on('exit', end)
      }
      last = { reading, before }
      problem = undefined
      draw()
    },
    trouble(error) {
      problem = error.message
      draw()
    },
    end,
  }
}

module.exports = { commands: [command] }
