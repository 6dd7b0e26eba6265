'use strict'
// The package's functions, loaded when they are first used: help and `doctor` have to work where the addon does not.

const api = (name) => require('../../index.js')[name]

module.exports = {
  get Agent() { return api('Agent') },
  get CertificateAuthority() { return api('CertificateAuthority') },
  get Coordinator() { return api('Coordinator') },
  get dtwNearest() { return api('dtwNearest') },
  get dtwSync() { return api('dtwSync') },
  get lcsSync() { return api('lcsSync') },
  get subsequenceSearch() { return api('subsequenceSearch') },
  get verifyAuditLog() { return api('verifyAuditLog') },
  get version() { return api('version') },
}
