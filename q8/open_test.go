package q8

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/safetensors"
)

// A header and data longer than a block, whole, cut or damaged while they are read.
func TestBlocks(t *testing.T) {
	const size = 3 * block / 2
	metadata := map[string]string{"format": format, "version": version, "sha256": unsealed, "long": strings.Repeat("x", size)}
	tensors := []safetensors.Tensor{{Name: "a", DType: safetensors.I8, Shape: []int{size}, Data: make([]byte, size)}}
	sum := sha256.New()
	require.NoError(t, safetensors.Write(sum, metadata, tensors))
	metadata["sha256"] = hex.EncodeToString(sum.Sum(nil))
	var file bytes.Buffer
	require.NoError(t, safetensors.Write(&file, metadata, tensors))
	whole := file.Bytes()
	open := func(b []byte) error {
		_, _, err := decode(&source{bytes: make([]byte, len(whole)), file: bytes.NewReader(b)})
		return err
	}

	require.EqualError(t, open(whole), "metadata graph is missing")
	for _, length := range []int{0, block, 2 * block, len(whole) - 1} {
		require.EqualError(t, open(whole[:length]), "it was cut short while it was read: copy it again", "%d bytes", length)
	}
	for _, at := range []int{2 * block, len(whole) - 1} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		require.ErrorContains(t, open(damaged), "the file is damaged: its SHA-256 is", "byte %d", at)
	}
}
