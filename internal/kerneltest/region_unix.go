//go:build linux || darwin

package kerneltest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func newRegion(t testing.TB) region {
	page := syscall.Getpagesize()
	b, err := syscall.Mmap(-1, 0, page+regionBytes+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(b)) })
	require.NoError(t, syscall.Mprotect(b[:page], syscall.PROT_NONE))
	require.NoError(t, syscall.Mprotect(b[page+regionBytes:], syscall.PROT_NONE))
	return b[page : page+regionBytes]
}
