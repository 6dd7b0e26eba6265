// A process with a database of its own handle, which runs what it is told: lines { sql } in, one line out for each.
// argv: { file, driver }, as JSON.

import { createInterface } from 'node:readline'
import { drivers } from '../agentdb.mjs'

const { file, driver } = JSON.parse(process.argv[2])
const db = await drivers[driver](file)
db.exec('PRAGMA busy_timeout = 60000')
createInterface({ input: process.stdin })
  .on('line', (line) => {
    db.exec(JSON.parse(line).sql)
    process.stdout.write('done\n')
  })
  .on('close', () => process.exit(0))
