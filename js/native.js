'use strict'
// Loads the addon, and says what to do when the package of this platform is missing.

const { existsSync } = require('node:fs')
const { MidstreamerError } = require('./errors.js')
const { name, version } = require('../package.json')

function platformPackage() {
  const { platform, arch } = process
  if (platform === 'linux') {
    // A glibc process reports its version; musl does not.
    const glibc = process.report?.getReport?.().header.glibcVersionRuntime
    return `${name}-linux-${arch}-${glibc || !existsSync(`/lib/ld-musl-${arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`) ? 'gnu' : 'musl'}`
  }
  return `${name}-${platform}-${arch}${platform === 'win32' ? '-msvc' : ''}`
}

function load() {
  try {
    return require('../binding.js')
  } catch (cause) {
    const wanted = platformPackage()
    throw new MidstreamerError(
      `the native addon for ${process.platform}-${process.arch} did not load. It is in the package ${wanted}, which `
      + 'npm leaves out with --omit=optional, or when package-lock.json was written on another platform. '
      + `Install it with: npm install ${wanted}@${version} (in a clone of the repository: npm run build). `
      + `Kernels and pattern search run without it, from ${name}/wasm`,
      { code: 'INTERNAL', cause },
    )
  }
}

module.exports = load()
