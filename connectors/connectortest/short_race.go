//go:build race

package connectortest

// sequencesShort is smaller under the race detector, which makes a sequence take ten times as long. The seeds are the same.
const sequencesShort = 100
