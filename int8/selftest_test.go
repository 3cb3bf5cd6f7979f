package int8_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

// The picture is part of the file format: it must never change.
func TestSelfTestPictureIsFixed(t *testing.T) {
	n := nettest.Random(1)
	test := int8.SelfTest{Seed: 1}
	first := test.Image(n)
	require.Len(t, first, n.Input.Shape.Elements())
	require.Equal(t, []uint8{0x99, 0x16, 0xb7}, first[:3])
	require.NotEqual(t, first, (&int8.SelfTest{Seed: 2}).Image(n))
}

func TestSelfTestFindsAWrongBit(t *testing.T) {
	logits := []int32{1, -2, 1 << 30}
	require.Equal(t, "3170d2371011be5af7be7b30d8e27b63cf7e17011064d5157c069e5c462c1a91", int8.HashLogits(logits))
	test := int8.SelfTest{LogitsSHA256: int8.HashLogits(logits)}
	require.NoError(t, test.Check(logits))
	logits[1] ^= 1
	require.ErrorContains(t, test.Check(logits), "self-test")
}
