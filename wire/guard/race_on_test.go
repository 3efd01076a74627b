//go:build race

package guard

// raceFactor: under the race detector append(a, make([]T, n)...) makes the slice twice.
const raceFactor = 2
