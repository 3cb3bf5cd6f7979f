package q8

import (
	"fmt"
	"math/rand/v2"

	"edgeclassify/int8"
)

// SelfTest is one answer that a network must give on every machine. It travels
// in the model file.
type SelfTest struct {
	Seed         uint64 `json:"seed"`          // of the picture
	LogitsSHA256 string `json:"logits_sha256"` // of the answer, see int8.HashLogits
}

// Image is RGB noise of n's input shape: the upper bytes of a PCG-DXSM
// generator (O'Neill, "PCG: A Family of Simple Fast Space-Efficient
// Statistically Good Algorithms for Random Number Generation", 2014) with state
// Seed and 0.
func (t *SelfTest) Image(n *int8.Network) []uint8 {
	rng := rand.NewPCG(t.Seed, 0)
	rgb := make([]uint8, n.Input.Shape.Elements())
	for i := range rgb {
		rgb[i] = uint8(rng.Uint64() >> 56)
	}
	return rgb
}

// Check compares the logits of the picture with the known ones.
func (t *SelfTest) Check(logits []int32) error {
	if got := int8.HashLogits(logits); got != t.LogitsSHA256 {
		return fmt.Errorf("q8: self-test: the logits have SHA-256 %s, the model file says %s", got, t.LogitsSHA256)
	}
	return nil
}
