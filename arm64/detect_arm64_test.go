//go:build !purego

package arm64

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDetect knows the right answer where ARM64_CORE names the core, in the way
// of qemu-aarch64 -cpu.
func TestDetect(t *testing.T) {
	got := Detect()
	t.Log(got)
	require.Len(t, got.Cores, runtime.NumCPU())
	require.NotEmpty(t, got.Fast())

	core := os.Getenv("ARM64_CORE")
	if core == "" {
		t.Skip("set ARM64_CORE (cortex-a53, cortex-a72, cortex-a76 or max) to check the answer")
	}
	want, known := map[string]struct {
		name                            string
		inOrder, dotProduct, int8Matrix bool
	}{
		"cortex-a53": {name: "Cortex-A53", inOrder: true},
		"cortex-a72": {name: "Cortex-A72"},
		"cortex-a76": {name: "Cortex-A76", dotProduct: true},
		"max":        {name: "QEMU max", dotProduct: true, int8Matrix: true},
	}[core]
	require.True(t, known, "unknown ARM64_CORE %s", core)
	require.Equal(t, want.dotProduct, got.DotProduct)
	require.Equal(t, want.int8Matrix, got.Int8Matrix)
	for _, c := range got.Cores {
		require.Equal(t, want.name, c.Name)
		require.Equal(t, want.inOrder, c.MIDR.InOrder())
		require.True(t, c.Fast)
	}
}
