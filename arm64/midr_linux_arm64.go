//go:build !purego

package arm64

// readMIDR returns the MIDR of the core that runs it.
func readMIDR() MIDR
