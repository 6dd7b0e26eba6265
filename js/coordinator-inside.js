'use strict'

/** The method by which the rest of the facade reaches the coordinator of the addon; users do not see it. */
exports.ADAPT = Symbol('adapt')
