package npy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// array is numpy.save of [[0, 1], [2, -0.5]] as float32, with the header's
// fields replaceable.
func array(descr, shape string) string {
	dict := "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }"
	dict += strings.Repeat(" ", 117-len(dict)) + "\n"
	return "\x93NUMPY\x01\x00\x76\x00" + dict +
		"\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x00\xbf"
}

func read(t *testing.T, content string) ([]int, []float32, error) {
	path := filepath.Join(t.TempDir(), "a.npy")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return Read(path)
}

func TestRead(t *testing.T) {
	shape, values, err := read(t, array("<f4", "(2, 2)"))
	require.NoError(t, err)
	require.Equal(t, []int{2, 2}, shape)
	require.Equal(t, []float32{0, 1, 2, -0.5}, values)

	shape, _, err = read(t, array("<f4", "(4,)"))
	require.NoError(t, err)
	require.Equal(t, []int{4}, shape)
}

func TestReadRefusesOtherFiles(t *testing.T) {
	for want, content := range map[string]string{
		"not an .npy file":           "PK\x03\x04",
		"want little-endian float32": array("<f8", "(2, 2)"),
		"the header is cut short":    array("<f4", "(2, 2)")[:50],
		"shape [3 2] needs 24":       array("<f4", "(3, 2)"),
	} {
		_, _, err := read(t, content)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "a.npy")
	}
	_, _, err := Read(filepath.Join(t.TempDir(), "absent.npy"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
