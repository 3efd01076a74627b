//go:build !race

package guard

const raceFactor = 1
