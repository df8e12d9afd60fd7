//go:build !race

package directory_test

// raceDetector says that the tests were built with the race detector.
const raceDetector = false
