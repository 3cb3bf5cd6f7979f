package q8_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/int8/q8"
)

// Files with and without a self-test are read as they were written.
func TestSelfTestIsOptional(t *testing.T) {
	n := tiny()
	file := encode(t, n)
	require.NotContains(t, takeApart(t, file).Metadata, "selftest")
	read, err := q8.Decode(file)
	require.NoError(t, err)
	require.Nil(t, read.SelfTest)

	n.SelfTest = &int8.SelfTest{Seed: 1<<64 - 1, LogitsSHA256: "abc"}
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
