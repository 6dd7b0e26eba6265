'use strict'
// Listeners of events and topics. One that throws disturbs neither the others nor us, and what it threw is not lost:
// it becomes an 'uncaughtException', as in Node's EventTarget.

const { invalid, show } = require('./errors.js')
const { decode } = require('./payload.js')
const { callback } = require('./options.js')
const { throwLater } = require('./inbox.js')

class Events {
  constructor(what, names) {
    this.what = what
    this.byName = new Map(names.map((name) => [name, []]))
  }

  #of(event) {
    const listeners = this.byName.get(event)
    if (listeners !== undefined) return listeners
    throw invalid(`${show(event)} is no event of ${this.what}: there are ${[...this.byName.keys()].join(', ')}`)
  }

  on(event, listener) {
    this.#of(event).push(callback('listener', listener))
  }

  /** The one that was added last, if it was added more than once. */
  off(event, listener) {
    const listeners = this.#of(event)
    const index = listeners.lastIndexOf(callback('listener', listener))
    if (index >= 0) listeners.splice(index, 1)
  }

  emit(event, target, ...detail) {
    const listeners = this.byName.get(event)
    if (listeners.length === 0) return
    // A copy: listeners may be added and removed meanwhile.
    for (const listener of [...listeners]) {
      try {
        listener.apply(target, detail)
      } catch (error) {
        throwLater(error)
      }
    }
  }
}

class Topics {
  /** `inbox.native` is told of a topic's first listener and of the end of its last. */
  constructor(inbox) {
    this.inbox = inbox
    this.byTopic = new Map()
  }

  /** Returns what ends the subscription. */
  subscribe(topic, listener) {
    const subscription = { listener }
    const subscriptions = this.byTopic.get(topic)
    if (subscriptions === undefined) {
      this.inbox.now((native) => native.subscribe(topic))
      this.byTopic.set(topic, new Set([subscription]))
    } else {
      this.inbox.throwIfClosed()
      subscriptions.add(subscription)
    }
    return () => this.#end(topic, subscription)
  }

  #end(topic, subscription) {
    const subscriptions = this.byTopic.get(topic)
    if (!subscriptions?.delete(subscription) || subscriptions.size > 0) return
    this.byTopic.delete(topic)
    if (!this.inbox.closed) this.inbox.now((native) => native.unsubscribe(topic))
  }

  deliver({ topic, from }, payload) {
    const subscriptions = this.byTopic.get(topic)
    if (subscriptions === undefined) return
    // Each has a message of its own: what one does to it, the others do not see.
    for (const { listener } of [...subscriptions]) {
      try {
        listener({ topic, from, payload: decode(payload) })
      } catch (error) {
        throwLater(error)
      }
    }
  }
}

module.exports = { Events, Topics }
