// Runs the examples of docs/conventions.md against the built package: each line of a ```js block is an expression and,
// after //, what it must give. README.md must have all its figures, and its swarm must run. No document links to a file
// that is not there.

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { inspect, isDeepStrictEqual } from 'node:util'
import { Stop, isMain, main, root, run } from './steps.mjs'

const AsyncFunction = (async () => {}).constructor

/** Evaluates every example of a page. Its first block says what the examples may use. */
export async function checkDocs(page = 'docs/conventions.md') {
  const blank = readFileSync(join(root, 'README.md'), 'utf8').match(/\{\{\w*/g)
  if (blank !== null) throw new Stop(`README.md still has ${blank.length} placeholders: ${blank[0]}}} ...`)
  const blocks = [...readFileSync(join(root, page), 'utf8').matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1])
  const [prelude, ...examples] = blocks
  const require = createRequire(join(root, 'package.json'))
  const lines = examples.flatMap((block) => block.trim().split('\n'))
  if (lines.length === 0) throw new Stop(`${page} has no examples`)
  const problems = []
  for (const line of lines) {
    const at = line.lastIndexOf(' // ')
    if (at < 0) throw new Stop(`${page}: no result after the example \`${line}\``)
    // The parts are evaluated in a line of their own, so that a mistake in one is reported with its text.
    const found = await new AsyncFunction('require', `${prelude}\nreturn (${line.slice(0, at)})`)(require)
    const wanted = await new AsyncFunction(`return (${line.slice(at + 4)})`)()
    if (!isDeepStrictEqual(found, wanted)) problems.push(`${line}\n    gives ${inspect(found)}`)
  }
  if (problems.length > 0) throw new Stop(`${page}:\n  ${problems.join('\n  ')}`)
  await runSwarm()
  return `${lines.length} examples of ${page}, the swarm of README.md, ${checkLinks()} links`
}

/** The first program under "A swarm" in README.md, as a process of its own: it has to end by itself. */
async function runSwarm() {
  const program = /^## A swarm\n[\s\S]*?^```js\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]
  if (program === undefined) throw new Stop('README.md has no program under "A swarm"')
  await run(process.execPath, ['--input-type=module', '--eval', program], { quiet: true })
}

/** Links to files of the repository, in all its documents; returns how many there are. */
function checkLinks() {
  const pages = ['.', 'docs', join('docs', 'decisions')].flatMap((folder) =>
    readdirSync(join(root, folder)).filter((file) => file.endsWith('.md')).map((file) => join(folder, file)),
  )
  const links = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => ({ page, target })),
  )
  const files = links.filter(({ target }) => !/^[a-z]+:/.test(target))
  const broken = files.filter(({ page, target }) => !existsSync(join(root, dirname(page), target)))
  if (broken.length > 0) throw new Stop(`links to nothing: ${broken.map(({ page, target }) => `${target} in ${page}`).join(', ')}`)
  return files.length
}

if (isMain(import.meta.url)) await main(async () => console.log(await checkDocs()))
