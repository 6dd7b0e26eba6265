'use strict'
// How other commands on the same machine reach a coordinator that `midstreamer coordinator` runs: HTTP with JSON over a socket in the
// data directory, which only its owner can open. On Windows it is a named pipe.

const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { MidstreamerError } = require('../errors.js')
const { CommandError, EXIT, failed } = require('./exit.js')
const { plain } = require('./output.js')

const SOCKET = 'control.sock'

/** What the name of a Unix socket may have: 104 bytes on macOS, with the end of the text. */
const LONGEST_PATH_BYTES = 103

/** Of a request: a task's payload, as JSON. */
const LARGEST_BODY_BYTES = 64 * 2 ** 20

/** How long answers that are on their way may take at the end. */
const LAST_ANSWERS_MS = 1000

function socketOf(dataDir) {
  if (process.platform !== 'win32') return path.join(dataDir, SOCKET)
  return `\\\\.\\pipe\\midstreamer-${crypto.createHash('sha256').update(dataDir.toLowerCase()).digest('hex').slice(0, 32)}`
}

/** `routes`: `{ 'POST /tokens': async (body, signal) => document }`. Call it while the data directory is this process's alone. */
async function serveControl(dataDir, routes) {
  const socket = socketOf(dataDir)
  const isFile = process.platform !== 'win32'
  if (isFile && Buffer.byteLength(socket) > LONGEST_PATH_BYTES) {
    throw failed(`the path of the data directory is too long for a control socket: ${socket} has more than ${LONGEST_PATH_BYTES} bytes`, 'STORE')
  }
  // A process that was killed leaves its own behind; the lock of the data directory says that nobody listens there now.
  if (isFile) fs.rmSync(socket, { force: true })
  const server = http.createServer((request, response) => {
    answer(routes, request, response).catch((error) => send(response, statusOf(error), { error: describe(error) }))
  })
  const before = isFile ? process.umask(0o177) : 0
  try {
    await new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
  } catch (error) {
    throw failed(`the control socket cannot be had: ${error.message}`, 'STORE')
  } finally {
    if (isFile) process.umask(before)
  }
  if (isFile) fs.chmodSync(socket, 0o600)
  // The coordinator keeps the process alive; this does not.
  server.unref()
  return {
    socket,
    close: () => new Promise((resolve) => {
      server.close(resolve)
      server.closeIdleConnections()
      setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS).unref()
    }),
  }
}

async function answer(routes, request, response) {
  const route = routes[`${request.method} ${request.url}`]
  if (route === undefined) return send(response, 404, { error: { code: 'NOT_FOUND', message: `${request.method} ${request.url} is nothing that this version answers` } })
  const controller = new AbortController()
  response.on('close', () => { if (!response.writableEnded) controller.abort() })
  const body = await bodyOf(request)
  send(response, 200, await route(body, controller.signal))
}

async function bodyOf(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > LARGEST_BODY_BYTES) throw new MidstreamerError(`the request has more than ${LARGEST_BODY_BYTES} bytes`, { code: 'TOO_LARGE' })
    chunks.push(chunk)
  }
  if (size === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new MidstreamerError('the request is no JSON', { code: 'INVALID_ARGUMENT' })
  }
}

function send(response, status, document) {
  if (response.destroyed || response.headersSent) return
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document, plain))
}

const statusOf = (error) => (error.code === 'INVALID_ARGUMENT' ? 400 : 500)

function describe(error) {
  const { code, message, taskId, attempts, remoteError } = error
  return { code: typeof code === 'string' ? code : 'INTERNAL', message, taskId, attempts, remoteError }
}

/** Asks the coordinator of a data directory. What it refuses is thrown as the error it was there. */
async function askControl(dataDir, route, body, { signal } = {}) {
  const socket = socketOf(dataDir)
  const [method, url] = route.split(' ')
  const text = await new Promise((resolve, reject) => {
    const request = http.request({ socketPath: socket, agent: false, method, path: url, signal, headers: { 'content-type': 'application/json' } }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk)).on('end', () => resolve(Buffer.concat(chunks).toString('utf8'))).on('error', reject)
    })
    request.on('error', (error) => reject(unreachable(error, dataDir, socket)))
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
  const document = JSON.parse(text)
  if (document.error === undefined) return document
  const { message, ...details } = document.error
  throw new MidstreamerError(message, details)
}

function unreachable(error, dataDir, socket) {
  if (error.name === 'AbortError') return error
  const refused = error.code === 'EACCES' || error.code === 'EPERM'
  const what = refused
    ? `this user may not talk to the coordinator of ${dataDir}`
    : `no coordinator of \`midstreamer coordinator\` runs on ${dataDir}`
  return new CommandError(`${what} (${error.code ?? error.message} at ${socket})`, { exit: refused ? EXIT.failed : EXIT.unavailable, code: refused ? 'FORBIDDEN' : 'CONNECTION' })
}

module.exports = { serveControl, askControl, socketOf }
