//go:build race

package directory_test

// raceDetector says that the tests were built with the race detector, under which everything takes ten times as long.
const raceDetector = true
