// Holds every crate of the dependency tree, for all platforms, against deny.toml: its licence, where it comes from, whether
// it is banned, whether there are two versions of it, and whether we ask for a version at all. That is what `cargo deny check
// licenses bans sources` looks at; compiling cargo-deny takes longer than everything else here, and this needs nothing that a
// build does not need. Advisories, which need the network, are for cargo-deny in the hosted workflow.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Stop, isMain, main, root, run } from './steps.mjs'

/** A list of strings from deny.toml, which is written with one such list a line. */
function listed(policy, name) {
  const list = new RegExp(`^${name} = \\[(.*)\\]$`, 'm').exec(policy)
  if (!list) throw new Stop(`deny.toml: no list ${name} on a line of its own`)
  return [...list[1].matchAll(/"([^"]+)"/g)].map((match) => match[1])
}

/** The names in a list of tables, `{ name = "..." }`, that may take several lines. */
function named(policy, key) {
  const list = new RegExp(`^${key} = \\[([^\\]]*)\\]`, 'm').exec(policy)
  if (!list) throw new Stop(`deny.toml: no list ${key}`)
  return [...list[1].matchAll(/name = "([^"]+)"/g)].map((match) => match[1])
}

/** What is wrong with a dependency tree, as cargo tells it, under a policy. */
export function problemsOf(policy, packages) {
  for (const line of ['multiple-versions = "deny"', 'wildcards = "deny"', 'unknown-registry = "deny"', 'unknown-git = "deny"'])
    if (!policy.includes(`\n${line}\n`)) throw new Stop(`deny.toml: without ${line} this check would say more than the policy`)
  const licences = listed(policy, 'allow')
  const sources = listed(policy, 'allow-registry').map((address) => `registry+${address}`)
  const banned = named(policy, 'deny')
  const twice = named(policy, 'skip')
  const problems = []
  const versions = new Map()
  for (const { name, version, license, source, dependencies } of packages) {
    versions.set(name, [...(versions.get(name) ?? []), version])
    if (!license || !satisfied(license, licences)) problems.push(`${name} ${version}: licence ${license ?? 'not stated'}`)
    if (source !== null && !sources.includes(source)) problems.push(`${name} ${version}: comes from ${source}`)
    if (banned.includes(name)) problems.push(`${name} ${version}: is banned`)
    const wild = dependencies.filter(({ req, path }) => source === null && req === '*' && path === undefined)
    problems.push(...wild.map((dependency) => `${name} ${version}: asks for any version of ${dependency.name}`))
  }
  for (const [name, found] of versions)
    if (found.length > 1 && !twice.includes(name)) problems.push(`${name}: ${found.length} versions, ${found.join(' and ')}`)
  for (const name of twice)
    if ((versions.get(name) ?? []).length < 2) problems.push(`${name}: deny.toml lets two versions pass, and there are not two`)
  return problems
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

/** Throws a Stop that lists everything that deny.toml does not allow. */
export async function checkLicences() {
  const policy = readFileSync(join(root, 'deny.toml'), 'utf8')
  // --quiet: else a machine that has yet to download crates reads of that before the JSON.
  const { packages } = JSON.parse(await run('cargo', ['metadata', '--quiet', '--format-version', '1', '--locked', '--all-features'], { quiet: true }))
  const problems = problemsOf(policy, packages)
  if (problems.length > 0) throw new Stop(`not allowed by deny.toml:\n  ${problems.join('\n  ')}`)
  return `${packages.length} crates`
}

if (isMain(import.meta.url)) await main(async () => console.log(await checkLicences()))
