// The simulated swarm for longer: `node scripts/soak-swarm.mjs [seeds] [steps] [first seed]`, by default 100,000 worlds
// of 300 steps from a first seed of the clock. A failure names its seed, which is then enough to repeat it.

import { spawnSync } from 'node:child_process'
import { Stop, isMain, main, root } from './steps.mjs'

const count = (name, text) => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Stop(`${name} is ${text}, not a number from 1`)
  return String(value)
}

/** Runs the simulation with other seeds; the exit status is cargo's. */
function soak([seeds = 100_000, steps = 300, first = Date.now()]) {
  const settings = {
    MIDSTREAMER_SIMULATION_SEEDS: count('seeds', seeds),
    MIDSTREAMER_SIMULATION_STEPS: count('steps', steps),
    MIDSTREAMER_SIMULATION_FIRST: count('first seed', first),
  }
  console.log(Object.entries(settings).map(([name, value]) => `${name}=${value}`).join(' '))
  const test = ['test', '--no-default-features', '--test', 'swarm', 'simulation::every', '--', '--nocapture']
  const { error, status } = spawnSync('cargo', test, { cwd: root, stdio: 'inherit', env: { ...process.env, ...settings } })
  if (error) throw new Stop(`cargo did not start: ${error.message}`)
  if (status !== 0) throw new Stop('the simulation failed; its seed is above')
}

if (isMain(import.meta.url)) main(async () => soak(process.argv.slice(2)))
