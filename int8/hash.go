package int8

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// HashLogits is the SHA-256 over the logits in little-endian order, in
// hexadecimal: equal on every machine, for every kernel and number of threads.
func HashLogits(logits []int32) string {
	sum := sha256.Sum256(AppendLogits(nil, logits))
	return hex.EncodeToString(sum[:])
}

// AppendLogits appends what HashLogits hashes.
func AppendLogits(b []byte, logits []int32) []byte {
	for _, v := range logits {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}
