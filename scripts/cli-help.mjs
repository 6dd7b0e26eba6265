// Writes the help of every command into docs/cli.md, below its heading. A test holds the two together.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Stop, main, root, run } from './steps.mjs'

await main(async () => {
  const { load } = createRequire(import.meta.url)('../js/cli/main.js')
  const page = join(root, 'docs', 'cli.md')
  let text = readFileSync(page, 'utf8')
  for (const { name } of load()) {
    const help = await run(process.execPath, [join(root, 'bin', 'midstreamer.js'), ...name.split(' '), '--help'], { quiet: true })
    const section = new RegExp(`(^### \`${name}\`\n\n)\`\`\`\n[^]*?\n\`\`\`$`, 'm')
    if (!section.test(text)) throw new Stop(`docs/cli.md has no heading for ${name} with a block below`)
    text = text.replace(section, (_, heading) => `${heading}\`\`\`\n${help.trim()}\n\`\`\``)
  }
  writeFileSync(page, text)
})
