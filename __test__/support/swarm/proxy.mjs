// A bad network on loopback: a UDP proxy that drops, reorders, and lets nothing through for a while.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'

async function open(onMessage) {
  const socket = createSocket('udp4', onMessage)
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

/** Between whoever dials `address` and the server at `to`. Every client has a socket of its own towards the server. */
export async function proxy(t, to, { random, loss, late, lateMs }) {
  const [host, port] = [to.slice(0, to.lastIndexOf(':')), Number(to.slice(to.lastIndexOf(':') + 1))]
  const upstreams = new Map()
  const counts = { passed: 0, dropped: 0, late: 0 }
  let [partitioned, closed] = [false, false]

  const pass = (send) => {
    if (partitioned || random() < loss) {
      counts.dropped++
    } else if (random() < late) {
      counts.late++
      setTimeout(() => { if (!closed && !partitioned) send() }, lateMs * random())
    } else {
      counts.passed++
      send()
    }
  }

  const front = await open(async (packet, { address, port: from }) => {
    const client = `${address}:${from}`
    if (!upstreams.has(client)) upstreams.set(client, open((answer) => pass(() => front.send(answer, from, address))))
    const upstream = await upstreams.get(client)
    if (!closed) pass(() => upstream.send(packet, port, host))
  })
  t.after(async () => {
    closed = true
    front.close()
    for (const upstream of upstreams.values()) (await upstream).close()
  })
  return {
    address: `127.0.0.1:${front.address().port}`,
    counts,
    set partitioned(value) { partitioned = value },
  }
}
