package importer

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/safetensors"
	"edgeclassify/models"
)

// saveSafetensors writes half-precision ones of the given shapes.
func saveSafetensors(t *testing.T, shapes map[string][]int) string {
	t.Helper()
	ones := []byte(strings.Repeat("\x00\x3c", 1<<22))
	tensors := []safetensors.Tensor{{Name: "bn1.num_batches_tracked", DType: safetensors.I64, Shape: []int{}, Data: make([]byte, 8)}}
	for name, shape := range shapes {
		n, ok := weights.Elements(shape, 1<<22)
		require.True(t, ok)
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F16, Shape: shape, Data: ones[:2*n]})
	}
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error { return safetensors.Write(w, nil, tensors) }))
	return path
}

func TestImportOfIntegers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: "conv1.weight", DType: safetensors.I8, Shape: []int{64, 3, 7, 7}, Data: make([]byte, 64*3*7*7)}})
	}))
	_, err := Import(path, models.ImportOptions{})
	require.ErrorContains(t, err, `tensor "conv1.weight": elements are I8, expected 32-bit or 16-bit floats`)
}
