//go:build !(linux || darwin)

package kerneltest

import "testing"

// newRegion leaves room on both sides, so that a mistake harms nothing else.
func newRegion(testing.TB) region {
	return make(region, margin+regionBytes+margin)[margin:][:regionBytes]
}
