/**
 * How far one distance raises the resident memory of a process, run as a child of its own:
 *
 *   node benches/js/memory.mjs     prints { "length", "inputBytes", "grownBytes", "how" } as JSON
 *
 * Linux keeps the peak and lets a process set it back, which is exact; elsewhere the peak of the whole
 * life of the process is compared, which can only be seen when it rises.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dtwSync } from '@neural-trader/midstreamer'
import { randomWalk, seededRandom } from './random.mjs'

const LENGTH = 10_000

const peakOfLinux = () => 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const onLinux = process.platform === 'linux'
const peak = () => (onLinux ? peakOfLinux() : process.resourceUsage().maxRSS * 1024)

const random = seededRandom(7)
const [a, b] = [randomWalk(LENGTH, random), randomWalk(LENGTH, random)]
dtwSync(a.subarray(0, 64), b.subarray(0, 64)) // the code itself is loaded before memory is looked at
peak()
if (onLinux) writeFileSync('/proc/self/clear_refs', '5')
const before = peak()
const distance = dtwSync(a, b)
const grownBytes = Math.max(0, peak() - before)
console.log(
  JSON.stringify({
    length: LENGTH,
    distance,
    inputBytes: a.byteLength + b.byteLength,
    grownBytes,
    how: onLinux ? 'peak of resident memory, set back before the call' : 'peak of resident memory since the start',
  }),
)
