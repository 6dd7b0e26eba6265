// Runs the examples of docs/conventions.md against the built package: each line of a ```js block is an expression and,
// after //, what it must give. And README.md must have all its figures.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { inspect, isDeepStrictEqual } from 'node:util'
import { Stop, isMain, main, root } from './steps.mjs'

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
  return `${lines.length} examples of ${page}`
}

if (isMain(import.meta.url)) await main(async () => console.log(await checkDocs()))
