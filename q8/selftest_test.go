package q8_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
)

// Files with and without a self-test are read as they were written.
func TestSelfTestIsOptional(t *testing.T) {
	n := tiny()
	file := encode(t, n)
	require.NotContains(t, takeApart(t, file).Metadata, "selftest")
	read, err := q8.Decode(file)
	require.NoError(t, err)
	require.Nil(t, read.SelfTest)

	n.SelfTest = &q8.SelfTest{Seed: 1<<64 - 1, LogitsSHA256: "abc"}
	file = encode(t, n)
	require.Equal(t, `{"seed":18446744073709551615,"logits_sha256":"abc"}`, takeApart(t, file).Metadata["selftest"])
	read, err = q8.Decode(file)
	require.NoError(t, err)
	require.Equal(t, n.SelfTest, read.SelfTest)

	for _, bad := range []string{"null", "{}", "", `{"seed":1,"logits_sha256":"abc","more":1}`} {
		c := takeApart(t, file)
		c.Metadata["selftest"] = bad
		_, err := q8.Decode(seal(c.bytes(), []byte(c.Metadata["sha256"])))
		require.ErrorContains(t, err, "metadata", bad)
	}
}

// The image is part of the file format: it must never change.
func TestSelfTestImageIsFixed(t *testing.T) {
	n := nettest.Random(1)
	test := q8.SelfTest{Seed: 1}
	first := test.Image(n)
	require.Len(t, first, n.Input.Shape.Elements())
	require.Equal(t, []uint8{0x99, 0x16, 0xb7}, first[:3])
	require.NotEqual(t, first, (&q8.SelfTest{Seed: 2}).Image(n))
}

func TestSelfTestFindsAWrongBit(t *testing.T) {
	logits := []int32{1, -2, 1 << 30}
	test := q8.SelfTest{LogitsSHA256: int8.HashLogits(logits)}
	require.NoError(t, test.Check(logits))
	logits[1] ^= 1
	require.ErrorContains(t, test.Check(logits), "self-test")
}
