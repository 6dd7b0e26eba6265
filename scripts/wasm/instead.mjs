// `node --import scripts/wasm/instead.mjs`: who imports the package gets wasm/ of this checkout, and so the tests of the addon become
// tests of the module.
import { register } from 'node:module'

register(`data:text/javascript,${encodeURIComponent(`
  const entry = ${JSON.stringify(new URL('../../wasm/node.mjs', import.meta.url).href)}
  export async function resolve(specifier, context, next) {
    return specifier === '@neural-trader/midstreamer' ? { url: entry, shortCircuit: true } : next(specifier, context)
  }
`)}`)
