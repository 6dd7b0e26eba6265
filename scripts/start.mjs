// `npm start` in a clean clone: installs, builds, and shows the ten days most like today in 20 years of the S&P 500.

import { Stop, Steps, main, run } from './steps.mjs'
import { build } from './build.mjs'
import { install } from './install.mjs'
import { checkToolchain } from './toolchain.mjs'

await main(async () => {
  if (process.argv.length > 2) throw new Stop(`unknown argument ${process.argv[2]}; there are none`)
  checkToolchain()
  const steps = new Steps()
  try {
    await steps.step('Install development dependencies', () => install())
    await steps.step('Build the addon', () => build())
    await steps.step('Run examples/similar-days.mjs', async () => {
      await run(process.execPath, ['examples/similar-days.mjs'])
    })
  } finally {
    steps.report()
  }
})
