package int8

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// HashLogits is the SHA-256 over the logits in little-endian order, in
// hexadecimal: equal on every machine, for every kernel and number of threads.
func HashLogits(logits []int32) string {
	b := make([]byte, 0, 4*len(logits))
	for _, v := range logits {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
