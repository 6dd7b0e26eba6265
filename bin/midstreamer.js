#!/usr/bin/env node
'use strict'

require('../js/cli/main.js').main(process.argv.slice(2))
