/** The Python environment of the comparisons and checks, and the process that runs the peers in it. */
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))

/** Made anew when requirements.txt has changed; PYTHON names the interpreter that makes it. @returns the path of its interpreter */
export function virtualEnvironment() {
  const folder = here('.venv')
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const stamp = join(folder, 'requirements.sha256')
  const wanted = createHash('sha256').update(readFileSync(here('requirements.txt'))).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python
  console.log('Making benches/python/.venv (about 800 MB, once) ...')
  rmSync(folder, { recursive: true, force: true })
  execFileSync(process.env.PYTHON ?? 'python3', ['-m', 'venv', folder], { stdio: 'inherit' })
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', here('requirements.txt')], { stdio: 'inherit' })
  writeFileSync(stamp, wanted)
  return python
}

/** One question at a time; a peer that dies rejects the pending one. */
export class PythonPeers {
  #child
  #pending = null
  constructor(python) {
    this.#child = spawn(python, [here('peers.py')], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#pending?.resolve(JSON.parse(line)))
    this.#child.on('exit', (code) => this.#pending?.reject(new Error(`peers.py ended with ${code}`)))
    this.#child.on('error', (error) => this.#pending?.reject(error))
  }

  ask(request) {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#child.stdin.write(`${JSON.stringify(request)}\n`)
    })
  }

  close() {
    this.#pending = null
    this.#child.stdin.end()
  }
}
