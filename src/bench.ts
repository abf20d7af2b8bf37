// The entry `espalier/bench`: kernels and ops of one's own, checked, timed and put in the table of `espalier bench`.
// Node only.
export * from '../bench/index.ts'
