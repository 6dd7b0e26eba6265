'use strict'
// The positions by which names cross, in the order of the enums of src/calls.

const positions = (...names) => Object.freeze(Object.fromEntries(names.map((name, position) => [name, position])))

module.exports = {
  ElasticKind: positions('Ddtw', 'Wdtw', 'Adtw', 'Erp', 'Edr', 'Msm', 'Twe', 'SoftDtw'),
  LcsNormalization: positions('Max', 'Min', 'Dice', 'None'),
  MatrixKind: positions('Distance', 'Lag', 'WarpedCorrelation', 'PearsonCorrelation'),
  PatternForm: positions('One', 'List', 'Block'),
}
