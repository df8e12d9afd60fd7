//go:build !race

package connectortest

// sequencesShort is how many sequences RunSequences makes in a normal run.
const sequencesShort = 1_000
