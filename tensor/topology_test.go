package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/tensor"
)

func TestTopology(t *testing.T) {
	top := tensor.NewTopology("image")
	a, err := top.Add("a", tensor.Input)
	require.NoError(t, err)
	b, err := top.Add("b", a, tensor.Input)
	require.NoError(t, err)
	_, err = top.Add("c", b, b)
	require.NoError(t, err)

	require.Equal(t, 4, top.Len())
	require.Equal(t, []tensor.ID{1, 2}, []tensor.ID{a, b})
	require.Equal(t, -1, tensor.Input.Node())
	require.Equal(t, 1, b.Node())
	require.Equal(t, b, tensor.Output(1))
	require.Equal(t, []int{0, 1}, top.Consumers(tensor.Input))
	require.Equal(t, []int{2, 2}, top.Consumers(b), "one that reads it twice")
	require.Empty(t, top.Consumers(3))
	ids, err := top.IDs([]string{"b", "image"})
	require.NoError(t, err)
	require.Equal(t, []tensor.ID{2, 0}, ids)
	require.Equal(t, []string{"b", "image"}, top.Names(ids))

	cut := top.Truncate(2)
	require.Equal(t, 3, cut.Len())
	require.Empty(t, cut.Consumers(b), "nothing reads the output")
	require.Equal(t, []int{2, 2}, top.Consumers(b), "the whole is as it was")
}

func TestTopologyRefuses(t *testing.T) {
	top := tensor.NewTopology("image")
	for want, add := range map[string]func() error{
		"the name is empty":                     func() error { _, err := top.Add("", 0); return err },
		"the name has control characters":       func() error { _, err := top.Add("a\u009b31m", 0); return err },
		"the name is used twice":                func() error { _, err := top.Add("image", 0); return err },
		"input 1 is no tensor before it":        func() error { _, err := top.Add("own input", 1); return err },
		"input -1 is no tensor before it":       func() error { _, err := top.Add("negative", -1); return err },
		`input "nowhere" does not exist before`: func() error { _, err := top.IDs([]string{"image", "nowhere"}); return err },
	} {
		require.ErrorContains(t, add(), want)
		require.Equal(t, 1, top.Len(), "a node that is refused is not there")
		require.Empty(t, top.Consumers(tensor.Input))
	}
}
