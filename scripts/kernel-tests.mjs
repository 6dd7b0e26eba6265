// The files of __test__ about kernels and pattern search, which also run where the swarm does not: under emulation, in WebAssembly.

/** Their names, without `.test.mjs`. */
export const KERNEL_TESTS = ['arguments', 'async', 'cluster', 'dtw', 'elastic', 'golden', 'library', 'stream', 'subsequence', 'symbols']
