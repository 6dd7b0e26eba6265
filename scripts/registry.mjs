// A registry for `npm install` on the loopback interface: just enough of the protocol to install packed tarballs.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'

/**
 * Serves packages, each { manifest, tarball: path, integrity }. Everything else is 404, so nothing can come from elsewhere.
 * Returns the address and a function that closes it.
 */
export async function serve(packages) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://registry').pathname).slice(1)
    const asked = packages.find(({ manifest }) => manifest.name === path)
    const file = packages.find(({ tarball }) => path === `-/${basename(tarball)}`)
    if (file) return response.end(readFileSync(file.tarball))
    if (!asked) return response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}')
    const { manifest, tarball, integrity } = asked
    const dist = { tarball: `${address}-/${basename(tarball)}`, integrity }
    const document = {
      name: manifest.name,
      'dist-tags': { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist } },
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document))
  })
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${server.address().port}/`
  return { address, close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) }
}
