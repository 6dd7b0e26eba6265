/** What tasks are compared with, at the versions of peers.json; installed like the peers of `npm run bench`. */
import { readFileSync } from 'node:fs'
import { installPeers } from '../js/peers.mjs'

const pinned = JSON.parse(readFileSync(new URL('peers.json', import.meta.url), 'utf8'))

/** Versions by name, of the packages that are compared. */
export const peerVersions = Object.fromEntries(pinned.filter((peer) => !peer.neededBy).map(({ name, version }) => [name, version]))

/** Installs what is missing. @returns {NodeJS.Require} what loads them */
export function swarmPeers(log = () => {}) {
  return installPeers(pinned, log)
}

/** Messages of bytes as they are, without the code that protobuf would generate. */
const bytesMethod = (path, streams) => ({
  path,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
})

export const GRPC_SERVICE = { unary: bytesMethod('/echo/unary', false), stream: bytesMethod('/echo/stream', true) }

/** Frames of `length u32, bytes` out of the chunks of a socket. */
export function frames(socket, onFrame) {
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32LE(at)
      if (end > bytes.length) break
      onFrame(bytes.subarray(at + 4, end))
      at = end
    }
    rest = bytes.subarray(at)
  })
}

export function frame(payload) {
  const out = Buffer.allocUnsafe(4 + payload.length)
  out.writeUInt32LE(payload.length, 0)
  out.set(payload, 4)
  return out
}
