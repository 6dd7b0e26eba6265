// Holds every crate of the dependency tree against deny.toml: its licence and where it comes from. cargo-deny does more
// (advisories, duplicates) and runs in the hosted workflow; this check needs nothing that a build does not need.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, isMain, main, root, run } from './steps.mjs'

/** A list of strings from deny.toml, which is written with one such list a line. */
function listed(policy, name) {
  const list = new RegExp(`^${name} = \\[(.*)\\]$`, 'm').exec(policy)
  if (!list) throw new Stop(`deny.toml: no list ${name} on a line of its own`)
  return [...list[1].matchAll(/"([^"]+)"/g)].map((match) => match[1])
}

/** Whether an SPDX expression can be met by the allowed licences. AND binds tighter than OR; a WITH exception is a name of its own. */
export function satisfied(expression, allowed) {
  const words = expression.replaceAll('/', ' OR ').match(/[()]|[^\s()]+/g) ?? []
  let at = 0
  const either = () => {
    let result = both()
    while (words[at] === 'OR') {
      at++
      // Parsed first, so that the words are used up whatever the left side was.
      result = [both(), result].includes(true)
    }
    return result
  }
  const both = () => {
    let result = one()
    while (words[at] === 'AND') {
      at++
      result = ![one(), result].includes(false)
    }
    return result
  }
  const one = () => {
    if (words[at] === '(') {
      at++
      const result = either()
      at++
      return result
    }
    let name = words[at++]
    if (words[at] === 'WITH') name += ` WITH ${words[(at += 2) - 1]}`
    return allowed.includes(name)
  }
  return words.length > 0 && either() && at === words.length
}

/** Throws a Stop that lists every crate whose licence or source is not in deny.toml. */
export async function checkLicences() {
  const policy = readFileSync(join(root, 'deny.toml'), 'utf8')
  const licences = listed(policy, 'allow')
  const sources = listed(policy, 'allow-registry').map((address) => `registry+${address}`)
  const { packages } = JSON.parse(await run('cargo', ['metadata', '--format-version', '1', '--locked', '--all-features'], { quiet: true }))
  const problems = []
  for (const { name, version, license, source } of packages) {
    if (!license || !satisfied(license, licences)) problems.push(`${name} ${version}: licence ${license ?? 'not stated'}`)
    if (source !== null && !sources.includes(source)) problems.push(`${name} ${version}: comes from ${source}`)
  }
  if (problems.length > 0) throw new Stop(`not allowed by deny.toml:\n  ${problems.join('\n  ')}`)
  return `${packages.length} crates`
}

if (isMain(import.meta.url)) await main(async () => console.log(await checkLicences()))
