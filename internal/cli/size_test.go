package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1000": 1000, "12B": 12, "4kB": 4000, "4 KB": 4000, "2K": 2000, "256MB": 256e6, "256M": 256e6,
		"1.5GB": 15e8, "1G": 1e9, "1KiB": 1024, "512MiB": 512 << 20, "0.5GiB": 1 << 29,
	} {
		var s Size
		require.NoError(t, s.Set(text), text)
		require.Equal(t, want, s, text)
	}
	for _, text := range []string{"", "MB", "-1", "-1MB", "1TB", "1e30", "NaN", "InfMB", "12 apples", "1,5GB"} {
		var s Size
		require.ErrorContains(t, s.Set(text), "want a size such as", text)
		require.Zero(t, s)
	}
	for size, want := range map[Size]string{0: "0", 999_999: "999999", 1e6: "1MB", 1_000_001: "2MB", 256e6: "256MB"} {
		require.Equal(t, want, size.String())
	}
}
