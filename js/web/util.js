'use strict'
// In place of node:util where there is none: what kind of object something is, by the name that its class gives it.

const nameOf = (value) => Object.prototype.toString.call(value).slice(8, -1)
const BOXED = new Set(['Number', 'String', 'Boolean', 'Symbol', 'BigInt'])

module.exports.types = {
  isMap: (value) => nameOf(value) === 'Map',
  isSet: (value) => nameOf(value) === 'Set',
  isPromise: (value) => nameOf(value) === 'Promise',
  isDate: (value) => nameOf(value) === 'Date',
  isBoxedPrimitive: (value) => BOXED.has(nameOf(value)),
}
