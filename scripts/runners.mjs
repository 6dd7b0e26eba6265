// What the test runners print at their end, read back into numbers.

const sum = (output, pattern) => [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)

/** `cargo test`, a `test result` line per binary, or `cargo nextest`, one `Summary` line. */
export const rustCounts = (output) => ({
  passed: sum(output, /^test result: .*?(\d+) passed/gm) + sum(output, /^ *Summary .*?(\d+) passed/gm),
  failed:
    sum(output, /^test result: .*?(\d+) failed/gm) +
    sum(output, /^ *Summary .*?(\d+) failed/gm) +
    sum(output, /^ *Summary .*?(\d+) timed out/gm),
})

/** Node's runner with the spec reporter. */
export const nodeCounts = (output) => ({
  passed: sum(output, /^\u2139 pass (\d+)$/gm),
  failed: sum(output, /^\u2139 fail (\d+)$/gm) + sum(output, /^\u2139 cancelled (\d+)$/gm),
})
