package int8_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

func TestHashLogits(t *testing.T) {
	require.Equal(t, "3170d2371011be5af7be7b30d8e27b63cf7e17011064d5157c069e5c462c1a91", int8.HashLogits([]int32{1, -2, 1 << 30}))
}
