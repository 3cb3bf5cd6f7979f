//go:build !(linux || darwin)

package kerneltest

import "testing"

func newRegion(testing.TB) region { return make(region, regionBytes) }
