'use strict'
// How a Keyring reaches the audit log of a Coordinator, without the one knowing the other.

/** The method of a Coordinator that writes down a step of a key: `(step, keyId) => Promise<void>`. */
const AUDIT_KEY = Symbol('audit key')

module.exports = { AUDIT_KEY }
