package int8

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAbsSum(t *testing.T) {
	require.EqualValues(t, 0, AbsSum(nil))
	require.EqualValues(t, 127+5+127+128, AbsSum([]Value{-127, 0, 5, 127, -128}))
	require.EqualValues(t, int64(1)<<31, abs64(math.MinInt32))
}
